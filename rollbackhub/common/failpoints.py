"""Points at which a test may kill or pause this very process, so that crashes are tried where they hurt most.

Off unless FAILPOINTS_DIR is set. A test puts a file named as the point into that folder; the first process that reaches the
point takes the file away (so it fires once) and does what the file says, a line each:

    kill self | kill parent | kill PID | stop self
"""

from __future__ import annotations

import os
import signal

from django.conf import settings


def failpoint(name: str) -> None:
    """Fire what a test has armed at this point; nothing in normal operation."""
    folder = settings.CONFIG.failpoints_dir
    if folder is None:
        return
    path = folder / name
    taken = folder / f".fired-{name}-{os.getpid()}"
    try:
        os.rename(path, taken)
    except FileNotFoundError:
        return
    for line in taken.read_text().splitlines():
        verb, _, target = line.partition(" ")
        pid = {"self": os.getpid(), "parent": os.getppid()}.get(target) or int(target)
        os.kill(pid, {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[verb])

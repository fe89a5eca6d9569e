"""Points at which a test may kill or pause this very process, so that crashes are tried where they hurt most.

Off unless FAILPOINTS_DIR is set. A test puts a file named `<point>@<scope>` into that folder; the first process that reaches the
point takes the file away (so it fires once) and does what the file says, a line each:

    kill self | kill PID | stop self
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from django.conf import settings

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def failpoint(name: str, *, scope: str) -> None:
    """Fire what a test has armed at this point for this scope (an alias); nothing in normal operation."""
    folder = settings.CONFIG.failpoints_dir
    if folder is None:
        return
    armed = folder / f"{name}@{scope}"
    fired = folder / f"fired-{armed.name}"
    try:
        os.rename(armed, fired)
    except FileNotFoundError:
        return
    for line in fired.read_text().splitlines():
        verb, _, target = line.partition(" ")
        # What is to be killed may be dead already.
        with suppress(ProcessLookupError):
            os.kill(os.getpid() if target == "self" else int(target), _SIGNALS[verb])

"""What Linux can do so that no process outlives its parent. On other systems these do nothing and say so by their answer."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signum: int = signal.SIGKILL, *, parent: int | None = None) -> bool:
    """Have the kernel send this signal to the present process when the thread that started it ends.

    With `parent` (its process id) the process ends here when that has gone already. The kernel forgets the wish when the process
    changes its user, so call it after that. Answers whether it is in force.
    """
    if _libc is None or _libc.prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0) != 0:
        return False
    if parent is not None and os.getppid() != parent:
        os._exit(1)
    return True


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent ends. Answers whether it is in force."""
    return _libc is not None and _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def reap_adopted(*, ours: set[int]) -> int | None:
    """Take note of ended processes that became ours when their own parent ended, so that they are no zombies.

    `ours` are the children that subprocess looks after. Answers the first of those that has ended (whoever started it takes its exit
    code, then asks again), or None when nobody else has. Does nothing on systems where orphans are not adopted.
    """
    if sys.platform != "linux":
        return None
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if found is None:
            return None
        if found.si_pid in ours:
            return found.si_pid
        os.waitpid(found.si_pid, 0)

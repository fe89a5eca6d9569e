"""What Linux can do so that no process outlives its parent. On other systems these do nothing and say so by their answer."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signum: int = signal.SIGKILL) -> bool:
    """Have the kernel send this signal to the present process when the thread that started it ends.

    The kernel forgets it when the process changes its user, so call it after that. Answers whether it is in force.
    """
    return _libc is not None and _libc.prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0) == 0


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent ends. Answers whether it is in force."""
    return _libc is not None and _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

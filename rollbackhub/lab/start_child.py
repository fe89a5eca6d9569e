"""Becomes another program that the kernel ends together with the lab: `python -I -S start_child.py PARENT_PID PROGRAM ARGS…`.

Run by its path and without site packages, because it starts before every child and must cost next to nothing (20 ms). Setting this
up in the parent after its fork (subprocess's preexec_fn) is not safe in a process with threads, which the lab is.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # The lab may have ended before the kernel was told.
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(program[0], program)

"""Runs a program that is killed when the process that started it dies, however it dies.

Run as a script: `python -I -S tether.py PARENT_PID PROGRAM [ARGUMENT ...]`. The kernel's
parent-death signal survives the exec below, so the program itself is tethered and keeps
the process id. Nothing but the standard library, so that it costs little.
"""

import ctypes
import os
import signal
import sys

#: `PR_SET_PDEATHSIG` of prctl(2).
SET_PARENT_DEATH_SIGNAL = 1


def main(parent_pid: int, argv: list[str]) -> None:
    """Become the program `argv`, tethered to the process `parent_pid`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl: no parent-death signal")
    if os.getppid() != parent_pid:  # it died before the tether held
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - becoming this program is the purpose
    except OSError as error:
        sys.exit(f"{argv[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

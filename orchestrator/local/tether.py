"""Runs a program that is killed when the process that started it dies, however it dies.

Run as a script: `python -I -S tether.py PARENT_PID USER NICENESS PROGRAM [ARGUMENT ...]`.
The program leads a process group of its own. NICENESS is as nice(1) has it, or `IDLE`.
The kernel's parent-death signal survives the exec below, so the program itself is
tethered and keeps the process id. Nothing but the standard library, so that it costs
little.
"""

import ctypes
import os
import pwd
import signal
import sys

#: `PR_SET_PDEATHSIG` of prctl(2).
SET_PARENT_DEATH_SIGNAL = 1
#: In place of a user's name.
SAME_USER = "-"
#: One nicer than the nicest: it hardly runs while others want to (sched(7), SCHED_IDLE),
#: and whoever wakes up goes before it at once.
IDLE = 20


def main(parent_pid: int, user: str, niceness: int, argv: list[str]) -> None:
    """Become the program `argv` as `user`, tethered to the process `parent_pid`."""
    # A group and not a session of its own: the kernel may weigh sessions against each
    # other before it looks at niceness (sched(7), autogroup).
    os.setpgid(0, 0)
    _leave_to_others(niceness)
    if user != SAME_USER:  # first, as the kernel unties who changes the user
        _become(user)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl: no parent-death signal")
    if os.getppid() != parent_pid:  # it died before the tether held
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - becoming this program is the purpose
    except OSError as error:
        sys.exit(f"{argv[0]} cannot be run: {error.strerror}")


def _leave_to_others(niceness: int) -> None:
    if niceness == IDLE:
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        except OSError:  # not every sandbox's kernel knows it
            pass
        else:
            return
    os.nice(niceness)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])

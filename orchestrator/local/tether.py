"""Runs a program that is killed when the process that started it dies, however it dies.

Run as a script: `python -I -S tether.py PARENT_PID USER NICENESS PROGRAM [ARGUMENT ...]`.
The kernel's parent-death signal survives the exec below, so the program itself is
tethered and keeps the process id. Nothing but the standard library, so that it costs
little.
"""

import ctypes
import os
import pwd
import signal
import sys
import time

#: `PR_SET_PDEATHSIG` of prctl(2).
SET_PARENT_DEATH_SIGNAL = 1
#: In place of a user's name.
SAME_USER = "-"
#: Without CAP_SYS_ADMIN the kernel takes one niceness of a group each 100 ms, whosever.
GROUP_TRIES = 20
GROUP_PAUSE_S = 0.05


def main(parent_pid: int, user: str, niceness: int, argv: list[str]) -> None:
    """Become the program `argv` as `user`, tethered to the process `parent_pid`."""
    if niceness:
        _step_back(niceness)
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


def _step_back(niceness: int) -> None:
    os.nice(niceness)
    _step_back_as_group(niceness)


def _step_back_as_group(niceness: int) -> None:
    # Where the kernel groups processes by session, it weighs the groups first (sched(7)).
    for _ in range(GROUP_TRIES):
        try:
            with open("/proc/self/autogroup", "w") as group:  # noqa: PTH123 - pathlib costs more than all of this
                group.write(str(niceness))
        except BlockingIOError:  # others start just now
            time.sleep(GROUP_PAUSE_S)
        except OSError:  # there are no groups
            return
        else:
            return


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])

"""Runs a command that gets SIGTERM when the process that started it dies, also by a kill.

    python parent_death.py PARENT_PID COMMAND ARGUMENT...

Only Linux can do that; elsewhere this is the bare command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, signum: int) -> None:
    """Have the kernel send `signum` to this process when the thread of `parent` that started it ends. Only on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum)
        if os.getppid() != parent:  # the parent died before prctl took effect
            os._exit(1)


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    end_with_parent(parent, signal.SIGTERM)
    os.execvp(command[0], command)  # noqa: S606  (this is what it is for)


if __name__ == "__main__":
    main()

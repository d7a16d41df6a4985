"""
`python tether.py SIGNAL PARENT USER COMMAND…` becomes COMMAND, which gets SIGNAL when PARENT dies. An edge: processes.

*PARENT* is a pid; *USER* a numeric user id to become first, or `-`. It replaces itself
by COMMAND, so the pid and the signals stay the caller's. Not `preexec_fn`, which runs Python between fork and exec and
so can deadlock, and warns from Python 3.12 on, where the caller has threads. Standard library only: it runs isolated.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, and become the command."""
    signal_number, parent, user, *command = sys.argv[1:]
    if user != "-":
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    if sys.platform == "linux":
        # After setuid, since a change of credentials clears it. It survives exec, `unshare --user` included (tried).
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the parent ended before this program began")
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot run {command[0]} as user {os.geteuid()}: {error.strerror}")


main()

"""Children that never outlive their parent, and the plain truth about whether a process still runs.

Run as a script (which `die_with_parent` arranges) this file is a small shim: it switches to another account if
asked, tells the kernel to signal it when its parent dies, and then becomes the wanted program by exec, keeping its
process id. A shim was chosen over `preexec_fn` because that runs Python between fork and exec, where a lock held
by another thread of the parent hangs the child for ever, and over `Popen(user=…)` because the kernel forgets the
death signal when the credentials change, and because the account may not be able to read our interpreter at all.
It imports nothing of ours and costs about 25 ms.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>, see prctl(2)


def die_with_parent(
    argv: Sequence[str], death_signal: signal.Signals = signal.SIGTERM, account: str | None = None
) -> list[str]:
    """Return the command that runs `argv` so that it gets `death_signal` when this process dies, even by SIGKILL.

    To be given to Popen by this very process. Linux watches the thread that starts the child: start it from one
    that lives as long as the process, normally the main thread. With `account` the program runs under that name
    (which needs root), with no supplementary groups. The child's pid is the program's own; descriptors passed with
    `pass_fds` reach it. Exit code 126: the account could not be taken; 127: the program could not be executed
    (each with one line on stderr).
    """
    shim = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
    return [*shim, str(int(death_signal)), str(os.getpid()), account or "", *argv]


def has_ended(pid: int) -> bool:
    """Say whether the process is gone or a zombie, which has ended but was not waited for (proc_pid_stat(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _become(death_signal: int, parent: int, account: str, argv: list[str]) -> int:
    # Python ignores SIGPIPE and SIGXFSZ, and a shell ignores SIGINT in its background jobs; exec would hand that on.
    for inherited in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, death_signal):
        signal.signal(inherited, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if account:
        try:
            entry = pwd.getpwnam(account)
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        except (KeyError, OSError) as error:
            sys.stderr.write(f"cannot run {argv[0]} as the account {account}: {error}\n")
            return 126
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(death_signal), 0, 0, 0) != 0:
        sys.stderr.write(f"cannot tie {argv[0]} to its parent: {os.strerror(ctypes.get_errno())}\n")
        return 126
    if os.getppid() != parent:  # it died before the kernel knew that we want to hear of it
        return 128 + death_signal
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - becoming the program is the point
    except OSError as error:
        sys.stderr.write(f"cannot run {argv[0]}: {error.strerror}\n")
        return 127


if __name__ == "__main__":
    sys.exit(_become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))

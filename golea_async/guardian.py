"""``python -m golea_async.guardian -- COMMAND``: run a program, and close its ZooKeeper sessions when it dies.

For containers, where the program would be process 1: whatever else runs there is ended with it. This one is its parent,
and guards it and those of its children that ask for it. As a process it needs the standard library alone: the module
becomes a script (``python -I -S guardian.py``), which takes less memory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys

TYPE_CHECKING = False  # as `typing` has it, without its weight
if TYPE_CHECKING:
    from typing import NoReturn
if TYPE_CHECKING or __package__:
    from ._zookeeper.guardian_process import GUARD_VARIABLE, Guardian, Program, keep_secrets, receive
else:
    sys.path.append(os.path.join(os.path.dirname(__file__), "_zookeeper"))  # noqa: PTH118, PTH120
    from guardian_process import GUARD_VARIABLE, Guardian, Program, keep_secrets, receive

FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT")


def guard_as_parent(command: list[str]) -> int:
    """Run ``command`` as a child, guard it and those of its children that ask for it, and return its exit code."""
    door, outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # `outside` stays open: `door` never ends
    door.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    door.setblocking(False)
    outside.set_inheritable(True)
    os.environ[GUARD_VARIABLE] = f"{outside.fileno()}:{os.fstat(outside.fileno()).st_ino}"
    came, comes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signals = {signal.SIGCHLD, *(getattr(signal, name) for name in FORWARDED)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # none is lost before it is listened to
    child = os.fork()
    if child == 0:
        execute(command, mask)
    keep_secrets()
    signal.set_wakeup_fd(comes)
    for number in signals:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask - signals)
    guardian, is_first = Guardian(), os.getpid() == 1
    status: int | None = None
    while True:
        has_ended = status is not None
        if has_ended and is_first:  # all processes end with this one: first those that are guarded, so that it sees it
            for program in [each for each in guardian.programs if not each.patience]:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(program.pidfd, signal.SIGKILL)
        guardian.watch(came, door.fileno(), limit=0.01 if has_ended else 60)
        admit(guardian, door)
        with contextlib.suppress(BlockingIOError):
            for number in set(os.read(came, 1000)) - {signal.SIGCHLD}:
                for pid in guardian.closing if has_ended else {child}:
                    os.kill(pid, number)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:  # as process 1 this inherits every orphan
                guardian.closing.discard(ended[0])
                status = ended[1] if ended[0] == child else status
        if status is not None and has_ended and not guardian.closing and not (is_first and guardian.programs):
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def admit(guardian: Guardian, door: socket.socket) -> None:
    """Guard each program that has handed in its pidfd and a socket for its orders."""
    with contextlib.suppress(OSError, ValueError):  # no more of them; or what was handed in is something else
        while True:
            asked_at, sender, (pidfd, orders) = receive(door)
            guardian.programs.append(Program(sender, pidfd, socket.socket(fileno=orders), float(asked_at)))


def execute(command: list[str], mask: set[int]) -> None:
    """Become ``command``, in a process group of its own, to which a terminal's Ctrl-C goes once."""
    os.setpgid(0, 0)
    if os.isatty(0):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            os.tcsetpgrp(0, os.getpgrp())
    for name in ("SIGTTOU", "SIGPIPE", "SIGXFSZ"):  # Python ignores the latter two
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        if not command[0]:  # else each directory of PATH is tried
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        os.execvp(command[0], command)
    except OSError as error:
        with contextlib.suppress(OSError):  # such as a full disk
            os.write(2, os.fsencode(f"golea guard: cannot run {command[0]}: {error.strerror}\n"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def fill_standard_streams() -> None:
    """Open ``/dev/null`` for each standard stream that this process was started without.

    Else what is opened next gets its number, and a program that is started takes that for its own stream.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # it has the lowest number that is free
        os.set_inheritable(number, True)
    os.close(number)


def main(arguments: list[str]) -> NoReturn:
    """Guard a command, as a script if this is none yet."""
    fill_standard_streams()
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        sys.exit("usage: python -m golea_async.guardian -- COMMAND [ARGUMENT...]")
    if __package__:
        os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, "--", *command])
    sys.exit(guard_as_parent(command))


if __name__ == "__main__":
    main(sys.argv[1:])

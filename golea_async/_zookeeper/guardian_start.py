"""How a program comes by a guardian: an ancestor that can guard it, or a process that it starts beside itself."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

from . import guardian_process

STANDARD_STREAMS = (0, 1, 2)


class UnavailableError(Exception):
    """Says why there can be no guardian here."""


def inherited_guardian(program: int | None = None) -> socket.socket | None:
    """Ask ``golea guard`` to guard this program, where that is an ancestor; return the socket to talk on.

    :param program: process id of another one that is meant, a child of this one.
    """
    descriptor, _, inode = os.environ.get(guardian_process.GUARD_VARIABLE, "").partition(":")
    try:
        if not descriptor.isdigit() or str(os.fstat(int(descriptor)).st_ino) != inode:
            return None
        ours, theirs = socketpair(names_senders=True)
        pidfd = open_pidfd(program)
        with theirs, socket.socket(fileno=os.dup(int(descriptor))) as door:
            handed_over = array.array("i", [pidfd, theirs.fileno()])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handed_over)]
            door.sendmsg([str(guardian_process.now()).encode()], rights, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
    except OSError:
        return None  # a child that was started without the descriptor has a guardian of its own
    os.close(pidfd)
    return ours


def started_guardian() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a guardian; return the socket to talk on, and the process that ends when the guardian has started.

    :raises OSError: it cannot be started now.
    """
    script, interpreter = Path(guardian_process.__file__), Path(sys.executable or "")
    if getattr(sys, "frozen", False) or not interpreter.name.startswith(("python", "pypy")) or not script.is_file():
        raise UnavailableError("there is no plain Python interpreter to run it with")
    try:
        pidfd = open_pidfd()
    except (AttributeError, OSError) as error:
        raise UnavailableError("this system has no pidfd") from error
    try:
        ours, theirs = socketpair(names_senders=True)
        with theirs:
            numbers = (os.getpid(), pidfd, theirs.fileno(), guardian_process.now())
            process = subprocess.Popen(
                [str(interpreter), "-I", "-S", str(script), *map(str, numbers)],
                pass_fds=numbers[1:3],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
                start_new_session=True,
            )
    finally:
        os.close(pidfd)
    return ours, process


def open_pidfd(process: int | None = None) -> int:
    """Return a pidfd of a process, of this one by itself, whose number is none of a standard stream's."""
    return _out_of_the_way(os.pidfd_open(process or os.getpid()))


def socketpair(*, names_senders: bool = False) -> tuple[socket.socket, socket.socket]:
    """Return two ends for messages, whose numbers are none of a standard stream's.

    :param names_senders: the second one tells who has sent a message.
    """
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours, theirs = (socket.socket(fileno=_out_of_the_way(end.detach())) for end in ends)
    # Now: what was sent before this option is set says nothing of its sender.
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, names_senders)
    return ours, theirs


def _out_of_the_way(descriptor: int) -> int:
    """Return a descriptor with a number from 3 on.

    A program that has closed a standard stream gets its number for whatever it opens next. In a process that it starts
    ``/dev/null`` or a file stands under that number, which is readable, as the pidfd of a dead program is.
    """
    if descriptor > STANDARD_STREAMS[-1]:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, STANDARD_STREAMS[-1] + 1)
    os.close(descriptor)
    return moved

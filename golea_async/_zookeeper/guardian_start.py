"""How a program comes by a guardian: an ancestor that can guard it, or a process that it starts beside itself."""

from __future__ import annotations

import array
import os
import socket
import subprocess
import sys
from pathlib import Path

from . import guardian_process


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
        ours, theirs = _socketpair()
        pidfd = os.pidfd_open(program or os.getpid())
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
        pidfd = os.pidfd_open(os.getpid())
    except (AttributeError, OSError) as error:
        raise UnavailableError("this system has no pidfd") from error
    try:
        ours, theirs = _socketpair()
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


def _socketpair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Now: what was sent before this option is set says nothing of its sender.
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs

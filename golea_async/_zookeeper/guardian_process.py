"""The guardian: a small process that closes the ZooKeeper sessions of a program that has died.

It runs as a script of its own, on the standard library alone: ``python -I -S guardian_process.py`` beside a program, or
``golea guard -- COMMAND`` as the parent of one.

Theory of operation
===================

- **Proof of death is the program's pidfd, and nothing else.** The program hands over a pidfd of itself, so that no reused
  process id can be meant. It becomes readable when the last thread of the program has ended. A program that is stopped,
  traced, blocked or writing a core dump is not dead. The end of the socket is no proof either: a program may close its
  descriptors, or exec.
- **It is read twice, 1 ms apart**: while a thread other than the first one execs, the first one ends.
- **The guardian never prolongs a session.** A ConnectRequest touches the session. So it asks for a timeout of 1 ms, which
  ZooKeeper raises to its least one, and none is sent later than half a session timeout after the death.
- **Requests are numbered from 2**31 - 1 downwards.** A server matches a commit with a request by (session, number) alone,
  and a write of the program's may still be under way.
- **The guardian connects only when the program is dead.** While the program lives it waits in ``poll``.
- Messages count only from the process that the kernel names as their sender: a forked child is another one.
"""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
import struct
import sys
import time

TYPE_CHECKING = False  # as `typing` has it, without its weight
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MESSAGE_SIZE = 200_000
GUARD_VARIABLE = "GOLEA_GUARD"  # "descriptor:inode" of the socket on which `golea guard` takes messages
CONFIRMATION = 0.001
SIGTERM_GRACE = 1.0
LONGEST_LINGER = 60.0

_CREDENTIALS = struct.Struct("3i")
_DESCRIPTOR = array.array("i").itemsize
_CLOSE_XID, _CLOSE, _AUTH_XID, _AUTH = 2**31 - 1, -11, -4, 100
_FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")


def now() -> float:
    """Return seconds of a clock that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def is_readable(descriptor: int) -> bool:
    """Return whether a descriptor is readable at this moment."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class Program:
    """One program that is guarded, and its sessions by the name that the program has given to each."""

    def __init__(self, pidfd: int) -> None:
        self.pidfd = pidfd
        self.sessions: dict[str, dict[str, Any]] = {}
        self.seen_alive_at = now()

    def is_dead(self) -> bool:
        """Return whether the whole program has ended: its pidfd has to say so twice."""
        asked_at = now()
        if is_readable(self.pidfd):
            time.sleep(CONFIRMATION)
            if is_readable(self.pidfd):
                return True
        self.seen_alive_at = asked_at
        return False


class Guardian:
    """Guards the program with the process id ``only``; None: every program that asks for it."""

    def __init__(self, orders: socket.socket, only: int | None) -> None:
        self.orders: socket.socket | None = orders
        self.programs: dict[int, Program] = {}
        self.closing: set[int] = set()  # process ids of the children that close sessions
        self.is_asked_to_end = False
        self.ends_at = float("inf")  # whatever happens
        self._only = only
        orders.setblocking(False)
        orders.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def watch(self, *others: int) -> None:
        """Wait until something happens to a program, to the socket or to ``others``, and act on it."""
        poll = select.poll()
        for descriptor in (*others, *(program.pidfd for program in self.programs.values())):
            poll.register(descriptor, select.POLLIN)
        if self.orders is not None:
            poll.register(self.orders, select.POLLIN)
        # The guardian may be stopped itself. Because it wakes up this often it knows, to an eighth of the session
        # timeout, until when the program has lived.
        poll.poll(1000 * min(self._longest_timeout(default=10) / 8, max(self.ends_at - now(), 0.01)))
        dead = [pid for pid, program in self.programs.items() if program.is_dead()]
        self.take_orders()  # what the program said before it died counts
        for pid in dead:
            program = self.programs.pop(pid)
            os.close(program.pidfd)
            for session in program.sessions.values():
                self.closing.add(in_a_child(close_session, session, program.seen_alive_at))

    def take_orders(self) -> None:
        """Read and obey every message that has come."""
        while self.orders is not None:
            space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_DESCRIPTOR)
            try:
                data, ancillary, _, _ = self.orders.recvmsg(MESSAGE_SIZE, space, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except ConnectionError:
                data, ancillary = b"", []
            if not data:
                # Sessions that are not maintained any more end by themselves. If the program goes on with them it has
                # started another guardian.
                self.orders.close()
                self.orders = None
                self.ends_at = now() + min(self._longest_timeout(default=0) + 1, LONGEST_LINGER)
                return
            sender, descriptor = unpack(ancillary)
            self._obey(sender, json.loads(data), descriptor)

    def _obey(self, sender: int, order: dict[str, Any], descriptor: int | None) -> None:
        if self._only not in (None, sender):
            order = {}  # a forked child's, which has the same socket
        program = self.programs.get(sender)
        if descriptor is not None and order and program is None:
            program, descriptor = self.programs.setdefault(sender, Program(descriptor)), None
        if descriptor is not None:
            os.close(descriptor)
        if program is not None and "session" in order:
            program.sessions[order["name"]] = order
            self._prepare_tls(order)
        elif program is not None and "forget" in order:
            program.sessions.pop(order["forget"], None)
        elif "end" in order and self._only is not None:
            self.is_asked_to_end = True

    def _prepare_tls(self, session: dict[str, Any]) -> None:
        """Read the certificates while the program lives: later there may be no time, and nobody to tell of an error."""
        if session["tls"] is None:
            return
        import ssl  # noqa: PLC0415  # 4 MB, which only TLS needs

        try:
            context = ssl.create_default_context(cafile=session["tls"]["ca"])
            if session["tls"]["certificate"] is not None:
                context.load_cert_chain(session["tls"]["certificate"], session["tls"]["key"])
        except OSError as error:
            self._report(f"the guardian cannot use TLSFiles: {error}")
            context = None
        session["context"] = context

    def _report(self, problem: str) -> None:
        try:
            if self.orders is not None:
                self.orders.send(json.dumps({"problem": problem}).encode(), socket.MSG_NOSIGNAL)
        except OSError:
            pass  # nobody reads it: the program is ending

    def _longest_timeout(self, default: float) -> float:
        timeouts = [session["timeout"] for program in self.programs.values() for session in program.sessions.values()]
        return max(timeouts, default=default)


def unpack(ancillary: list[Any]) -> tuple[int, int | None]:
    """Return the process id of a message's sender (0: unknown), and the descriptor that came with it."""
    sender, descriptor = 0, None
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            sender = _CREDENTIALS.unpack(content)[0]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptor = array.array("i", content[:_DESCRIPTOR])[0]
    return sender, descriptor


# ------------------------------------------------------------------ closing a session


def in_a_child(work: Callable[..., None], *arguments: object) -> int:
    """Run ``work`` in a child process: a server that does not answer holds up one session and no other."""
    child = os.fork()
    if child == 0:
        for name in _FORWARDED:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        try:
            work(*arguments)
        finally:
            os._exit(0)
    return child


def close_session(session: dict[str, Any], died_at: float) -> None:
    """Close the session of a dead program: ask each server once, until one has an answer that is final."""
    signal.alarm(int(session["timeout"] + session["delay"]) + 2)  # also where a name server hangs
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1) if now() > died_at + SIGTERM_GRACE else None)
    time.sleep(max(0, session["delay"] - (now() - died_at)))
    latest = died_at + session["timeout"] / 2
    for name, port, hostname in session["servers"]:
        limit = min(max(session["timeout"] / 8, 0.2), 2.0, latest - now())
        if limit <= 0:
            return
        try:
            with socket.create_connection((name, port), limit) as plain:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with wrapped(plain, session, hostname) as connection:
                    if now() < latest and converse(connection, session):
                        return
        except (OSError, EOFError, struct.error):
            continue  # the next server


def wrapped(plain: socket.socket, session: dict[str, Any], hostname: str) -> socket.socket:
    """Return the connection to talk on: with TLS where the program talked with TLS, and never without."""
    if session["tls"] is None:
        return plain
    if session["context"] is None:
        raise OSError("no TLS")
    wrapped: socket.socket = session["context"].wrap_socket(plain, server_hostname=hostname)
    return wrapped


def converse(connection: socket.socket, session: dict[str, Any]) -> bool:
    """Take up the session and close it; return whether asking other servers is of no use."""
    password = bytes.fromhex(session["password"])
    # Protocol 0, last zxid 0 (any server will do), 1 ms, the session, not read-only.
    write(connection, struct.pack("!iqiqi", 0, 0, 1, session["session"], len(password)) + password + b"\0")
    granted, session_id = struct.unpack_from("!iq", read(connection), 4)
    if granted <= 0:
        return True  # the session is over
    if session_id == session["session"]:
        for scheme, credential in session["auth"]:
            secret = bytes.fromhex(credential)
            head = struct.pack("!iiii", _AUTH_XID, _AUTH, 0, len(scheme.encode())) + scheme.encode()
            write(connection, head + struct.pack("!i", len(secret)) + secret)
    write(connection, struct.pack("!ii", _CLOSE_XID, _CLOSE))  # a session in its place is none of the program's either
    while True:
        xid, _, error = struct.unpack_from("!iqi", read(connection))
        if xid == _CLOSE_XID or (xid == _AUTH_XID and error):
            return True


def write(connection: socket.socket, frame: bytes) -> None:
    """Send a frame."""
    connection.sendall(struct.pack("!i", len(frame)) + frame)


def read(connection: socket.socket) -> bytes:
    """Read a frame."""
    (length,) = struct.unpack("!i", read_exactly(connection, 4))
    return read_exactly(connection, length)


def read_exactly(connection: socket.socket, length: int) -> bytes:
    """Read so many bytes, or raise EOFError."""
    content = b""
    while len(content) < length:
        part = connection.recv(length - len(content))
        if not part:
            raise EOFError
        content += part
    return content


# ------------------------------------------------------------------ beside a program


def guard_from_beside(descriptor: int, program: int) -> None:
    """Guard the program that has started this, until it asks for the end or its sessions are closed."""
    if os.fork():
        os._exit(0)  # the program waits for this one, and has no zombie later
    guardian = Guardian(socket.socket(fileno=descriptor), program)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def terminate(_signal: int, _frame: object) -> None:
        # A service manager asks all processes at once to end: the guardian outlives the program by its last duty.
        guardian.ends_at = min(guardian.ends_at, now() + SIGTERM_GRACE)

    signal.signal(signal.SIGTERM, terminate)
    has_guarded = False
    while not guardian.is_asked_to_end and now() < guardian.ends_at:
        guardian.watch()
        has_guarded = has_guarded or bool(guardian.programs)
        if has_guarded and not guardian.programs:
            break
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the children that close sessions have begun, and are bounded


# ------------------------------------------------------------------ as the parent of a program


def guard_as_parent(command: list[str]) -> int:
    """Run ``command`` as a child, guard it and those of its children that ask for it, and return its exit code."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    its.set_inheritable(True)
    os.environ[GUARD_VARIABLE] = f"{its.fileno()}:{os.fstat(its.fileno()).st_ino}"
    guardian = Guardian(mine, None)
    child = os.fork()
    if child == 0:
        execute(command)
    its.close()
    ends: dict[int, int] = {}  # wait statuses by process id: as PID 1 this inherits every orphan

    def reap(_signal: int = 0, _frame: object = None) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                ends[ended[0]] = ended[1]
        except ChildProcessError:
            pass

    def forward(number: int, _frame: object) -> None:
        if child not in ends:
            os.kill(child, number)

    for name in _FORWARDED:
        signal.signal(getattr(signal, name), forward)
    child_pidfd = os.pidfd_open(child)
    signal.signal(signal.SIGCHLD, reap)
    reap()
    while child not in ends:
        guardian.watch(child_pidfd)
    while any(program.is_dead() for program in guardian.programs.values()):
        guardian.watch()
    while not guardian.closing <= ends.keys():  # each of them is bounded
        time.sleep(CONFIRMATION)
    code = os.waitstatus_to_exitcode(ends[child])
    return code if code >= 0 else 128 - code


def execute(command: list[str]) -> None:
    """Become ``command``, in a process group of its own, to which a terminal's Ctrl-C goes once."""
    os.setpgid(0, 0)
    if os.isatty(0):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"golea guard: cannot run {command[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    if sys.argv[1] == "--guard":
        sys.exit(guard_as_parent(sys.argv[2:]))
    guard_from_beside(int(sys.argv[1]), int(sys.argv[2]))

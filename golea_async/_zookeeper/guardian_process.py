"""The guardian: a small process that closes the ZooKeeper sessions of a program that has died.

It is a script of its own, on the standard library alone, which a program starts beside itself. With the same code
:mod:`golea_async.guardian` guards programs as their parent. What it says to a server stands in ``guardian_talk``.

Theory of operation
===================

- **Proof of death is the program's pidfd, and nothing else.** The program hands over a pidfd of itself, so that no
  reused process id can be meant. It becomes readable when the last thread of the program has ended. A program that is
  stopped, traced, blocked or writing a core dump is not dead. The end of the socket is no proof: a program may close
  its descriptors, or exec.
- **It is read twice, 1 ms apart**: while a thread other than the first one execs, the first one ends.
- **The guardian never prolongs a session.** A ConnectRequest touches the session. So it asks for a timeout of 1 ms,
  which ZooKeeper raises to its least one, and none is sent later than half a session timeout after the death. While
  the program lives the guardian looks at the pidfd every eighth of the session timeout: so it knows of a death that it
  has slept through when that was at the earliest.
- **Who has refused is asked again until then**: nothing of its request is left. A server that elects a leader closes
  the connection before it reads the request (``NIOServerCnxn.readConnectRequest``). Later it passes the request on to
  the leader, which alone touches sessions (``Learner.validateSession``): that is done, or ends with their connection.
  A server that does not answer may yet carry out what it was sent, at whatever time: it is sent nothing more.
- **The guardian connects only when the program is dead.** Until then it waits in ``poll``.
- **What it knows may be old, and does no harm**: whatever sessions a program had, all of them are over when it is dead.
- Messages count only from the process that the kernel names as their sender: a forked child is another one.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

TYPE_CHECKING = False  # as `typing` has it, without its weight
if TYPE_CHECKING:
    from typing import Any
if TYPE_CHECKING or __package__:
    from .guardian_talk import addresses, ask_to_close, tls_context
else:
    sys.path.append(os.path.dirname(__file__))  # noqa: PTH120
    from guardian_talk import addresses, ask_to_close, tls_context

MESSAGE_SIZE = 200_000
GUARD_VARIABLE = "GOLEA_GUARD"  # "descriptor:inode" of the socket on which `golea guard` is asked to guard a program
CONFIRMATION = 0.001
SIGTERM_GRACE = 1.0

_INT, _CREDENTIALS = array.array("i").itemsize, struct.Struct("3i")
_ANCILLARY_SIZE = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(2 * _INT)


def now() -> float:
    """Return seconds of a clock that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Program:
    """A program that is guarded: who it is, where it gives its orders, and its sessions by the names it gave them.

    :ivar patience: seconds for which it is waited for where all end, since it has sessions of its own to close.
    """

    def __init__(self, pid: int, pidfd: int, orders: socket.socket, seen_alive_at: float) -> None:
        self.pid: int = pid
        self.pidfd: int = pidfd
        self.orders: socket.socket | None = orders
        self.sessions: dict[str, dict[str, Any]] = {}
        self.patience: float = 0
        self.seen_alive_at: float = seen_alive_at
        self.is_over_at: float = float("inf")  # whatever happens
        orders.setblocking(False)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(pidfd, 0)  # fails if it is none: whatever else is readable proves nothing

    def is_dead(self) -> bool:
        """Return whether the whole program has ended: its pidfd has to say so twice."""
        asked_at = now()
        if self._has_ended():
            time.sleep(CONFIRMATION)
            if self._has_ended():
                return True
        self.seen_alive_at = asked_at
        return False

    def _has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def take_orders(self) -> None:
        """Read and obey every order that has come."""
        while self.orders is not None:
            try:
                data, sender, descriptors = receive(self.orders)
            except BlockingIOError:
                return
            except OSError:
                data, sender, descriptors = b"", 0, []
            for descriptor in descriptors:  # nobody of ours sends one
                os.close(descriptor)
            if not data:
                # A program that goes on with its sessions has started another guardian; else they end by themselves.
                self.orders.close()
                self.orders = None
                self.is_over_at = min(self.is_over_at, now() + 1 + max(self.timeouts(), default=self.patience))
            elif sender == self.pid:
                self._obey(json.loads(data))

    def _obey(self, order: dict[str, Any]) -> None:
        if "session" in order:
            self.sessions[order["name"]] = order
            self._prepare_tls(order)
        elif "patience" in order:
            self.patience = order["patience"]
        elif "forget" in order:
            self.sessions.pop(order["forget"], None)
        elif "end" in order:
            self.is_over_at = 0
        else:
            self._say({"hello": os.getpid()})

    def _prepare_tls(self, session: dict[str, Any]) -> None:
        """Read the certificates while the program lives: later there may be no time, and nobody to tell of an error."""
        if session["tls"] is not None:
            try:
                session["context"] = tls_context(*session["tls"])
            except (OSError, ValueError) as error:
                session["context"] = None
                self._say({"problem": f"the guardian cannot use TLSFiles: {error}"})

    def _say(self, what: dict[str, Any]) -> None:
        if self.orders is not None:
            with contextlib.suppress(OSError):  # nobody reads it: the program is ending
                self.orders.send(json.dumps(what).encode(), socket.MSG_NOSIGNAL)

    def timeouts(self) -> list[float]:
        """Return the session timeouts."""
        return [session["timeout"] for session in self.sessions.values()]


class Guardian:
    """Guards programs.

    :ivar closing: process ids of the children that close sessions.
    """

    def __init__(self, *programs: Program) -> None:
        self.programs: list[Program] = list(programs)
        self.closing: set[int] = set()

    def watch(self, *others: int, limit: float = 60.0) -> None:
        """Wait until something happens to a program or to ``others``, and do what is to be done for programs."""
        poll = select.poll()
        for program in self.programs:
            poll.register(program.pidfd, select.POLLIN)
            if program.orders is not None:
                poll.register(program.orders, select.POLLIN)
            limit = min(limit, max(program.is_over_at - now(), 0.01), *(each / 8 for each in program.timeouts()))
        for descriptor in others:
            poll.register(descriptor, select.POLLIN)
        poll.poll(1000 * limit)
        for program in list(self.programs):
            is_dead = program.is_dead()
            program.take_orders()  # what it said before it died counts
            if is_dead or now() >= program.is_over_at:
                self.programs.remove(program)
                os.close(program.pidfd)
            if is_dead:
                for session in program.sessions.values():
                    self._close(session, program.seen_alive_at)

    def _close(self, session: dict[str, Any], died_at: float) -> None:
        """Close a session in a child process: a server that does not answer holds up one session and no other."""
        with contextlib.suppress(OSError):  # no process to be had: the session ends by itself
            child = os.fork()
            if child:
                self.closing.add(child)
                return
            try:
                close_session(session, died_at)
            finally:
                os._exit(0)


def receive(orders: socket.socket) -> tuple[bytes, int, list[int]]:
    """Return a message, its sender's process id (0: unknown), and the descriptors that came with it.

    :raises OSError: when there is none.
    """
    data, ancillary, _, _ = orders.recvmsg(MESSAGE_SIZE, _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC)
    sender, descriptors = 0, array.array("i")
    for _, kind, content in ancillary:
        if kind == socket.SCM_CREDENTIALS:
            sender = _CREDENTIALS.unpack(content)[0]
        elif kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % _INT])
    return data, sender, list(descriptors)


def keep_secrets() -> None:
    """Have no core file with what is known here: passwords of sessions, and credentials."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/coredump_filter", "w") as kinds_of_memory:  # noqa: PTH123
        kinds_of_memory.write("0")


# ------------------------------------------------------------------ closing a session


def close_session(session: dict[str, Any], died_at: float) -> None:
    """Close the session of a dead program: ask all servers in turn, until one has an answer that is final."""
    signal.set_wakeup_fd(-1)  # a parent's signals are not this one's
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1) if now() > died_at + SIGTERM_GRACE else None)
    signal.alarm(int(session["timeout"]) + 3)  # also where a name server hangs
    time.sleep(session["delay"])  # from now on: `died_at` is when the death was at the earliest
    silent: set[Any] = set()
    while seconds_for_a_try(session["timeout"], died_at, now()) > 0:
        for family, address, hostname in addresses(session["servers"]):
            limit = seconds_for_a_try(session["timeout"], died_at, now())
            if address in silent or limit <= 0:
                continue
            try:
                if ask_to_close(session, family, address, hostname, limit):
                    return
            except TimeoutError:
                silent.add(address)
            except (OSError, EOFError, ValueError, struct.error):
                pass  # then the next one
        time.sleep(pause_between_rounds(session["timeout"]))


def seconds_for_a_try(timeout: float, died_at: float, at: float) -> float:
    """Return how long a server may take; 0 or less when it is too late for another ConnectRequest."""
    return min(max(timeout / 8, 0.2), 2.0, died_at + timeout / 2 - at)


def pause_between_rounds(timeout: float) -> float:
    """Return how long it is waited before all servers are asked again: they need a moment to elect a leader."""
    return max(timeout / 40, 0.05)


# ------------------------------------------------------------------ beside a program


def guard_from_beside(pid: int, pidfd: int, orders: int, started_at: float) -> None:
    """Guard the program that has started this, until it asks for the end or is dead."""
    if os.fork():
        os._exit(0)  # the program waits for this one, and has no zombie later
    keep_secrets()
    # SIGTERM, too: a service manager asks all processes at once to end, and this one ends with the program.
    for name in ("SIGINT", "SIGHUP", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # else as in the program's thread
    guardian = Guardian(Program(pid, pidfd, socket.socket(fileno=orders), started_at))
    while guardian.programs:
        guardian.watch()


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:4]]
    guard_from_beside(numbers[0], numbers[1], numbers[2], float(sys.argv[4]))

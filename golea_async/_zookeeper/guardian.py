"""The program's side of the guardian: it is started, told each session, and started again when it was killed.

What it does and why stands in :mod:`golea_async._zookeeper.guardian_process`, which runs as a process of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import select
import socket
import ssl as ssl_module
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from .guardian_process import MESSAGE_SIZE
from .guardian_start import UnavailableError, inherited_guardian, started_guardian
from .log import Log
from .tls_files import TLSFiles

log = Log(logging.getLogger("golea_async.guardian"))

HELLO_TIMEOUT = 10.0
TAKE_TIMEOUT = 30.0
"""Seconds after which a guardian that takes no orders, while its socket is full, is given up: it is stopped."""
LOOK_EVERY = 5.0
"""Seconds after which it is found out that the application has closed the socket's descriptor."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before another guardian is started in place of one that was killed."""
_WITHOUT = "without a guardian a killed process is replaced after the session timeout; everything else works"
_names = itertools.count()

Where: TypeAlias = tuple[str, int, str]
"""A server: its address, its port, and its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardian:
    """How the guardian of a client acts when the program is dead.

    :ivar delay: seconds for which it waits after the death, for what remote systems still do for the dead program. Less
        than three eighths of the session timeout: later the session is left to end by itself.
    """

    delay: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.delay, bool) or not isinstance(self.delay, int | float):
            raise TypeError(f"the guardian's delay must be seconds, not {self.delay!r}")
        if not 0 <= self.delay < float("inf"):
            raise ValueError(f"the guardian's delay must be seconds from 0 on, not {self.delay!r}")


class SessionGuard:
    """Tells the guardian of one client's session: who it is now, and where it is connected.

    :ivar credentials: what is presented to servers, as (scheme, credential).
    """

    def __init__(self, guardian: Guardian, tls: TLSFiles | None) -> None:
        self.credentials: Sequence[tuple[str, bytes]] = ()
        self._name = f"client {next(_names)}"
        self._delay = guardian.delay
        self._delay_is_too_long = False
        self._known: dict[tuple[str, int], Where] = {}
        self._tls = None if tls is None else tls.absolute()

    def begin(self) -> None:
        """Start the guardian beside what else the client does at its start."""
        GuardianLink.of_this_process.begin(self._name)

    def session_is(
        self, session_id: int, password: bytes, timeout: float, where: Where | None, hosts: Sequence[tuple[str, int]]
    ) -> None:
        """Have this session guarded in place of the one before; 0: none. To be called at each connection."""
        if not session_id or where is None:
            GuardianLink.of_this_process.guard(self._name, None)
            return
        self._check_delay(timeout)
        _, port, name = where
        self._known[name, port] = where
        known = sorted(self._known.values(), key=lambda each: each != where)
        order = {
            "name": self._name,
            "session": session_id,
            "password": password.hex(),
            "timeout": timeout,
            "servers": [*known, *((name, port, name) for name, port in hosts)],
            "auth": [[scheme, secret.hex()] for scheme, secret in self.credentials],
            "tls": self._tls,
            "delay": self._delay,
        }
        GuardianLink.of_this_process.guard(self._name, order)

    def _check_delay(self, timeout: float) -> None:
        # Half of it is the limit, and an eighth of it may have passed before the guardian knows of the death.
        was_too_long, self._delay_is_too_long = self._delay_is_too_long, self._delay >= 3 / 8 * timeout
        if self._delay_is_too_long and not was_too_long:
            log.warning(
                "the guardian's delay of %g s is too long for a session timeout of %g s, the session ends by itself "
                "(less than %g s is short enough); %s",
                self._delay,
                timeout,
                3 / 8 * timeout,
                _WITHOUT,
            )

    def end(self) -> None:
        """Need the guardian no more."""
        GuardianLink.of_this_process.end(self._name)


def session_guard(guardian: bool | Guardian, ssl: ssl_module.SSLContext | TLSFiles | None) -> SessionGuard | None:
    """Return what has a client's session guarded; None: nothing.

    :raises TypeError: ``guardian`` is neither a bool nor a :class:`Guardian`.
    :raises ValueError: ``ssl`` is a context.
    """
    if not isinstance(guardian, bool | Guardian):
        raise TypeError(f"guardian= takes True or a Guardian, not {type(guardian).__name__}")
    if guardian is False:
        return None
    if isinstance(ssl, ssl_module.SSLContext):
        raise ValueError("a guardian cannot take over an SSLContext: give ssl=TLSFiles(ca, certificate, key)")
    return SessionGuard(Guardian() if guardian is True else guardian, ssl)


class GuardianLink:
    """To the one guardian of this process: a thread starts it, listens to it, and starts another when it was killed.

    Invariant: ``_sessions`` is what the guardian is to know. If there is a socket, the guardian has been sent all of it
    but what is so of the clients in ``_untold``; while there are any, a thread waits for the socket to take more. A new
    guardian is told all. ``_changed`` guards all of this: clients may live in event loops of several threads.
    """

    of_this_process: ClassVar[GuardianLink]

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sessions: dict[str, dict[str, Any] | None] = {}  # by client; None while it has no session
        self._untold: dict[str, None] = {}  # clients, in the order in which they have changed
        self._socket: socket.socket | None = None
        self._full: socket.socket | None = None  # the one that a thread waits for
        self._inode = 0
        self._is_at_work = False
        self._warned_of = ""

    @classmethod
    def begin_anew(cls) -> None:
        """Forget what was before, as a forked child does: it has none of its parent's guardian."""
        cls.of_this_process = cls()

    def begin(self, client: str) -> None:
        """Have a guardian, started beside what else is being done."""
        with self._changed:
            self._sessions.setdefault(client, None)
            if not self._is_at_work:
                self._is_at_work = True
                try:
                    threading.Thread(target=self._work, name="golea-guardian", daemon=True).start()
                except RuntimeError as error:  # no thread to be had
                    self._is_at_work = False
                    self._warn(f"no guardian can be started: {error}")

    def guard(self, client: str, session: dict[str, Any] | None) -> None:
        """Have this session of a client's guarded in place of the one before; None: no session."""
        with self._changed:
            if client in self._sessions and self._sessions[client] is not session:
                self._sessions[client] = session
                self._tell(client)

    def end(self, client: str) -> None:
        """Take a client off; the last one ends the guardian."""
        with self._changed:
            self._sessions.pop(client, None)
            self._tell(client)
            if not self._sessions:
                self._changed.notify()

    def _tell(self, *clients: str) -> None:
        """Tell the guardian what is so of these clients by now, without ever waiting: what is left over is told later.

        Without any client left it is told to end.
        """
        if self._socket is None:
            return
        self._untold.update(dict.fromkeys(clients))
        if self._full is not self._socket and self._send_untold():
            try:
                arguments = (self._socket, _poll(self._socket, select.POLLOUT))
                threading.Thread(
                    target=self._tell_later, args=arguments, name="golea-guardian-orders", daemon=True
                ).start()
                self._full = self._socket
            except RuntimeError:  # no thread to be had: another guardian is told
                self._socket.shutdown(socket.SHUT_RDWR)

    def _send_untold(self) -> bool:
        """Send what is untold; return whether something is left, since the socket is full."""
        while self._socket is not None and (self._untold or not self._sessions):
            client = next(iter(self._untold), "")
            order = self._sessions.get(client) or ({"forget": client} if self._sessions else {"end": True})
            try:
                self._send(self._socket, order)
                if not self._sessions:
                    self._socket.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                return True
            except OSError as error:
                log.debug("the guardian cannot be told: %s", error)
            self._untold.pop(client, None)
            if not self._sessions:
                self._socket = None
        return False

    def _send(self, ours: socket.socket, order: dict[str, Any]) -> None:
        """:raises OSError: the order was not sent."""
        self._check(ours)
        ours.send(json.dumps(order).encode(), socket.MSG_NOSIGNAL)

    def _check(self, ours: socket.socket) -> None:
        """:raises OSError: the application has closed all its descriptors: this number may be another file's by now."""
        if os.fstat(ours.fileno()).st_ino != self._inode:
            raise OSError("its descriptor was closed")

    # ------------------------------------------------------------------ in a thread: no event loop ever waits for it

    def _work(self) -> None:
        """Have a guardian, and another one when it has ended, until no client needs one."""
        pause = FIRST_PAUSE
        while True:
            began, problem = time.monotonic(), "the guardian has ended"
            try:
                inherited = inherited_guardian()
                was_needed = self._talk(*((inherited, None) if inherited else started_guardian()))
            except UnavailableError as error:
                self._warn(f"no guardian can be started: {error}")
                return  # at work for ever: nobody tries again
            except (OSError, RuntimeError) as error:
                was_needed, problem = True, f"no guardian can be started: {error}"
            with self._changed:
                if not self._sessions:
                    self._is_at_work = False
                    return
                if not was_needed:  # a client has begun just after the last one had ended
                    continue
                if time.monotonic() - began > LONGEST_PAUSE:
                    pause, self._warned_of = FIRST_PAUSE, ""
                self._warn(f"{problem}; another one is started")
                self._changed.wait_for(lambda: not self._sessions, pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _talk(self, ours: socket.socket, starting: subprocess.Popen[bytes] | None) -> bool:
        """Tell a guardian everything, and listen until it ends; return whether it was still needed then.

        :raises OSError: it says nothing.
        """
        inode = os.fstat(ours.fileno()).st_ino
        try:
            ours.setblocking(False)
            with self._changed:
                # At once, not when it answers: if the program dies while the guardian starts, that finds this here.
                self._socket, self._inode = ours, inode
                self._untold.clear()
                with contextlib.suppress(OSError):  # it has ended already: why is found out below
                    self._send(ours, {})
                self._tell(*self._sessions)
            if starting is not None and (code := starting.wait()):
                raise UnavailableError(f"{sys.executable} ended with {code}")
            is_readable = _poll(ours, select.POLLIN).poll(1000 * HELLO_TIMEOUT)
            greeting = ours.recv(MESSAGE_SIZE) if is_readable else b""
            if not greeting:
                raise OSError("it says nothing")
            self._listen(ours)
        finally:
            with self._changed:
                was_needed, self._socket = self._socket is ours, None
                _let_go(ours, inode)
        if starting is not None:
            _reap(json.loads(greeting)["hello"])
        return was_needed

    def _listen(self, ours: socket.socket) -> None:
        """Log what the guardian has to say, until its end or this one's."""
        with contextlib.suppress(OSError):
            while self._socket is ours:
                is_readable = _poll(ours, select.POLLIN).poll(1000 * LOOK_EVERY)
                self._check(ours)
                if is_readable:
                    said = ours.recv(MESSAGE_SIZE)
                    if not said:
                        return
                    self._warn(json.loads(said)["problem"])

    def _tell_later(self, ours: socket.socket, poll: select.poll) -> None:
        """Tell the guardian what is untold, as soon as its socket takes more."""
        while True:
            takes_more = poll.poll(1000 * TAKE_TIMEOUT)
            with self._changed, contextlib.suppress(OSError):
                if self._socket is ours and not takes_more:
                    self._check(ours)
                    ours.shutdown(socket.SHUT_RDWR)  # what it knows stays right
                elif self._socket is ours and self._send_untold():
                    continue
                if self._full is ours:
                    self._full = None
                return

    def _warn(self, problem: str) -> None:
        """Log a problem, once: what is said again and again is for no operator."""
        log.log(logging.DEBUG if problem == self._warned_of else logging.WARNING, "%s; %s", problem, _WITHOUT)
        self._warned_of = problem


GuardianLink.begin_anew()
os.register_at_fork(after_in_child=GuardianLink.begin_anew)


def _poll(ours: socket.socket, event: int) -> select.poll:
    poll = select.poll()
    poll.register(ours, event)
    return poll


def _let_go(ours: socket.socket, inode: int) -> None:
    """Close a socket, unless the application has closed it, and its number may be another file's."""
    try:
        is_ours = os.fstat(ours.fileno()).st_ino == inode
    except OSError:
        is_ours = False
    if is_ours:
        ours.close()
    else:
        ours.detach()


def _reap(guardian: int) -> None:
    """Leave no zombie where orphans become children of this program: as process 1, or as a subreaper.

    On a busy machine it takes a while to end, and meanwhile another one may be wanted.
    """
    with contextlib.suppress(ChildProcessError, RuntimeError):  # no child of this program; no thread to be had
        if not os.waitpid(guardian, os.WNOHANG)[0]:
            arguments = (guardian, 0)
            threading.Thread(target=os.waitpid, args=arguments, name="golea-guardian-end", daemon=True).start()

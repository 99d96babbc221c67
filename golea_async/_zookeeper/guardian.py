"""The program's side of the guardian: starting it, and telling it of each session.

One guardian serves all clients of a process. What it does and why stands in
:mod:`golea_async._zookeeper.guardian_process`, which runs as a script of its own.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import guardian_process

log = logging.getLogger("golea_async.guardian")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds before a guardian that was killed is started again
_WITHOUT = "without a guardian a killed process is replaced after the session timeout; everything else works"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardian:
    """How the guardian of a client acts when the program is dead.

    :ivar delay: seconds for which it waits after the death, for what remote systems still do for the dead program. Less
        than half the session timeout: later the session is left to end by itself.
    """

    delay: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.delay, bool) or not isinstance(self.delay, int | float):
            raise TypeError(f"the guardian's delay must be seconds, not {self.delay!r}")
        if not 0 <= self.delay < float("inf"):
            raise ValueError(f"the guardian's delay must be seconds from 0 on, not {self.delay!r}")


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """The files from which client and guardian each make a TLS context: a context itself cannot be handed over.

    :ivar ca: certificates of the authorities that sign the servers' certificates (PEM).
    :ivar certificate: the client's own certificate, with its chain (PEM), where servers ask for one.
    :ivar key: the private key of that, without a passphrase (PEM); None: it is in the same file.
    """

    ca: str | os.PathLike[str]
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context made of the files.

        :raises OSError: when a file cannot be read or used.
        """
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def absolute(self) -> dict[str, str | None]:
        """Return the paths as another process can use them, by name."""
        paths = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
        return {name: None if path is None else str(Path(path).absolute()) for name, path in paths.items()}


class SessionGuard:
    """Tells the guardian of one client's session: who it is now, and where it is connected."""

    def __init__(self, guardian: Guardian, tls: TLSFiles | None, credentials: Sequence[tuple[str, bytes]]) -> None:
        self._guardian = guardian
        self._tls = None if tls is None else tls.absolute()
        self._credentials = [[scheme, secret.hex()] for scheme, secret in credentials]
        self._name = ""

    def begin(self) -> None:
        """Start the guardian beside what else the client does at its start."""
        self._name = f"{id(self)}"
        GuardianProcess.of_this_process().begin(self._name)

    def session_established(
        self, session_id: int, password: bytes, timeout: float, servers: Sequence[tuple[str, int, str]]
    ) -> None:
        """Have the session guarded; to be called at each connection. ``servers``: address, port, name, the connected first."""
        if self._guardian.delay >= timeout / 2:
            log.warning(
                "the guardian's delay of %g s is not less than half the session timeout of %g s: %s",
                self._guardian.delay,
                timeout,
                _WITHOUT,
            )
        order = {
            "name": self._name,
            "session": session_id,
            "password": password.hex(),
            "timeout": timeout,
            "servers": [list(server) for server in servers],
            "auth": self._credentials,
            "tls": self._tls,
            "delay": self._guardian.delay,
        }
        GuardianProcess.of_this_process().guard(self._name, order)

    def session_ended(self) -> None:
        """Have it guarded no longer: it is closed or lost."""
        GuardianProcess.of_this_process().forget(self._name)

    def end(self) -> None:
        """Need the guardian no more."""
        GuardianProcess.of_this_process().end(self._name)


class GuardianProcess:
    """The guardian of this process: made when the first client needs it, ended when the last one has closed.

    Invariant: ``_orders`` has what the guardian is to know; each change of it is sent if there is a socket, and a new
    guardian is told all of it. ``_lock`` guards both: clients may live in event loops of several threads.
    """

    _current: GuardianProcess | None = None

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._orders: dict[str, dict[str, Any] | None] = {}  # by client; None while it has no session
        self._loops: dict[str, asyncio.AbstractEventLoop] = {}
        self._socket: socket.socket | None = None
        self._inode = 0
        self._is_inherited = False
        self._is_starting = False
        self._is_refused = False
        self._pause = _FIRST_PAUSE

    @classmethod
    def of_this_process(cls) -> GuardianProcess:
        """Return the one of this process: a forked child has none of its parent's."""
        if cls._current is None or cls._current.pid != os.getpid():
            cls._current = cls()
        return cls._current

    def begin(self, client: str) -> None:
        """Start the guardian, beside what else is being done, unless it runs. To be called in the client's loop."""
        self._loops[client] = asyncio.get_running_loop()
        with self._lock:
            self._orders[client] = None
            is_running = self._socket is not None
        if is_running:
            self._listen_in(self._loops[client])
        else:
            self._start_soon()

    def guard(self, client: str, order: dict[str, Any]) -> None:
        """Have this session of a client's guarded in place of the one before."""
        with self._lock:
            if client in self._orders:
                self._orders[client] = order
                self._send(order)

    def forget(self, client: str) -> None:
        """Have a client's session guarded no longer."""
        with self._lock:
            if self._orders.get(client) is not None:
                self._orders[client] = None
                self._send({"forget": client})

    def end(self, client: str) -> None:
        """Take a client off; the last one ends the guardian."""
        self.forget(client)
        loop = self._loops.pop(client, None)
        with self._lock:
            self._orders.pop(client, None)
            if self._socket is not None and loop is not None and loop not in self._loops.values():
                loop.remove_reader(self._socket)
            if not self._orders:
                self._send({"end": True})
                self._drop_socket()

    # ------------------------------------------------------------------ starting it

    def _start_soon(self) -> None:
        with self._lock:
            if self._is_starting or self._is_refused or self._socket is not None or not self._orders:
                return
            self._is_starting = True
        # In a thread: a Python takes some hundredths of a second to start, and the event loop is not to wait for that.
        threading.Thread(target=self._start, name="golea-guardian", daemon=True).start()

    def _start(self) -> None:
        try:
            ours = _inherited_socket() or _started_guardian()
            _introduce(ours)
        except (OSError, _UnavailableError) as error:
            self._is_refused = True
            log.warning("no guardian can be started (%s): %s", error, _WITHOUT)
            return
        finally:
            self._is_starting = False
        with self._lock:
            self._socket, self._inode = ours, os.fstat(ours.fileno()).st_ino
            for order in self._orders.values():
                if order is not None:
                    self._send(order)
            loops = set(self._loops.values())
            if not self._orders:  # all clients have closed meanwhile
                self._send({"end": True})
                self._drop_socket()
        for loop in loops:
            with contextlib.suppress(RuntimeError):  # closed
                loop.call_soon_threadsafe(self._listen_in, loop)

    # ------------------------------------------------------------------ talking to it

    def _send(self, order: dict[str, Any]) -> None:
        """Send without ever waiting. If it cannot be sent all of it is sent again later."""
        if self._socket is None:
            return
        try:
            # The application may have closed all its descriptors: this number may be another file's by now.
            if os.fstat(self._socket.fileno()).st_ino != self._inode:
                raise OSError("the descriptor is closed")
            self._socket.send(json.dumps(order).encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            self._call_later(1.0, self._send_all)  # it is stopped, and its socket full
        except OSError:
            self._call_later(0, self._replace)

    def _send_all(self) -> None:
        with self._lock:
            for client, order in self._orders.items():
                self._send({"forget": client} if order is None else order)

    def _listen_in(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._socket is not None and loop in self._loops.values():
            loop.add_reader(self._socket, self._hear)

    def _hear(self) -> None:
        """Read what the guardian says: a problem, or its end."""
        try:
            data = self._socket.recv(guardian_process.MESSAGE_SIZE) if self._socket is not None else b"{}"
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._replace()
        elif problem := json.loads(data).get("problem"):
            log.warning("%s: %s", problem, _WITHOUT)

    def _replace(self) -> None:
        """Start another guardian in place of one that has ended, with a backoff."""
        with self._lock:
            if self._socket is None:
                return
            for loop in set(self._loops.values()):
                if loop is asyncio.get_running_loop():
                    loop.remove_reader(self._socket)
            self._drop_socket()
            pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        log.warning("the guardian has ended, another one is started in %g s: %s", pause, _WITHOUT)
        self._call_later(pause, self._start_soon)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            try:
                is_ours = os.fstat(self._socket.fileno()).st_ino == self._inode
            except OSError:
                is_ours = False
            if is_ours:
                self._socket.close()
            else:
                self._socket.detach()
            self._socket = None

    def _call_later(self, delay: float, call: Callable[[], None]) -> None:
        for loop in set(self._loops.values()):
            with contextlib.suppress(RuntimeError):  # closed
                loop.call_soon_threadsafe(loop.call_later, delay, call)
                return


class _UnavailableError(Exception):
    """Says why there can be no guardian here."""


def _inherited_socket() -> socket.socket | None:
    """Return the socket of ``golea guard``, when that is this program's parent or an ancestor."""
    descriptor, _, inode = os.environ.get(guardian_process.GUARD_VARIABLE, "").partition(":")
    if not (descriptor.isdigit() and inode.isdigit()):
        return None
    try:
        if os.fstat(int(descriptor)).st_ino != int(inode):
            return None
        return socket.socket(fileno=os.dup(int(descriptor)))
    except OSError:
        return None  # a child that was started without it: it has a guardian of its own


def _started_guardian() -> socket.socket:
    """Start a guardian and return the socket on which it takes messages."""
    script = Path(guardian_process.__file__)
    if not hasattr(os, "pidfd_open"):
        raise _UnavailableError("this system has no pidfd")
    interpreter = Path(sys.executable or "")
    if getattr(sys, "frozen", False) or not interpreter.name.startswith(("python", "pypy")) or not script.is_file():
        raise _UnavailableError("there is no plain Python interpreter to run it with")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Now: what was sent before this option is set says nothing of its sender.
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with theirs:
        command = [str(interpreter), "-I", "-S", str(script), str(theirs.fileno()), str(os.getpid())]
        code = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            start_new_session=True,
        ).wait()
    if code:
        ours.close()
        raise _UnavailableError(f"{interpreter} ended with {code}")
    return ours


def _introduce(guardian: socket.socket) -> None:
    """Hand over a pidfd of this process: no reused process id can be meant."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        descriptors = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [pidfd]))]
        guardian.sendmsg([b'{"hello": true}'], descriptors, socket.MSG_NOSIGNAL)
    finally:
        os.close(pidfd)

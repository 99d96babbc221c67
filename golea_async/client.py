"""``ZKClient``: an :class:`aiozk.ZKClient` that notices at once when its connection dies, and forgets no watch.

Where aiozk's client waits for a session timeout, this one reads the socket; where aiozk guesses, this one asks:

- It makes one TCP connection per connect. The server's version, which takes another one to ask for, is taken to be
  3.5.1 or newer (:attr:`ZKClient.features`).
- What is not idempotent is sent once. When its outcome is unknown, that is what the error says.
- A session is lost when ZooKeeper says so, and never else.
- Waiting is never silent: a WARNING names every server with what became of it.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import aiozk
from aiozk.features import Features

from ._shared.before_close import finish_unfinished
from ._zookeeper.arguments import check_acl, check_chroot
from ._zookeeper.connection import ASSUMED_VERSION, Connection
from ._zookeeper.errors import AuthenticationError, NotSentError, OutcomeUnknownError
from ._zookeeper.events import SessionEvent, SessionEvents, SessionState
from ._zookeeper.guardian import Guardian, session_guard
from ._zookeeper.host_list import parse_hosts
from ._zookeeper.loops import check_loop
from ._zookeeper.session import Session
from ._zookeeper.tls_files import TLSFiles

__all__ = [
    "AuthenticationError",
    "Connection",
    "Guardian",
    "NotSentError",
    "OutcomeUnknownError",
    "Session",
    "SessionEvent",
    "SessionEvents",
    "SessionState",
    "TLSFiles",
    "ZKClient",
]

STAT_CACHE_SIZE = 1000


class StatCache(OrderedDict[str, Any]):
    """aiozk's ``stat_cache``, which grows with every path that was ever read: this one keeps the latest thousand."""

    def __setitem__(self, path: str, stat: Any) -> None:
        super().__setitem__(path, stat)
        self.move_to_end(path)
        if len(self) > STAT_CACHE_SIZE:
            self.popitem(last=False)


class ZKClient(aiozk.ZKClient):
    """A ZooKeeper client for asyncio; every aiozk recipe takes it.

    ``async with ZKClient("zk1:2181,zk2:2181,zk3:2181") as zk: ...`` starts and closes it.

    As in aiozk, ``set_data``, ``delete`` and ``set_acl`` without ``force`` go by the version that was last read here;
    that is remembered for the latest thousand paths. ``ensure_path`` asks for container znodes, which ZooKeeper may
    remove once they are empty again (3.8 makes persistent ones of them): not for election nodes.

    :param servers: ``host:port,host:port,...``; names may stand for several addresses, IPv6 goes in brackets.
    :param chroot: all paths are below this one; made by :meth:`start` if it is missing.
    :param session_timeout: the session timeout to ask for, in seconds; ZooKeeper may grant another.
    :param default_acl: what ``create`` and ``ensure_path`` use when they are given none.
    :param retry_policy: how often a read, or a delete, is sent again after its connection died; for ever by
        default.
    :param allow_read_only: also take a server that is cut off from the ensemble and only answers reads, until one
        that writes can be reached.
    :param read_timeout: the most that one try to connect may take, in seconds; by default at most the session
        timeout divided by the number of servers, or a second if that is more.
    :param ssl: connect with TLS, and never without: a context, or the files that make one. The host names in
        ``servers`` must match the certificates.
    :param auth: (scheme, credential) pairs, presented on every connect: ``[("digest", "user:password")]``.
    :param guardian: have a small process close the session at once when this program is killed; a
        :class:`Guardian` says more about how. Where TLS is used it needs ``ssl=TLSFiles(...)``.
    :raises TypeError: an argument is of the wrong type.
    :raises OSError: a file of ``ssl=TLSFiles(...)`` cannot be read or used.
    :raises ValueError: an argument cannot be right; the error says what to write.
    """

    session: Session

    def __init__(
        self,
        servers: str,
        chroot: str | None = None,
        session_timeout: float = 10,
        default_acl: Sequence[aiozk.ACL] | None = None,
        retry_policy: aiozk.RetryPolicy | None = None,
        allow_read_only: bool = False,
        read_timeout: float | None = None,
        *,
        ssl: ssl_module.SSLContext | TLSFiles | None = None,
        auth: Sequence[tuple[str, str | bytes]] = (),
        guardian: bool | Guardian = False,
    ) -> None:
        check_chroot(chroot)
        check_acl("default_acl", default_acl)
        if ssl is not None and not isinstance(ssl, ssl_module.SSLContext | TLSFiles):
            raise TypeError(f"ssl must be an ssl.SSLContext, TLSFiles, or None, not {ssl!r:.60}")
        if retry_policy is not None and not (hasattr(retry_policy, "enforce") and hasattr(retry_policy, "clear")):
            raise TypeError(f"retry_policy must be an aiozk.RetryPolicy, or None, not {retry_policy!r:.60}")
        parse_hosts(servers)  # aiozk's own reading of it knows no errors
        super().__init__(servers, chroot, session_timeout, default_acl, retry_policy, allow_read_only, read_timeout)
        self.session = Session(
            servers,
            session_timeout,
            retry_policy,
            allow_read_only,
            read_timeout,
            ssl=ssl.context() if isinstance(ssl, TLSFiles) else ssl,
            auth=auth,
            guard=session_guard(guardian, ssl),
        )
        self.stat_cache: dict[str, Any] = StatCache()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except NotSentError as refused:  # in a forked child: the session is its parent's
            if error is None:
                raise
            error.add_note(str(refused))

    async def start(self) -> None:
        """Connect, for as long as it takes. Set a time limit with ``asyncio.timeout``. A second call waits, too.

        When the first call fails or is cancelled, it leaves nothing behind. While it waits, a WARNING under
        ``golea_async.client`` names every server with what became of it, after 3 seconds and then each minute. The
        error of a time limit has that text as a note.

        :raises ssl.SSLError: TLS refused every server, or was refused by it.
        :raises AuthenticationError: every server refused what was given as ``auth=``.
        :raises NotSentError: when this process was forked from the one that started the client.
        :raises RuntimeError: it was started in another event loop, or none of asyncio's runs.
        """
        started_here = not self.session.started
        await self.session.start()
        if self.chroot:
            try:
                await self._make_chroot()
            except BaseException:
                if started_here:
                    await self.close()
                raise

    async def _make_chroot(self) -> None:
        while True:
            try:
                await self.ensure_path("/")
                return
            except OutcomeUnknownError as error:  # To make it twice does no harm.
                if error.is_final:
                    raise

    async def close(self) -> None:
        """End the session, within about a second. Call it in any state, any number of times.

        It waits for an ending of an election that has begun on this client, at most the session timeout. An ending
        that is given up half-way would leave an election in which nobody can stand.

        :raises RuntimeError: it was started in another event loop.
        :raises NotSentError: when this process was forked from the one that started the client.
        """
        self.session.check_process()
        if self.session.started:
            check_loop(self.session.loop, "the ZooKeeper client")
        try:
            await finish_unfinished(self)
        finally:
            await self.session.close()

    @property
    def features(self) -> Features:
        """What the server can: all that ZooKeeper 3.5.1 could. Nobody asks it, which would take another connection."""
        return Features(ASSUMED_VERSION)

    def session_events(self) -> SessionEvents:
        """Follow the session: an async iterator of ``SessionEvent``, from this call on.

        It misses none, unless thousands wait to be read. It ends when the client is closed.
        """
        self.session.check_process()
        return self.session.events.subscribe()

    def wait_for_events(self, event_types: Iterable[int], path: str) -> asyncio.Future[None]:
        """Return a future that is done at the first such event of ``path``. It survives reconnects.

        Call it before the request that sets the watch (``exists(path, watch=True)``). When you cancel it, nothing
        stays.
        """
        self.session.check_process()
        absolute = self.normalize_path(path)
        waited_for = tuple(event_types)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def fire(_: str) -> None:
            if not future.done():
                future.set_result(None)

        def remove(_: asyncio.Future[None]) -> None:
            for event_type in waited_for:
                self.session.remove_watch_callback(event_type, absolute, fire)

        for event_type in waited_for:
            self.session.add_watch_callback(event_type, absolute, fire)
        future.add_done_callback(remove)
        return future

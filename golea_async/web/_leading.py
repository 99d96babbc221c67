"""A lifespan that leads: it serves at once, stands as long as the application runs, and ends in order."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from aiozk import exc

from golea_async import (
    AsyncElection,
    ElectionError,
    ElectionReport,
    Leadership,
    LeadershipLostError,
    SessionExpiredError,
    ZKClient,
    create_election,
)

from ._answers import Source, View
from ._asgi import ASGI, application
from ._candidates import Candidates
from ._signals import Signals

if TYPE_CHECKING:
    from aiohttp import web

_logger = logging.getLogger("golea_async.web")

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two candidacies, after an end that was final for one: an operator's, or ZooKeeper's refusal."""
PASSING = (ElectionError, exc.ZKError, OSError)
"""What ends one candidacy, and not the next."""
CLOSING = 1.0
"""Seconds of the grace that are kept for closing the client."""


def leading(
    hosts: str,
    resource: str,
    work: Callable[[Leadership], Awaitable[object]],
    *,
    name: str | None = None,
    grace: float = 10.0,
    **client: Any,
) -> Leading:
    """Return a lifespan for FastAPI, Starlette and aiohttp: the application stands, and runs ``work`` while it leads.

    :param hosts: ``host:port,host:port,...`` of ZooKeeper.
    :param resource: absolute path of the election node, which is made when it is missing.
    :param work: is called with the leadership, cancelled when that is lost, and called again when it is back. When it
        returns, this process stands no more; when it raises, neither, and that is logged as an ERROR.
    :param name: of the candidate; ``host:pid`` when not given.
    :param grace: seconds from SIGTERM, or from the server's shutdown, within which all of this has ended.
    :param client: settings of :class:`golea_async.ZKClient`: ``session_timeout``, ``auth``, ``ssl``, ``chroot``, ...
    :raises TypeError: when ``work`` cannot be called.
    :raises ValueError: when ``grace`` is no time.
    """
    if not callable(work):
        raise TypeError(f"work is called with the leadership, so it cannot be {work!r:.60}")
    if not grace > 0:
        raise ValueError(f"grace is a number of seconds, not {grace!r}")
    return Leading(hosts, resource, work, name, grace, client)


class Leading:
    """What :func:`leading` returns: ``FastAPI(lifespan=it)``, or ``app.cleanup_ctx.append(it)`` in aiohttp.

    Nothing is made before the application starts, so it may be made before a server forks.
    """

    def __init__(
        self,
        hosts: str,
        resource: str,
        work: Callable[[Leadership], Awaitable[object]],
        name: str | None,
        grace: float,
        client: dict[str, Any],
    ) -> None:
        self.resource = resource
        self._hosts, self._work, self._name, self._grace, self._client = hosts, work, name, grace, client
        self._stay: _Stay | None = None

    def __call__(self, _app: object) -> AbstractAsyncContextManager[None]:
        """Begin with the application, end with it; called by the framework."""
        return _Visit(self)

    @property
    def election(self) -> AsyncElection:
        """The candidate. It is made when the application starts.

        :raises RuntimeError: before that.
        """
        if self._stay is None:
            raise RuntimeError(f"the application that stands in {self.resource} has not started")
        return self._stay.election

    @property
    def current_leadership(self) -> Leadership | None:
        """The present leadership: a request handler that must act as the leader declines when it is None."""
        return None if self._stay is None else self._stay.election.current_leadership

    def report(self) -> ElectionReport | None:
        """Return a snapshot of the candidate; None before the application starts."""
        return None if self._stay is None else self._stay.election.report()

    def asgi(self) -> ASGI:
        """Return an ASGI application to be mounted: `/leader`, `/healthz`, `/readyz`, `/election`, `/` for people."""
        return application(self._source)

    def aiohttp_routes(self, prefix: str = "") -> list[web.RouteDef]:
        """Return the same as routes for aiohttp's ``app.add_routes``."""
        from ._aiohttp import routes  # noqa: PLC0415 - which imports aiohttp

        return routes(self._source, prefix)

    @property
    def _source(self) -> Source:
        async def candidates() -> Any:
            return None if self._stay is None else await self._stay.candidates()

        def look() -> View:
            stay = self._stay
            return View(None, False) if stay is None else View(stay.election.report(), not stay.is_ending)

        return Source(look, candidates)

    async def begin(self) -> None:
        """Begin to stand, in the background."""
        if self._stay is not None and not self._stay.has_ended:
            raise RuntimeError(f"the application that stands in {self.resource} was started already")
        zk = ZKClient(self._hosts, **self._client)
        resign_timeout = max(self._grace - CLOSING, self._grace / 2)
        election = AsyncElection(zk, self.resource, self._name, resign_timeout=resign_timeout)
        self._stay = _Stay(zk, election, self._work, self._grace)

    async def end(self) -> None:
        """Resign, and wait until all has ended, within the grace."""
        if self._stay is not None:
            await self._stay.end()


class _Visit(AbstractAsyncContextManager[None]):
    """One life of an application, as frameworks drive it."""

    def __init__(self, leading: Leading) -> None:
        self._leading = leading

    async def __aenter__(self) -> None:
        await self._leading.begin()

    async def __aexit__(self, *_: object) -> None:
        await self._leading.end()

    async def __aiter__(self) -> AsyncIterator[None]:
        """Be what older versions of aiohttp drive: a generator that yields once."""
        async with self:
            yield


class _Stay:
    """One candidate, from the start of an application to its end.

    :ivar is_ending: whether the application was told to end.
    :ivar has_ended: whether nothing of it is left here, or its time was over.
    """

    def __init__(
        self, zk: ZKClient, election: AsyncElection, work: Callable[[Leadership], Awaitable[object]], grace: float
    ) -> None:
        self.election = election
        self.candidates = Candidates(zk, election)
        self.is_ending = self.has_ended = False
        self._zk = zk
        self._work = work
        self._grace = grace
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._ending: asyncio.Task[None] | None = None
        self._dead_work: Exception | None = None
        context = contextvars.Context()
        self._standing = self._loop.create_task(self._stand(), name=f"golea_async web {self._where}", context=context)
        self._signals = Signals(self._loop, self.begin_to_end)

    @property
    def _where(self) -> str:
        return self.election.resource

    # ------------------------------------------------------------------ standing

    async def _stand(self) -> None:
        """Stand, and stand again after whatever ended a candidacy, until the work is done or the application ends."""
        pause = FIRST_PAUSE
        while not self.is_ending:
            begun = self._loop.time()
            try:
                await self._zk.start()
                await create_election(self._zk, self._where)
                await self.election.run(self._work_once)
            except Exception as error:
                if error is self._dead_work or not isinstance(error, PASSING):
                    _logger.exception("%s", self._obituary(error))
                    return
                if self.is_ending:
                    return
                if self.election.report().crashed:
                    _logger.error("%s; this process does not stand any more, and needs a restart", error)
                    return
                pause = FIRST_PAUSE if self._loop.time() - begun > LONGEST_PAUSE else pause
                _logger.warning("stands in %s again in %g s: %s", self._where, pause, error)
                if isinstance(error, SessionExpiredError):
                    await self._zk.close()  # it has stopped by itself: of a session alone the candidate stands again
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                _logger.info("the work in %s is done; this process does not stand any more", self._where)
                return

    async def _work_once(self, leadership: Leadership) -> None:
        """Do the work, and tell its own errors from those of standing. A loss that it has noticed is none."""
        try:
            await self._work(leadership)
        except Exception as error:
            if leadership.is_valid or not isinstance(error, LeadershipLostError):
                self._dead_work = error
            raise

    def _obituary(self, error: Exception) -> str:
        return (
            f"the work in {self._where} has died ({error!r:.200}): this process has resigned and does not stand any "
            "more; others may lead"
        )

    # ------------------------------------------------------------------ ending

    def begin_to_end(self) -> None:
        """Begin to resign: on SIGTERM at once, and not only when the server has answered its last request."""
        if self.is_ending:
            return
        self.is_ending = True
        self._deadline = self._loop.time() + self._grace
        # In a context of its own: a signal handler runs in whichever is current, a request's or the work's.
        name, context = f"golea_async web end {self._where}", contextvars.Context()
        self._ending = self._loop.create_task(self._leave(), name=name, context=context)

    async def _leave(self) -> None:
        try:
            await self.election.resign(timeout=max(self._grace - CLOSING, self._grace / 2))
        except ElectionError as error:
            _logger.warning("%s", error)
        self._standing.cancel()

    async def end(self) -> None:
        """Wait until the candidate has resigned and the client is closed, within the grace."""
        self.begin_to_end()
        assert self._ending is not None, "just begun"
        await asyncio.wait({self._ending, self._standing}, timeout=self._deadline - self._loop.time())
        if self._standing.done() and self._ending.done():
            await self._zk.close()
        else:
            _logger.warning(
                "the work in %s has not stopped within %g s: its znode goes with its session", self._where, self._grace
            )
        self._signals.restore()
        self.has_ended = True

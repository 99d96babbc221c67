"""A lifespan that leads: it serves at once, stands as long as the application runs, and ends in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from golea_async import AsyncElection, Candidate, ElectionReport, Leadership, ZKClient

from ._answers import Source, View
from ._asgi import ASGI, application
from ._stay import Stay, time_to_resign

if TYPE_CHECKING:
    from aiohttp import web


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
        returns, this process stands no more; when it raises, neither, and that is logged as an ERROR. So is a
        ``CancelledError`` of its own, as of a task that it awaits.
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
        self._stay: Stay | None = None

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
        async def candidates() -> list[Candidate] | None:
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
        election = AsyncElection(zk, self.resource, self._name, resign_timeout=time_to_resign(self._grace))
        self._stay = Stay(zk, election, self._work, self._grace)

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

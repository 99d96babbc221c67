"""The libraries under test, each behind the same five calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import aiozk

from golea_async import AsyncElection, Status, ZKClient


class Library(StrEnum):
    GOLEA = "golea_async"
    GOLEA_GUARDED = "golea_async, guardian"
    GOLEA_ON_AIOZK = "golea_async on aiozk"
    AIOZK = "aiozk's recipe"
    KAZOO = "kazoo's recipe"


class Tenure(NamedTuple):
    """What a leader knows of its leadership; None and 0 where its library knows nothing."""

    token: int | None
    remaining: float


OnStatus = Callable[[Status | None], None]
"""Is given each status, and None at the end of the statuses."""


class Contender(Protocol):
    """A client, and one candidate after the other on it."""

    async def open(self) -> None: ...

    async def join(self) -> None:
        """Stand; return when it is decided whether it leads or follows."""

    async def resign(self) -> None: ...

    async def step_down(self) -> None:
        """Go to the end of the line, where the library knows such a thing."""

    def believes(self) -> bool:
        """Whether an application of this library would act as the leader now. Called in another thread."""

    def tenure(self) -> Tenure: ...


class GoleaContender:
    def __init__(self, client: aiozk.ZKClient, resource: str, name: str, on_status: OnStatus) -> None:
        self._client = client
        self._resource = resource
        self._name = name
        self._on_status = on_status
        self._election: AsyncElection | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._client.start()

    async def join(self) -> None:
        election = AsyncElection(self._client, self._resource, self._name)
        self._reading = asyncio.create_task(self._read(election.statuses()))
        self._election = election
        await election.start()

    async def resign(self) -> None:
        if self._election is not None:
            await self._election.resign(timeout=None)
        if self._reading is not None:
            await self._reading  # so that the end of these statuses is reported before anything of the next life

    async def step_down(self) -> None:
        if self._election is not None:
            await self._election.step_down()

    def believes(self) -> bool:
        return self._election is not None and self._election.is_leader

    def tenure(self) -> Tenure:
        leadership = None if self._election is None else self._election.current_leadership
        return Tenure(None, 0.0) if leadership is None else Tenure(leadership.fencing_token, leadership.remaining)

    async def _read(self, statuses: AsyncIterator[Status]) -> None:
        async for status in statuses:
            self._on_status(status)
        self._on_status(None)


class AiozkContender:
    """aiozk's own LeaderElection."""

    def __init__(self, client: aiozk.ZKClient, resource: str) -> None:
        self._client = client
        self._resource = resource
        self._recipe: Any = None

    async def open(self) -> None:
        await self._client.start()

    async def join(self) -> None:
        self._recipe = self._client.recipes.LeaderElection(self._resource)
        await self._recipe.volunteer()

    async def resign(self) -> None:
        await self._recipe.resign()

    async def step_down(self) -> None:
        raise NotImplementedError

    def believes(self) -> bool:
        return self._recipe is not None and bool(self._recipe.has_leadership)

    def tenure(self) -> Tenure:
        return Tenure(None, 0.0)


class KazooContender:
    """kazoo's Election: who leads is inside the function that it calls, in a thread."""

    def __init__(self, hosts: str, resource: str, name: str, session_timeout: float) -> None:
        from kazoo.client import KazooClient  # noqa: PLC0415 - only the benchmark has kazoo

        self._client = KazooClient(hosts=hosts, timeout=session_timeout)
        self._resource = resource
        self._name = name
        self._leads = False
        self._election: Any = None
        self._resigned = threading.Event()
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        await asyncio.to_thread(self._client.start, 60)

    async def join(self) -> None:
        self._resigned = threading.Event()
        self._election = self._client.Election(self._resource, self._name)
        self._thread = threading.Thread(target=self._election.run, args=(self._lead,), daemon=True)
        self._thread.start()
        while self._election.lock.node is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)

    async def resign(self) -> None:
        self._resigned.set()
        self._election.cancel()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def step_down(self) -> None:
        raise NotImplementedError

    def believes(self) -> bool:
        return self._leads

    def tenure(self) -> Tenure:
        return Tenure(None, 0.0)

    def _lead(self) -> None:
        self._leads = True
        try:
            self._resigned.wait()
        finally:
            self._leads = False


def make_contender(
    library: Library, hosts: str, resource: str, name: str, session_timeout: float, on_status: OnStatus
) -> Contender:
    """To be called in the event loop."""
    match library:
        case Library.GOLEA | Library.GOLEA_GUARDED:
            guardian = library is Library.GOLEA_GUARDED
            client = ZKClient(hosts, session_timeout=session_timeout, guardian=guardian)
            return GoleaContender(client, resource, name, on_status)
        case Library.GOLEA_ON_AIOZK:
            plain_client = aiozk.ZKClient(hosts, session_timeout=session_timeout)
            return GoleaContender(plain_client, resource, name, on_status)
        case Library.AIOZK:
            return AiozkContender(aiozk.ZKClient(hosts, session_timeout=session_timeout), resource)
        case Library.KAZOO:
            return KazooContender(hosts, resource, name, session_timeout)

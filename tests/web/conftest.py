"""Applications as processes, and a look at what they serve."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest

from tests.support.ensemble import SharedEnsemble
from tests.support.ports import LOOPBACK
from tests.support.programs import Program, eventually, program
from tests.support.wire import WireClient

Run = Callable[..., AbstractAsyncContextManager[Program]]


class Site:
    """What one port serves."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.url = f"http://{LOOPBACK}:{port}"

    async def status(self, path: str, method: str = "GET") -> int | None:
        """The status of an answer; None while nothing is served."""
        try:
            async with self.session.request(method, self.url + path) as response:
                return response.status
        except aiohttp.ClientConnectionError:
            return None

    async def text(self, path: str, **query: str) -> str:
        async with self.session.get(self.url + path, params=query) as response:
            return await response.text()

    async def json(self, path: str) -> Any:
        async with self.session.get(self.url + path) as response:
            return await response.json()

    async def until(self, path: str, status: int) -> None:
        """Wait until a path is answered with this status."""

        async def look() -> bool:
            return await self.status(path) == status

        await eventually(look)


@pytest.fixture
async def site() -> AsyncIterator[Callable[[int], Site]]:
    async with aiohttp.ClientSession() as session:
        yield lambda port: Site(session, port)


@pytest.fixture
def run(ensemble: SharedEnsemble, resource: str) -> Run:
    """`async with run("-m", "uvicorn", ...) as application: ...`: a process with an election of this test's own."""

    def start(*arguments: str, **environment: str) -> AbstractAsyncContextManager[Program]:
        return program(*arguments, **{"ZOOKEEPER": ensemble.hosts, "ELECTION": resource} | environment)

    return start


class Line:
    """The candidates of an election, as a stranger sees them."""

    def __init__(self, wire: WireClient, resource: str) -> None:
        self._wire = wire
        self._resource = resource

    async def names(self) -> list[str]:
        await self._wire.sync()
        return sorted(await self._wire.get_children(self._resource))

    async def until(self, count: int) -> list[str]:
        """Wait until so many stand."""

        async def look() -> list[str] | None:
            names = await self.names()
            return [*names, "all"] if len(names) == count else None

        seen: list[str] = await eventually(look)
        return seen[:-1]


@pytest.fixture
def line(wire: WireClient, resource: str) -> Line:
    return Line(wire, resource)

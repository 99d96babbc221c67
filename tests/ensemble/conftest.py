"""Clients of the tests of elections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiozk
import pytest

from tests.support.elections import CLIENT_VARIABLE, Connect, connected
from tests.support.ensemble import SharedEnsemble
from tests.support.guarded import Nursery, nursery
from tests.support.proxy import Proxy

ON_BOTH_CLIENTS = {
    "test_acl",
    "test_bad_input",
    "test_cancellation",
    "test_go_and_python",
    "test_golea_scenarios",
    "test_hygiene",
    "test_lost_replies",
    "test_public_api",
    "test_reconnect",
    "test_session",
}


# They ask nothing of the servers but that they are there; the others kill or cut them, or need one that lags.
ALSO_IN_MEMORY = {
    "test_golea_scenarios",
    "test_lost_replies",
    "test_public_api",
    "test_session",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of elections run on a plain aiozk client and on ours, and with ours also on the ZooKeeper in memory."""
    module = metafunc.module.__name__.rpartition(".")[2]
    kinds = ["aiozk", "ours"] if module in ON_BOTH_CLIENTS else ["aiozk"]
    runs = [pytest.param(kind, "real_ensemble", id=kind) for kind in kinds]
    if module in ALSO_IN_MEMORY and "ensemble" in metafunc.fixturenames:
        runs.append(pytest.param("ours", "memory_ensemble", id="ours-in-memory"))
    if len(runs) > 1 and "ensemble" in metafunc.fixturenames:
        metafunc.parametrize(("client_kind", "ensemble"), runs, indirect=True)
    elif len(kinds) > 1:
        metafunc.parametrize("client_kind", kinds, indirect=True)


@pytest.fixture(autouse=True)
def client_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which client `connect` and `connected` make."""
    kind: str = getattr(request, "param", "aiozk")
    monkeypatch.setenv(CLIENT_VARIABLE, kind)
    return kind


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`await connect(hosts, session_timeout=...)`: a client for each process that a test plays."""
    async with AsyncExitStack() as stack:

        async def start(hosts: str, **settings: Any) -> aiozk.ZKClient:
            return await stack.enter_async_context(connected(hosts, **settings))

        yield start


@pytest.fixture
async def zk(ensemble: SharedEnsemble, resource: str, connect: Connect) -> aiozk.ZKClient:  # noqa: ARG001
    """A client of the shared ensemble; it sees the election node, having connected later."""
    return await connect(ensemble.hosts)


@pytest.fixture
async def proxy(ensemble: SharedEnsemble) -> AsyncIterator[Proxy]:
    """In front of the server to which `wire` is connected."""
    async with Proxy(ensemble.servers[0].port) as proxy:
        yield proxy


@pytest.fixture
async def programs() -> AsyncIterator[Nursery]:
    """Guarded programs; they are killed with the test."""
    async with nursery() as programs:
        yield programs

"""Fixtures for tests of what takes part in elections. They are there without any configuration.

All of them are plain fixtures, so that they work with any plugin that runs asynchronous tests (anyio's,
pytest-asyncio) and with tests that are not asynchronous at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # pytest loads this file in every run, also where nobody wants any of this
    from golea_async import ZKClient

    from .ensemble import Ensemble
    from .server import MemoryZooKeeper

CLIENT_SESSION_TIMEOUT = 2.0


@pytest.fixture
def memory_zookeeper() -> Iterator[MemoryZooKeeper]:
    """A :class:`golea_async.testing.MemoryZooKeeper` of this test's own, empty, with one server."""
    from .server import MemoryZooKeeper  # noqa: PLC0415

    with MemoryZooKeeper() as zookeeper:
        yield zookeeper


@pytest.fixture
def zk_client(memory_zookeeper: MemoryZooKeeper) -> ZKClient:
    """A client of `memory_zookeeper` with a session timeout of 2 s. Enter it: ``async with zk_client as zk:``.

    It is not started: that takes the event loop of the test.
    """
    from golea_async import ZKClient  # noqa: PLC0415

    return ZKClient(memory_zookeeper.hosts, session_timeout=CLIENT_SESSION_TIMEOUT)


@pytest.fixture(scope="session")
def zookeeper_ensemble() -> Iterator[Ensemble]:
    """A real ZooKeeper of three servers, that all tests of the run share; see :class:`golea_async.testing.Ensemble`.

    Without ZooKeeper or Java on this machine the tests that ask for it fail, and say how to install it.
    """
    from .ensemble import Ensemble, ZooKeeperNotInstalledError  # noqa: PLC0415

    ensemble = Ensemble(3)
    try:
        ensemble.start()
    except ZooKeeperNotInstalledError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield ensemble
    finally:
        ensemble.stop()

"""Fixtures: real ensembles, and a fresh election on the shared one.

Tests that hurt a server take `own_ensemble`; everybody else shares one ensemble of three and one single server.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
import uvloop
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

from golea_async.testing import MemoryZooKeeper

from .support.elections import LONG_SESSION_TIMEOUT
from .support.ensemble import Ensemble, SharedEnsemble
from .support.wire import WireClient

pytest_plugins = ["golea_async.testing.pytest_plugin"]  # as where the package is installed

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LOOP_FACTORIES: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

WORKERS_PER_CORE = 4
"""A test waits most of the time, for ZooKeeper and for timeouts."""
FEWEST_WORKERS = 4
MEMORY_OF_ALL_SERVERS = 4 << 30
MEMORY_OF_A_WORKERS_SERVERS = 512 << 20
"""The shared ensembles of three servers and of one, and a test's own of three, at 70 MB a server."""

_resource_numbers = itertools.count(1)

# How long an example takes depends on what else the machine does.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


def pytest_configure() -> None:
    """Have Ctrl-C work in programs that tests start: a background job of a shell ignores it, and so do its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # behind pytest-randomly, which shuffles
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each of xdist's workers begin with its share of the long tests: it gets one stretch of the items."""
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    long = [item for item in items if item.get_closest_marker("long") is not None]
    others = iter([item for item in items if item.get_closest_marker("long") is None])
    count = len(items)
    items.clear()
    for worker in range(workers):
        stretch = (count - len(items)) // (workers - worker)
        begins_with = long[worker::workers]
        items += [*begins_with, *itertools.islice(others, max(0, stretch - len(begins_with)))]
    items += others


def pytest_collection_finish() -> None:
    """Leave the thousands of collected tests out of Python's collections of garbage: each of them took 0.12 s."""
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Follow the cores that this process may use, as far as the memory for ZooKeeper servers goes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = min(MEMORY_OF_ALL_SERVERS, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    return max(1, min(max(FEWEST_WORKERS, WORKERS_PER_CORE * cores), memory // MEMORY_OF_A_WORKERS_SERVERS))


def pytest_report_header(config: pytest.Config) -> str:
    workers = config.getoption("numprocesses", None) or 1
    return f"workers: {workers}, each of which starts the ZooKeeper servers that its tests need"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="run all tests on uvloop's event loop")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Choose the event loops of an asynchronous test: asyncio's or, with `--uvloop`, uvloop's. A mark can say else."""
    if item.get_closest_marker("both_loops") is not None:
        return LOOP_FACTORIES
    is_uvloop = config.getoption("--uvloop") and item.get_closest_marker("asyncios_loop") is None
    name = "uvloop" if is_uvloop else "asyncio"
    return {name: LOOP_FACTORIES[name]}


@pytest.fixture(scope="session", autouse=True)
def never_blocks() -> Iterator[BlockBuster]:
    """Have the library fail with a `BlockingError` where it would block an event loop."""
    with blockbuster_ctx("golea_async", excluded_modules=["golea_async.testing"]) as watch:
        yield watch


@pytest.fixture(scope="session")
def real_ensemble() -> Iterator[Ensemble]:
    with Ensemble(3) as shared:
        yield shared


@pytest.fixture(scope="session")
def memory_ensemble() -> Iterator[MemoryZooKeeper]:
    with MemoryZooKeeper(3, tick=0.5) as shared:
        yield shared


@pytest.fixture
def ensemble(request: pytest.FixtureRequest) -> SharedEnsemble:
    """Three servers that all tests share: leave them as they are. In memory where a test is parametrized so."""
    shared: SharedEnsemble = request.getfixturevalue(getattr(request, "param", "real_ensemble"))
    return shared


@pytest.fixture(scope="session")
def server() -> Iterator[Ensemble]:
    """An ensemble of a single server that all tests share: leave it as it is."""
    with Ensemble(1) as shared:
        yield shared


@pytest.fixture
def own_ensemble() -> Iterator[Callable[..., Ensemble]]:
    """`own_ensemble(3, tick=0.5, ...)` starts an ensemble for this test alone, to be killed, frozen and cut."""
    with ExitStack() as stack:

        def start(servers: int = 3, **settings: Any) -> Ensemble:
            return stack.enter_context(Ensemble(servers, **settings))

        yield start


@pytest.fixture
async def wire(ensemble: SharedEnsemble) -> AsyncIterator[WireClient]:
    """Somebody else's session, on the first server of the shared ensemble."""
    port = ensemble.servers[0].port
    async with await WireClient.connect(port, session_timeout=LONG_SESSION_TIMEOUT) as client:
        yield client


@pytest.fixture
async def resource(wire: WireClient) -> str:
    """A new election node on the shared ensemble; every session that begins after it sees it on any server."""
    return await wire.create(f"/election-{next(_resource_numbers):04}")

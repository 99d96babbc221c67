"""Bad input: each has its own clear error, before anything is sent; nothing is created or lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    ElectionError,
    NotStandingError,
    Role,
    create_election,
    delete_election,
    depose,
    end_election,
    get_leader,
    list_candidates,
    observe_leader,
)
from golea_async._protocol.paths import MAXIMUM_NAME_BYTES, MAXIMUM_PATH_BYTES
from tests.support.elections import children, connected, soon
from tests.support.ensemble import Ensemble
from tests.support.leftovers import background_tasks
from tests.support.proxy import Proxy
from tests.support.wire import OpCode, WireClient


async def stand(zk: aiozk.ZKClient, resource: str) -> None:
    await AsyncElection(zk, resource, "one").start()


async def observe(zk: aiozk.ZKClient, resource: str) -> None:
    await anext(observe_leader(zk, resource))


Work = Callable[[Any, Any], Awaitable[object]]
OPERATIONS: list[Work] = [
    stand,
    create_election,
    delete_election,
    end_election,
    list_candidates,
    get_leader,
    observe,
]
BAD_PATHS = {
    "": "empty",
    "election": "relative",
    "./election": "relative",
    "/": "root",
    "/election/": "slash",
    "//": "slash",
    "/a//b": "empty segment",
    "/a/../b": "relative segment",
    "/a/./b": "relative segment",
    "/..": "relative segment",
    "/a\x00b": "NUL",
}


class Silence:
    """A client whose requests are counted, and everything that could be created looked at."""

    def __init__(self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient) -> None:
        self.zk = zk
        self._proxy = proxy
        self._wire = wire
        self._before: Counter[int] = Counter()
        self._children: list[str] = []

    async def begin(self) -> None:
        self._before, self._children = self._requests(), await children(self._wire, "/")

    async def check(self) -> None:
        """Nothing was sent, nothing is still running."""
        assert self._requests() == self._before
        assert not background_tasks()
        assert await children(self._wire, "/") == self._children

    def _requests(self) -> Counter[int]:
        return Counter({opcode: count for opcode, count in self._proxy.requests.items() if opcode != OpCode.PING})


@pytest.fixture
async def silence(ensemble: Ensemble, wire: WireClient) -> AsyncIterator[Silence]:
    async with Proxy(ensemble.servers[0].port) as proxy, connected(proxy.address) as zk:
        silence = Silence(zk, proxy, wire)
        await silence.begin()
        yield silence
        await silence.check()


@pytest.mark.parametrize("work", OPERATIONS)
async def test_a_path_that_cannot_be_an_election_node(silence: Silence, work: Work) -> None:
    for path, problem in BAD_PATHS.items():
        with pytest.raises(ValueError, match=problem):
            await work(silence.zk, path)
    for no_path in (None, b"/election", 7):
        with pytest.raises(TypeError, match="path must be a str"):
            await work(silence.zk, no_path)


async def test_a_candidates_id_that_cannot_be_one(silence: Silence) -> None:
    for candidate_id in ("", "/election", "/election/le_x", "le_0000000001", "/le_0000000001", "/a/../le_0000000001"):
        with pytest.raises(ValueError, match="not a candidate's id"):
            await depose(silence.zk, candidate_id)
    with pytest.raises(TypeError, match="id must be a str"):
        await depose(silence.zk, 7)  # type: ignore[arg-type]


async def test_a_name_that_cannot_be_one(silence: Silence) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        AsyncElection(silence.zk, "/election", "")
    with pytest.raises(ValueError, match="too large"):
        AsyncElection(silence.zk, "/election", "\u00e9" * MAXIMUM_NAME_BYTES)
    with pytest.raises(ValueError, match="UTF-8"):
        AsyncElection(silence.zk, "/election", "\ud800")
    for name in (b"name", 7, ["name"]):
        with pytest.raises(TypeError, match="name must be a str"):
            AsyncElection(silence.zk, "/election", name)  # type: ignore[arg-type]


async def test_no_name_is_host_and_process(zk: aiozk.ZKClient) -> None:
    host, _, process = AsyncElection(zk, "/election").name.rpartition(":")
    assert host
    assert process.isdecimal()


@pytest.mark.parametrize("client", [None, "127.0.0.1:2181", 7, aiozk.ZKClient])
async def test_a_client_of_the_wrong_type(client: Any) -> None:
    for work in OPERATIONS:
        with pytest.raises(TypeError, match=r"aiozk\.ZKClient .*is needed"):
            await work(client, "/election")
    with pytest.raises(TypeError, match=r"aiozk\.ZKClient .*is needed"):
        await depose(client, "/election/le_0000000001")


@pytest.mark.parametrize("work", OPERATIONS)
async def test_a_client_that_was_never_started(ensemble: Ensemble, work: Work) -> None:
    with pytest.raises(ValueError, match=r"zk\.start\(\)"):
        await soon(work(aiozk.ZKClient(ensemble.hosts), "/election"))
    assert not background_tasks()


@pytest.mark.parametrize("work", OPERATIONS)
async def test_a_client_that_is_closed(ensemble: Ensemble, work: Work) -> None:
    async with connected(ensemble.hosts) as zk:
        pass
    with pytest.raises(ValueError, match=r"zk\.start\(\)"):
        await soon(work(zk, "/election"))
    assert not background_tasks()


async def test_start_twice(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    election = AsyncElection(zk, resource, "one")
    starting = asyncio.create_task(election.start())
    await asyncio.sleep(0)
    with pytest.raises(ElectionError, match="started already"):
        await election.start()
    assert (await soon(starting)).role is Role.LEADER
    with pytest.raises(ElectionError, match="started already"):
        await election.start()
    assert election.is_leader
    assert len(await children(wire, resource)) == 1
    await soon(election.resign())


async def test_use_before_the_start(silence: Silence) -> None:
    election = AsyncElection(silence.zk, "/election", "one")
    with pytest.raises(NotStandingError, match="start"):
        await election.end()
    assert not election.is_leader
    assert election.status.role is Role.NONE


async def test_use_after_the_resignation(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    election = AsyncElection(zk, resource, "one")
    await soon(election.start())
    await soon(election.resign())
    other = AsyncElection(zk, resource, "other")
    await soon(other.start())
    with pytest.raises(NotStandingError):
        await election.end()
    assert [status async for status in election.statuses()] == []
    assert other.is_leader
    assert len(await children(wire, resource)) == 1
    status = await soon(election.start())  # anew, behind the other
    assert status.now_following == other.status.candidate_id
    await soon(election.resign())
    await soon(other.resign())


@pytest.mark.parametrize("timeout", [-1, float("nan")])
async def test_a_timeout_that_cannot_be_one(zk: aiozk.ZKClient, resource: str, timeout: float) -> None:
    election = AsyncElection(zk, resource, "one")
    await soon(election.start())
    with pytest.raises(ValueError, match="timeout must be"):
        await election.resign(timeout=timeout)
    assert election.is_leader
    await soon(election.resign())


async def test_an_acl_that_cannot_be_one(silence: Silence) -> None:
    with pytest.raises(ValueError, match="acl must not be empty"):
        await create_election(silence.zk, "/election", acl=[])
    for acl in ("world:anyone:r", 7, aiozk.ACL.make("world", "anyone", read=True), [("world", "anyone")]):
        with pytest.raises(TypeError, match="acl must"):
            await create_election(silence.zk, "/election", acl=acl)  # type: ignore[arg-type]


async def test_a_path_that_is_too_long_for_a_packet(silence: Silence) -> None:
    """A server drops the connection of a client whose packet is too large, whenever it is sent again."""
    for work in OPERATIONS:
        with pytest.raises(ValueError, match="longer than") as refused:
            await work(silence.zk, "/" + "x" * MAXIMUM_PATH_BYTES)
        assert len(str(refused.value)) < 500
    with pytest.raises(ValueError, match="not a candidate's id"):
        await depose(silence.zk, "/" + "x" * MAXIMUM_PATH_BYTES + "/le_0000000001")


async def test_the_longest_path_and_name_that_are_taken_fit_into_a_packet(
    zk: aiozk.ZKClient, wire: WireClient, resource: str
) -> None:
    path = resource + "/" + "x" * (MAXIMUM_PATH_BYTES - len(resource) - 1)
    await soon(create_election(zk, path))
    election = AsyncElection(zk, path, "x" * MAXIMUM_NAME_BYTES)
    assert (await soon(election.start())).role is Role.LEADER
    assert len(await soon(list_candidates(zk, path))) == 1
    await soon(election.resign())
    await soon(delete_election(zk, path))
    assert await children(wire, resource) == []

"""Work that is stopped: by whom, who waits for it, and that a successor never overlaps with it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    Leadership,
    LeadershipLostError,
    NotStandingError,
    ResignError,
    SessionExpiredError,
    ZKClient,
    create_election,
    depose,
)
from golea_async.testing import MemoryZooKeeper
from golea_async.testing.ensemble import Ensemble
from tests.support.elections import eventually, soon
from tests.support.leftovers import background_to_end

RESOURCE = "/election"
T = 4.0
LONG = 30.0  # whoever takes a third of it to stop is cancelled again, and a busy machine must not come near


class Pair:
    """A leader with work, and its follower: `overlaps` counts the steps of that work while the follower led.

    The work takes its time to stop.
    """

    def __init__(self, zk: ZKClient, other: ZKClient) -> None:
        self.first = AsyncElection(zk, RESOURCE, "first")
        self.second = AsyncElection(other, RESOURCE, "second")
        self.overlaps = 0
        self.has_stopped = False
        self.may_stop = asyncio.Event()
        self.may_stop.set()

    async def work(self) -> None:
        try:
            while True:
                await self.step()
        finally:
            for _ in range(10):
                await self.step()
            await self.may_stop.wait()
            self.has_stopped = True

    async def step(self) -> None:
        await asyncio.sleep(0.005)
        self.overlaps += self.second.is_leader

    async def lead(self, begin: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        """Begin what `begin` does inside the work of the first, and have the second follow."""
        is_begun = asyncio.Event()

        async def work(_: Leadership) -> None:
            await begin()
            is_begun.set()
            await self.work()

        run = asyncio.create_task(self.first.run(work))
        await soon(is_begun.wait())
        await soon(self.second.start())
        return run


@asynccontextmanager
async def two_clients(hosts: str, session_timeout: float) -> AsyncIterator[tuple[ZKClient, ZKClient]]:
    async with (
        ZKClient(hosts, session_timeout=session_timeout) as zk,
        ZKClient(hosts, session_timeout=session_timeout) as other,
    ):
        await create_election(zk, RESOURCE)
        yield zk, other


@pytest.fixture
async def clients(zookeeper: MemoryZooKeeper) -> AsyncIterator[tuple[ZKClient, ZKClient]]:
    async with two_clients(zookeeper.hosts, T) as clients:
        yield clients


@pytest.fixture
async def pair(zookeeper: MemoryZooKeeper) -> AsyncIterator[Pair]:
    async with two_clients(zookeeper.hosts, LONG) as clients:
        pair = Pair(*clients)
        yield pair
        await soon(pair.second.resign())
        await soon(pair.first.resign())


class TestResigningFromWhatWasSetUpInside:
    """It inherits the body's context; the body is stopped and awaited all the same."""

    async def check(self, pair: Pair, run: asyncio.Task[None], resigned: asyncio.Event) -> None:
        await soon(resigned.wait())
        assert pair.has_stopped
        await soon(pair.second.wait_for_leadership())
        with pytest.raises(NotStandingError):
            await soon(run)
        assert pair.overlaps == 0

    async def test_a_timer(self, pair: Pair) -> None:
        resigned, tasks = asyncio.Event(), list[asyncio.Task[None]]()
        fire = asyncio.Event()

        async def leave() -> None:
            await fire.wait()
            async with asyncio.timeout(10):  # its timer is the caller's own, and cancels for nobody else
                await pair.first.resign()
            resigned.set()

        async def begin() -> None:
            asyncio.get_running_loop().call_later(0, lambda: tasks.append(asyncio.ensure_future(leave())))

        run = await pair.lead(begin)
        fire.set()
        await self.check(pair, run, resigned)

    async def test_a_signal_handler(self, pair: Pair) -> None:
        resigned, tasks, loop = asyncio.Event(), list[asyncio.Task[None]](), asyncio.get_running_loop()

        async def leave() -> None:
            await pair.first.resign()
            resigned.set()

        async def begin() -> None:
            loop.add_signal_handler(signal.SIGUSR1, lambda: tasks.append(asyncio.ensure_future(leave())))

        run = await pair.lead(begin)
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            await self.check(pair, run, resigned)
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)

    async def test_a_server(self, pair: Pair) -> None:
        resigned, servers = asyncio.Event(), list[asyncio.Server]()

        async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await pair.first.resign()
            writer.close()
            resigned.set()

        async def begin() -> None:
            servers.append(await asyncio.start_server(leave, "127.0.0.1", 0))

        run = await pair.lead(begin)
        _, writer = await asyncio.open_connection(*servers[0].sockets[0].getsockname())
        await self.check(pair, run, resigned)
        writer.close()
        servers[0].close()

    async def test_cancelled_by_a_stranger_meanwhile(self, pair: Pair) -> None:
        """That does not say that the body waits for it: the cancellation is held back until the body has stopped."""
        tasks = list[asyncio.Task[None]]()

        async def begin() -> None:
            tasks.append(asyncio.create_task(pair.first.resign()))

        pair.may_stop.clear()
        run = await pair.lead(begin)
        await eventually(lambda: pair.first.status.role == "none")
        tasks[0].cancel()
        pair.may_stop.set()
        with pytest.raises(asyncio.CancelledError):
            await soon(tasks[0])
        assert pair.has_stopped
        with pytest.raises(NotStandingError):
            await soon(run)
        assert pair.overlaps == 0


async def await_it(resign: Callable[[], Awaitable[None]]) -> None:
    await asyncio.create_task(_call(resign))


async def gather_it(resign: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(_call(resign), asyncio.Event().wait())


async def group_it(resign: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_call(resign))
        await asyncio.Event().wait()


async def nest_it(resign: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(group_it(resign))


async def group_it_in_anyio(resign: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_call, resign)
        await anyio.sleep_forever()


async def group_it_to_resign_in_the_end(resign: Callable[[], Awaitable[None]]) -> None:
    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await resign()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(child())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.Event().wait()


async def _call(resign: Callable[[], Awaitable[None]]) -> None:
    await resign()


WAYS = [await_it, gather_it, group_it, nest_it, group_it_in_anyio, group_it_to_resign_in_the_end]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("timeout", [None, 10])
async def test_a_body_that_waits_for_its_child_which_resigns(
    clients: tuple[ZKClient, ZKClient],
    way: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
    timeout: float | None,
) -> None:
    """Its stopping cancels the child, which must not wait for it: else both wait for the time limit, or for ever."""
    election, follower = AsyncElection(clients[0], RESOURCE, "1"), AsyncElection(clients[1], RESOURCE, "2")
    await soon(election.start())
    await soon(follower.start())
    with pytest.raises((LeadershipLostError, BaseExceptionGroup)) as caught:
        async with asyncio.timeout(T), election.leadership():
            await way(lambda: election.resign(timeout=timeout))
    assert isinstance(caught.value, LeadershipLostError)
    assert isinstance(caught.value.__cause__, NotStandingError)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    await soon(election.resign())
    await soon(follower.wait_for_leadership())
    await soon(follower.resign())


async def test_a_group_that_fails_while_its_child_resigns_in_the_end(clients: tuple[ZKClient, ZKClient]) -> None:
    """The group has cancelled the child before that calls, and cancels it but once: resign() waits until T/3."""
    election = AsyncElection(clients[0], RESOURCE)

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await election.resign(timeout=None)

    async def fail() -> None:
        async with election.leadership(), asyncio.TaskGroup() as group:
            group.create_task(child())
            await asyncio.sleep(0)
            raise KeyError

    await soon(election.start())
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(2 * T):
            await fail()
    assert caught.group_contains(KeyError)
    await soon(election.resign())


async def test_the_bodys_own_task_resigns_and_goes_on(clients: tuple[ZKClient, ZKClient]) -> None:
    election = AsyncElection(clients[0], RESOURCE)
    await soon(election.start())
    async with election.leadership():
        await soon(election.resign())
        await asyncio.sleep(0.01)


async def test_a_swallowed_cancellation_is_repeated_with_a_warning(
    clients: tuple[ZKClient, ZKClient], caplog: pytest.LogCaptureFixture
) -> None:
    election = AsyncElection(clients[0], RESOURCE, "swallows")
    await soon(election.start())

    async def work() -> None:
        async with election.leadership():
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    await depose(clients[1], str(election.status.candidate_id), force=True)
    with pytest.raises(LeadershipLostError):
        await soon(working)
    (warning,) = [each for each in caplog.records if each.name == "golea_async.leadership"]
    assert warning.levelno == logging.WARNING
    assert "'swallows'" in warning.message
    assert str(election.status.candidate_id) in warning.message
    assert "asyncio.timeout" in warning.message
    await soon(election.resign())


def test_the_program_ends_while_work_is_being_stopped(zookeeper: MemoryZooKeeper) -> None:
    """`asyncio.run` cancels all tasks when its loop does not run: the work and who resigns hear of it."""
    stopped = list[bool]()

    async def be_connected(client: asyncio.Future[ZKClient]) -> None:
        async with ZKClient(zookeeper.hosts, session_timeout=LONG) as zk:
            client.set_result(zk)
            await asyncio.Event().wait()

    async def program() -> None:
        client = asyncio.get_running_loop().create_future()
        connected = asyncio.create_task(be_connected(client))
        zk = await soon(client)
        await create_election(zk, RESOURCE)
        election, is_stopping = AsyncElection(zk, RESOURCE), asyncio.Event()

        async def work(_: Leadership) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                is_stopping.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.append(True)

        run = asyncio.create_task(election.run(work))
        await eventually(lambda: election.is_leader)
        resigning = asyncio.create_task(election.resign())
        await soon(is_stopping.wait())
        assert not any(task.done() for task in (connected, run, resigning))

    asyncio.run(program())
    assert stopped == [True]


class TestReasons:
    async def test_the_end_of_a_session_is_no_deletion(
        self, zookeeper: MemoryZooKeeper, clients: tuple[ZKClient, ZKClient], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The event of the own znode's deletion comes first: the block waits until the reason is known."""
        caplog.set_level(logging.INFO, "golea_async")
        election = AsyncElection(clients[0], RESOURCE, "expired")
        await soon(election.start())
        leadership = await soon(election.wait_for_leadership())

        async def lead() -> None:
            async with election.leadership():
                zookeeper.expire_session(clients[0].session.session_id)
                await asyncio.Event().wait()

        with pytest.raises(LeadershipLostError) as caught:
            await soon(lead())
        assert isinstance(caught.value.__cause__, SessionExpiredError)
        with pytest.raises(LeadershipLostError) as later:
            leadership.check()
        assert isinstance(later.value.__cause__, SessionExpiredError)
        (line,) = [each.message for each in caplog.records if "lost leadership" in each.message]
        assert f"(token {leadership.fencing_token}): the ZooKeeper session is lost" in line
        await soon(election.resign())

    async def test_a_deletion_by_somebody(
        self, clients: tuple[ZKClient, ZKClient], caplog: pytest.LogCaptureFixture
    ) -> None:
        election = AsyncElection(clients[0], RESOURCE, "deposed")
        await soon(election.start())

        async def lead() -> None:
            async with election.leadership():
                await depose(clients[1], str(election.status.candidate_id), force=True)
                await asyncio.Event().wait()

        with pytest.raises(LeadershipLostError) as caught:
            await soon(lead())
        assert isinstance(caught.value.__cause__, CandidateDeletedError)
        (line,) = [each.message for each in caplog.records if "lost leadership" in each.message]
        assert "somebody deleted its znode" in line
        await soon(election.resign())

    async def test_a_resign_error_beside_a_cancellation_is_logged(
        self, zookeeper: MemoryZooKeeper, clients: tuple[ZKClient, ZKClient], caplog: pytest.LogCaptureFixture
    ) -> None:
        election = AsyncElection(clients[0], RESOURCE, "cut off", resign_timeout=0.05)
        entered = asyncio.Event()

        async def stand() -> None:
            async with election:
                entered.set()
                await asyncio.Event().wait()

        standing = asyncio.create_task(stand())
        await soon(entered.wait())
        with zookeeper.cut(clients[0].session.session_id):
            standing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(standing)
            warnings = [each.message for each in caplog.records if each.name == "golea_async.election"]
            assert [message for message in warnings if "resign() again" in message]
        await soon(election.resign(timeout=None))


class TestResignTimeout:
    """Bodies included."""

    @pytest.mark.parametrize("by", ["run", "async with"])
    async def test_it_ends_a_resignation(self, clients: tuple[ZKClient, ZKClient], by: str) -> None:
        election = AsyncElection(clients[0], RESOURCE, resign_timeout=0.05)
        goes_on, entered = asyncio.Event(), asyncio.Event()

        async def body() -> None:
            async with election.leadership():
                entered.set()
                while not goes_on.is_set():
                    with suppress(asyncio.CancelledError):
                        await goes_on.wait()

        async def result(_: Leadership) -> str:
            await entered.wait()
            return "result"

        async def stand() -> None:
            async with election:
                await entered.wait()

        standing = asyncio.create_task(election.run(result) if by == "run" else stand())
        await eventually(lambda: election.is_leader)
        working = asyncio.create_task(body())
        with pytest.raises(ResignError, match="has work in leadership"):
            await soon(standing)
        goes_on.set()
        await soon(election.resign())
        with pytest.raises(LeadershipLostError):
            await soon(working)

    async def test_what_is_none(self, clients: tuple[ZKClient, ZKClient]) -> None:
        for wrong, error in ((-1, ValueError), ("x", TypeError), (True, TypeError)):
            with pytest.raises(error, match="resign_timeout"):
                AsyncElection(clients[0], RESOURCE, resign_timeout=wrong)  # type: ignore[arg-type]


async def test_run_refuses_what_cannot_work_before_anything_is_sent(clients: tuple[ZKClient, ZKClient]) -> None:
    election = AsyncElection(clients[0], RESOURCE)
    for work in (None, print, lambda _: None):
        with pytest.raises(TypeError, match="run"):
            await election.run(work)  # type: ignore[arg-type]
        assert election.status.role == "none"
        assert election.status.candidate_id is None


class TestHeld:
    """Tasks that nobody keeps a reference to."""

    async def waits(self, way: str, election: AsyncElection, outcome: list[str]) -> None:
        if way == "run":
            await election.run(self.work)
        elif way == "statuses":
            async for status in election.statuses():
                if status.role == "leader":
                    break
        elif way == "wait_for_leadership":
            await election.wait_for_leadership()
        else:
            async with election.leadership():
                pass
        outcome.append(way)

    async def work(self, _: Leadership) -> None:
        await asyncio.sleep(0)

    @pytest.mark.parametrize("way", ["run", "statuses", "wait_for_leadership", "leadership"])
    async def test_while_it_follows(self, clients: tuple[ZKClient, ZKClient], way: str) -> None:
        before = AsyncElection(clients[1], RESOURCE, "before")
        await soon(before.start())
        outcome: list[str] = []
        election = AsyncElection(clients[0], RESOURCE, "behind")
        if way != "run":
            await soon(election.start())
        asyncio.create_task(self.waits(way, election, outcome))  # noqa: RUF006
        statuses = election.statuses()
        while (await soon(anext(statuses))).role != "follower":
            pass
        candidacy = election._runner
        del election, statuses
        gc.collect()
        await asyncio.sleep(0)
        await soon(before.resign())
        await eventually(lambda: outcome == [way])
        candidacy.leave()
        await soon(background_to_end())

    async def test_work_that_waits_for_nobody(self, clients: tuple[ZKClient, ZKClient]) -> None:
        """Its task is in a circle that nothing else refers to, also when it has resigned itself."""
        ended, resigned = list[bool](), asyncio.Event()

        async def work(_: Leadership) -> None:
            await election.resign()
            resigned.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.append(True)

        election = AsyncElection(clients[0], RESOURCE)
        asyncio.create_task(election.run(work), name="circle")  # noqa: RUF006
        await soon(resigned.wait())
        gc.collect()
        assert not ended
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "circle"]
        task.cancel()
        await soon(asyncio.wait({task}))
        assert ended


class TestStandingAgain:
    async def test_after_a_resignation(self, clients: tuple[ZKClient, ZKClient]) -> None:
        election = AsyncElection(clients[0], RESOURCE)
        tokens = []
        for _ in range(3):
            async with election:
                leadership = await soon(election.wait_for_leadership())
                tokens.append(leadership.fencing_token)
                assert (await anext(election.statuses())).fencing_token == leadership.fencing_token
            assert not election.is_leader
        assert tokens == sorted(set(tokens))
        await soon(background_to_end())

    async def test_after_a_deletion(self, clients: tuple[ZKClient, ZKClient]) -> None:
        election = AsyncElection(clients[0], RESOURCE)

        async def work(_: Leadership) -> None:
            await asyncio.Event().wait()

        run = asyncio.create_task(election.run(work))
        await eventually(lambda: election.is_leader)
        await depose(clients[1], str(election.status.candidate_id), force=True)
        with pytest.raises(CandidateDeletedError):
            await soon(run)

        async def again(leadership: Leadership) -> int:
            return leadership.fencing_token

        assert await soon(election.run(again))

    async def test_before_the_start(self, clients: tuple[ZKClient, ZKClient]) -> None:
        election = AsyncElection(clients[0], RESOURCE)
        await election.resign()
        await soon(election.start())
        assert election.is_leader
        await soon(election.resign())

    async def test_only_when_the_former_znode_is_gone(self, clients: tuple[ZKClient, ZKClient]) -> None:
        """Work that is still stopping keeps it; meanwhile nobody else starts the same object, and it may resign."""
        election = AsyncElection(clients[0], RESOURCE)
        await soon(election.start())
        goes_on, entered = asyncio.Event(), asyncio.Event()

        async def body() -> None:
            async with election.leadership():
                entered.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await goes_on.wait()

        working = asyncio.create_task(body())
        await soon(entered.wait())
        with pytest.raises(ResignError):
            await election.resign(timeout=0)
        starting = [asyncio.create_task(election.start()) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in starting)
        goes_on.set()
        outcomes = await soon(asyncio.gather(*starting, return_exceptions=True))
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ElectionError", "Status"]
        await soon(asyncio.wait({working}))
        await soon(election.resign())

    async def test_a_resignation_while_it_waits_for_the_former_znode(self, clients: tuple[ZKClient, ZKClient]) -> None:
        election = AsyncElection(clients[0], RESOURCE)
        await soon(election.start())
        resigning = asyncio.create_task(election.resign())
        await asyncio.sleep(0)
        starting = asyncio.create_task(election.start())
        await asyncio.sleep(0)
        await soon(asyncio.gather(election.resign(), resigning))
        with pytest.raises(NotStandingError, match="while it was starting"):
            await soon(starting)


class TestTaskFactories:
    """The library's own tasks are none of theirs; whatever start() raises, it leaves nothing."""

    EAGER = getattr(asyncio, "eager_task_factory", None)  # Python 3.12 and later

    @pytest.mark.parametrize("kind", ["strict", "raising", "lazy", "wrapping", *(["eager"] if EAGER else [])])
    @pytest.mark.parametrize("when", ["before the client", "after"])
    async def test_elections(self, zookeeper: MemoryZooKeeper, kind: str, when: str) -> None:
        loop = asyncio.get_running_loop()

        def strict(loop: asyncio.AbstractEventLoop, work: object) -> asyncio.Task[object]:
            return asyncio.Task(work, loop=loop)  # type: ignore[arg-type]

        def raising(*_: object, **__: object) -> asyncio.Task[object]:
            raise RuntimeError("no task today")

        def lazy(loop: asyncio.AbstractEventLoop, work: object, **_: object) -> asyncio.Future[object]:
            work.close()  # type: ignore[attr-defined]
            return loop.create_future()

        async def stand() -> None:
            async with ZKClient(zookeeper.hosts, session_timeout=T) as zk:
                await create_election(zk, RESOURCE)
                if when == "after":
                    loop.set_task_factory(factories[kind])  # type: ignore[arg-type]
                async with AsyncElection(zk, RESOURCE) as election:
                    assert election.is_leader
            assert [path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/")] == []

        def wrapping(loop: asyncio.AbstractEventLoop, work: Any, **settings: Any) -> asyncio.Task[object]:
            async def traced() -> object:
                return await work

            return asyncio.Task(traced(), loop=loop, **settings)

        factories = {"strict": strict, "raising": raising, "lazy": lazy, "wrapping": wrapping, "eager": self.EAGER}
        if when == "before the client":
            loop.set_task_factory(factories[kind])  # type: ignore[arg-type]
        try:
            await soon(stand())
        finally:
            loop.set_task_factory(None)
        assert zookeeper.sessions() == []


async def test_on_a_real_ensemble_a_successor_never_overlaps_with_work_that_stops(ensemble: Ensemble) -> None:
    """The resignation comes from a task that was set up inside the work."""
    async with two_clients(ensemble.hosts, LONG) as clients:
        pair, resigned, fire, tasks = Pair(*clients), asyncio.Event(), asyncio.Event(), list[asyncio.Task[None]]()

        async def leave() -> None:
            await fire.wait()
            await pair.first.resign()
            resigned.set()

        async def begin() -> None:
            tasks.append(asyncio.create_task(leave()))

        run = await pair.lead(begin)
        fire.set()
        await soon(resigned.wait())
        assert pair.has_stopped
        await soon(pair.second.wait_for_leadership())
        with pytest.raises(NotStandingError):
            await soon(run)
        assert pair.overlaps == 0
        await soon(pair.second.resign())

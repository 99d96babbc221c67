"""How work ends: by a loss that it has noticed itself, in whatever groups; by a cancellation, whosever it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest

from golea_async import AsyncElection, Leadership, LeadershipLostError, ZKClient, create_election, list_candidates
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import soon

RESOURCE = "/election"
OTHER = "/other"
T = 1.2
"""Short, since the event loop is blocked for that long."""


@pytest.fixture
async def zk(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(zookeeper.hosts, session_timeout=T) as client:
        await create_election(client, RESOURCE)
        yield client


@pytest.fixture
async def other(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(zookeeper.hosts, session_timeout=10) as client:
        yield client


async def block() -> None:
    """Be a task that keeps the event loop busy for longer than the lease."""
    time.sleep(T)  # noqa: ASYNC251


async def look_first(leadership: Leadership) -> None:
    """Notice the loss before anybody else does."""
    await asyncio.create_task(block())
    leadership.check()


async def look_when_cancelled(leadership: Leadership) -> None:
    """Notice the loss when this is cancelled for it."""
    blocking = asyncio.create_task(block())
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        leadership.check()
    finally:
        await blocking


Look = Callable[[Leadership], Awaitable[None]]
LOOKS = pytest.mark.parametrize("look", [look_first, look_when_cancelled], ids=lambda look: look.__name__)


async def alone(leadership: Leadership, look: Look) -> None:
    await look(leadership)


async def in_a_group(leadership: Leadership, look: Look) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(alone(leadership, look))
        await asyncio.Event().wait()


async def in_nested_groups(leadership: Leadership, look: Look) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(in_a_group(leadership, look))
        await asyncio.Event().wait()


async def in_a_group_of_anyio(leadership: Leadership, look: Look) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(alone, leadership, look)
        await anyio.sleep_forever()


WAYS = pytest.mark.parametrize(
    "way", [alone, in_a_group, in_nested_groups, in_a_group_of_anyio], ids=lambda way: way.__name__
)
Way = Callable[[Leadership, Look], Awaitable[None]]


class TestALossThatTheWorkHasNoticed:
    @LOOKS
    @WAYS
    async def test_is_the_error_of_the_body(self, zk: ZKClient, way: Way, look: Look) -> None:
        election = AsyncElection(zk, RESOURCE)
        await soon(election.start())
        with pytest.raises((LeadershipLostError, BaseExceptionGroup)) as caught:
            async with election.leadership() as leadership:
                await way(leadership, look)
        assert isinstance(caught.value, LeadershipLostError)
        assert caught.value.__cause__ is not None
        await soon(election.resign())

    @LOOKS
    @WAYS
    async def test_has_run_go_on(self, zk: ZKClient, way: Way, look: Look) -> None:
        tries = []

        async def work(leadership: Leadership) -> str:
            tries.append(leadership)
            if len(tries) == 1:
                await way(leadership, look)
            return "led again"

        election = AsyncElection(zk, RESOURCE)
        assert await soon(election.run(work)) == "led again"
        assert len(tries) == 2
        assert election.report().healthy

    @LOOKS
    @pytest.mark.parametrize("runs", [False, True], ids=["body", "run"])
    async def test_goes_on_unchanged_beside_another_error(self, zk: ZKClient, look: Look, *, runs: bool) -> None:
        election = AsyncElection(zk, RESOURCE)

        async def fail(leadership: Leadership) -> None:
            try:
                await look(leadership)
            except LeadershipLostError as error:
                raise ExceptionGroup("the work", [error, KeyError("a fault")]) from None

        async def lead() -> None:
            async with election.leadership() as leadership:
                await fail(leadership)

        await soon(election.start())
        with pytest.raises(ExceptionGroup) as caught:
            await soon(election.run(fail) if runs else lead())
        assert [type(each) for each in caught.value.exceptions] == [LeadershipLostError, KeyError]
        has_died = "its work has died for good" in (election.report().problem or "")
        assert has_died is runs, "what run() has ended with is told of"
        await soon(election.resign())

    async def test_of_another_election_goes_on_unchanged(self, zk: ZKClient, other: ZKClient) -> None:
        await create_election(other, OTHER)
        lost = AsyncElection(zk, OTHER)
        await soon(lost.start())
        leadership_there = await soon(lost.wait_for_leadership())
        await soon(lost.resign())

        async def work(_: Leadership) -> None:
            async with asyncio.TaskGroup():
                leadership_there.check()

        with pytest.raises(ExceptionGroup) as caught:
            await soon(AsyncElection(other, RESOURCE).run(work))
        assert caught.group_contains(LeadershipLostError)

    @WAYS
    async def test_does_not_displace_a_cancellation_of_run(self, zk: ZKClient, way: Way) -> None:
        """A task group raises its errors, and not that it was cancelled meanwhile: run() would never end."""
        running: list[asyncio.Task[None]] = []

        async def look(leadership: Leadership) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                leadership.check()

        async def work(leadership: Leadership) -> None:
            asyncio.get_running_loop().call_soon(end)
            await way(leadership, look)

        def end() -> None:
            time.sleep(T)
            running[0].cancel()

        running.append(asyncio.create_task(AsyncElection(zk, RESOURCE).run(work)))
        with pytest.raises(asyncio.CancelledError):
            await soon(running[0])
        assert await list_candidates(zk, RESOURCE) == []

    async def test_does_not_displace_the_end_of_a_scope_of_anyio(self, zk: ZKClient) -> None:
        async def work(leadership: Leadership) -> None:
            blocking = asyncio.create_task(block())
            try:
                scope.cancel()
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await blocking
                leadership.check()

        async with asyncio.timeout(30):
            with anyio.CancelScope() as scope:
                await AsyncElection(zk, RESOURCE).run(work)
        assert scope.cancelled_caught


async def await_a_cancelled_task(_: Leadership) -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def raise_it(_: Leadership) -> None:
    raise asyncio.CancelledError("its own")


class TestACancellation:
    @pytest.mark.parametrize("work", [await_a_cancelled_task, raise_it], ids=lambda work: work.__name__)
    async def test_of_the_works_own_ends_run_when_it_has_resigned(
        self, zk: ZKClient, work: Callable[[Leadership], Awaitable[None]]
    ) -> None:
        election = AsyncElection(zk, RESOURCE)
        with pytest.raises(asyncio.CancelledError):
            await election.run(work)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
        assert await list_candidates(zk, RESOURCE) == []
        report = election.report()
        assert not report.healthy
        assert (report.problem or "").startswith("its work has died for good: CancelledError(")

    async def test_of_the_works_own_in_a_task_that_is_being_cancelled(self, zk: ZKClient) -> None:
        """Who cleans up after a cancellation may lead for that: what was before the work is no cancellation of it."""
        election = AsyncElection(zk, RESOURCE)

        async def clean_up() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await election.run(raise_it)

        cleaning = asyncio.create_task(clean_up())
        await asyncio.sleep(0)
        cleaning.cancel()
        with pytest.raises(asyncio.CancelledError, match="its own"):
            await soon(cleaning)
        assert not election.report().healthy

    async def test_of_run_is_no_death_of_the_work(self, zk: ZKClient) -> None:
        is_begun = asyncio.Event()

        async def work(_: Leadership) -> None:
            is_begun.set()
            await asyncio.Event().wait()

        election = AsyncElection(zk, RESOURCE)
        running = asyncio.create_task(election.run(work))
        await soon(is_begun.wait())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(running)
        assert election.report().healthy

    async def test_by_a_time_limit_is_no_death_of_the_work(self, zk: ZKClient) -> None:
        async def work(_: Leadership) -> None:
            limit.reschedule(0)
            await asyncio.Event().wait()

        election = AsyncElection(zk, RESOURCE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30) as limit:
                await election.run(work)
        assert election.report().healthy

    async def test_by_a_scope_of_anyio_is_no_death_of_the_work(self, zk: ZKClient) -> None:
        async def work(_: Leadership) -> None:
            scope.cancel()
            await asyncio.Event().wait()

        election = AsyncElection(zk, RESOURCE)
        with anyio.fail_after(30), anyio.CancelScope() as scope:
            await election.run(work)
        assert scope.cancelled_caught
        assert election.report().healthy

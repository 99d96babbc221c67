"""leadership(), run(), wait_for_leadership() and the order inside resign(): how work is stopped."""

# ruff: noqa: PT012 - what raises is the whole `async with`

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio
import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    ElectionNotFoundError,
    ElectionOverError,
    Leadership,
    LeadershipLostError,
    NotStandingError,
    ResignError,
    Role,
    ZKClient,
    end_election,
)
from tests.support.elections import eventually, is_there, soon
from tests.support.ensemble import Ensemble
from tests.support.leading import KINDS, client_of, depose, leading
from tests.support.wire import WireClient

T = 6.0
Body = Callable[[], Awaitable[object]]


@pytest.fixture
async def prompt(ensemble: Ensemble, resource: str) -> AsyncIterator[ZKClient]:  # noqa: ARG001 - the node comes first
    async with ZKClient(ensemble.hosts, session_timeout=T) as zk:
        yield zk


@pytest.fixture
async def election(prompt: ZKClient, resource: str) -> AsyncIterator[AsyncElection]:
    """A candidate that leads already."""
    async with AsyncElection(prompt, resource, "leader") as candidate:
        await leading(candidate)
        yield candidate


def pending_cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


def cancel_current() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def lose(election: AsyncElection) -> None:
    """What resign() does in its first step."""
    election._runner.leave()


async def forever() -> None:
    await asyncio.Event().wait()


class Running:
    """A task that enters leadership() and runs a body in it; `end` is how the block ended."""

    def __init__(self, election: AsyncElection, body: Callable[[Leadership], Awaitable[object]]) -> None:
        self.entered = asyncio.Event()
        self._election = election
        self._body = body
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async with self._election.leadership() as leadership:
                self.entered.set()
                await self._body(leadership)
        finally:
            self.cancelling_at_the_end = pending_cancellations()

    async def end(self) -> BaseException | None:
        """Wait for the task; return what it raised."""
        await soon(asyncio.wait({self.task}))
        assert self.cancelling_at_the_end == (1 if self.task.cancelled() else 0)
        return asyncio.CancelledError() if self.task.cancelled() else self.task.exception()


async def start_running(election: AsyncElection, body: Callable[[Leadership], Awaitable[object]]) -> Running:
    running = Running(election, body)
    await soon(running.entered.wait())
    return running


def check_lost(error: BaseException | None, cause: type[BaseException]) -> None:
    assert isinstance(error, LeadershipLostError)
    assert isinstance(error.__cause__, cause)
    assert str(error)


# ---------------------------------------------------------------------- a body that is cancelled on loss


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_is_cancelled_when_leadership_is_lost(
    ensemble: Ensemble, wire: WireClient, resource: str, kind: str
) -> None:
    async with client_of(kind, ensemble.hosts, T) as zk, AsyncElection(zk, resource) as election:
        stopped: list[bool] = []

        async def body(leadership: Leadership) -> None:
            assert leadership.is_valid
            try:
                await forever()
            finally:
                assert not leadership.is_valid
                assert not election.is_leader
                await asyncio.sleep(0.01)
                stopped.append(True)

        running = await start_running(election, body)
        await depose(wire, election)
        error = await running.end()
        check_lost(error, CandidateDeletedError)
        assert isinstance(error, LeadershipLostError)
        assert (error.resource, error.candidate_id) == (resource, error.candidate_id)
        assert stopped == [True]


async def test_it_is_entered_only_while_leading(prompt: ZKClient, election: AsyncElection, resource: str) -> None:
    async with AsyncElection(prompt, resource, "second") as second:

        async def body(leadership: Leadership) -> None:
            leadership.check()

        running = Running(second, body)
        assert second.status.role is Role.FOLLOWER
        await asyncio.sleep(0.05)
        assert not running.entered.is_set()
        await election.resign()
        assert await running.end() is None


async def test_a_body_that_returns_while_leading_is_not_disturbed(election: AsyncElection) -> None:
    async with election.leadership() as leadership:
        assert leadership is election.current_leadership
    assert election.is_leader
    assert pending_cancellations() == 0


async def test_a_body_that_returns_after_the_loss(election: AsyncElection, wire: WireClient) -> None:
    async def body(leadership: Leadership) -> str:
        with suppress(asyncio.CancelledError):
            await forever()
        with pytest.raises(LeadershipLostError):
            leadership.check()
        return "done all the same"

    running = await start_running(election, body)
    await depose(wire, election)
    check_lost(await running.end(), CandidateDeletedError)


async def test_a_body_that_never_awaits_after_the_loss(election: AsyncElection) -> None:
    """The cancellation is never delivered to it, and must not hit who comes after."""

    async def body(_: Leadership) -> None:
        lose(election)
        assert pending_cancellations() == 1

    running = Running(election, body)
    check_lost(await running.end(), NotStandingError)


async def test_nothing_is_left_for_who_comes_after(election: AsyncElection, wire: WireClient) -> None:
    """Neither a cancellation nor a count of one."""
    await_lost = asyncio.create_task(depose(wire, election))
    with pytest.raises(LeadershipLostError):
        async with election.leadership():
            await forever()
    await await_lost
    assert pending_cancellations() == 0
    await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        await asyncio.sleep(0)


async def test_a_body_that_shields(election: AsyncElection, wire: WireClient) -> None:
    """What is shielded goes on, the body does not."""
    shielded = asyncio.create_task(asyncio.sleep(0.2, "whole"))

    async def body(_: Leadership) -> None:
        await asyncio.shield(shielded)

    running = await start_running(election, body)
    await depose(wire, election)
    check_lost(await running.end(), CandidateDeletedError)
    assert await soon(shielded) == "whole"


async def test_a_body_behind_a_shield_of_anyio_hears_of_it_too(election: AsyncElection, wire: WireClient) -> None:
    """As of any `task.cancel()`: a scope shields from scopes alone."""

    async def body(_: Leadership) -> None:
        with anyio.CancelScope(shield=True):
            await forever()

    running = await start_running(election, body)
    await depose(wire, election)
    check_lost(await running.end(), CandidateDeletedError)


async def test_a_body_that_goes_on_regardless_is_cancelled_again(
    ensemble: Ensemble, resource: str, wire: WireClient, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries: list[float] = []

    async def body(_: Leadership) -> None:
        while len(deliveries) < 3:
            try:
                await forever()
            except asyncio.CancelledError:
                deliveries.append(asyncio.get_running_loop().time())

    async with (
        ZKClient(ensemble.hosts, session_timeout=1.5) as zk,
        AsyncElection(zk, resource) as election,
    ):
        running = await start_running(election, body)
        with caplog.at_level(logging.WARNING, "golea_async.leadership"):
            await depose(wire, election)
            check_lost(await running.end(), CandidateDeletedError)
        warnings = [record for record in caplog.records if record.name == "golea_async.leadership"]
        assert [record.levelname for record in warnings] == ["WARNING", "WARNING"]
        assert all("goes on" in record.getMessage() and record.exc_info is None for record in warnings)
        pauses = [after - before for before, after in itertools.pairwise(deliveries)]
        assert min(pauses) > 0.4  # a third of the session timeout, but for the clock's grain


async def test_the_bodys_own_exception_wins(election: AsyncElection, wire: WireClient) -> None:
    async def body(_: Leadership) -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise KeyError("while stopping") from None

    running = await start_running(election, body)
    await depose(wire, election)
    assert isinstance(await running.end(), KeyError)


async def test_an_exception_while_leading_passes(election: AsyncElection) -> None:
    with pytest.raises(KeyError):
        async with election.leadership():
            raise KeyError
    assert election.is_leader


async def test_several_bodies_are_all_cancelled_and_waited_for(election: AsyncElection) -> None:
    ended = []

    async def body(number: int) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(number / 50)
            ended.append(number)

    runs = [await start_running(election, lambda _, number=number: body(number)) for number in range(4)]  # type: ignore[misc]
    await soon(election.resign())
    assert ended == [0, 1, 2, 3]
    for running in runs:
        check_lost(await running.end(), NotStandingError)


async def test_a_body_within_a_body_of_another_election(
    prompt: ZKClient, election: AsyncElection, resource: str, wire: WireClient
) -> None:
    """The inner one's loss is the inner one's; the outer body goes on."""
    inner_resource = await wire.create(f"{resource}-inner")
    async with AsyncElection(prompt, inner_resource) as inner, election.leadership() as outer:
        await leading(inner)
        with pytest.raises(LeadershipLostError) as caught:
            async with inner.leadership():
                await depose(wire, inner)
                await forever()
        assert caught.value.resource == inner_resource
        outer.check()
        assert pending_cancellations() == 0


async def test_the_outer_ones_loss_passes_through_the_inner_body(
    prompt: ZKClient, election: AsyncElection, resource: str, wire: WireClient
) -> None:
    inner_resource = await wire.create(f"{resource}-inner")
    async with AsyncElection(prompt, inner_resource) as inner:
        await leading(inner)
        with pytest.raises(LeadershipLostError) as caught:
            async with election.leadership(), inner.leadership():
                await depose(wire, election)
                await forever()
        assert caught.value.resource == resource
        assert inner.is_leader


# ---------------------------------------------------------------------- task groups and timeouts


async def in_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(forever())
        group.create_task(forever())


async def waiting_in_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(forever())
        await forever()


async def in_anyio_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(forever)
        group.start_soon(forever)


async def waiting_in_anyio_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(forever)
        await anyio.sleep_forever()


async def in_timeout() -> None:
    async with asyncio.timeout(100):
        await forever()


async def in_anyio_timeout() -> None:
    with anyio.fail_after(100):
        await forever()


async def in_everything() -> None:
    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        group.create_task(in_anyio_group())
        with anyio.move_on_after(100):
            await waiting_in_anyio_group()


async def with_a_long_finally() -> None:
    try:
        await in_anyio_group()
    finally:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0.01))
            await asyncio.sleep(0.01)


INSIDES: list[Body] = [
    forever,
    in_task_group,
    waiting_in_task_group,
    in_anyio_group,
    waiting_in_anyio_group,
    in_timeout,
    in_anyio_timeout,
    in_everything,
    with_a_long_finally,
]
inside = pytest.mark.parametrize("body", INSIDES, ids=lambda body: body.__name__)


@inside
async def test_structures_inside_are_taken_down_in_order(election: AsyncElection, wire: WireClient, body: Body) -> None:
    before = asyncio.all_tasks()
    running = await start_running(election, lambda _: body())
    await asyncio.sleep(0.01)
    await depose(wire, election)
    check_lost(await running.end(), CandidateDeletedError)
    assert {task for task in asyncio.all_tasks() - before if "forever" in repr(task)} == set()


@inside
async def test_structures_outside_see_an_ordinary_error(election: AsyncElection, wire: WireClient, body: Body) -> None:
    async def whole() -> None:
        with anyio.move_on_after(100) as scope:
            async with asyncio.timeout(100), anyio.create_task_group() as outer:
                outer.start_soon(forever)
                async with election.leadership():
                    await body()
        assert not scope.cancelled_caught

    task = asyncio.create_task(whole())
    await asyncio.sleep(0.05)
    await depose(wire, election)
    await soon(asyncio.wait({task}))
    error = task.exception()
    assert isinstance(error, ExceptionGroup)
    (lost,) = error.exceptions
    check_lost(lost, CandidateDeletedError)


# ---------------------------------------------------------------------- cancellations from elsewhere


@dataclass
class Race:
    """A loss and a cancellation from elsewhere, so many steps of the event loop apart."""

    election: AsyncElection
    is_cancelled: Callable[[], bool] = bool
    """Whether the cancellation from elsewhere has come."""
    was_inside: bool = False
    """Whether it had come when the block of leadership() was left."""

    async def run(self, cancel: Callable[[], object], steps: int) -> None:
        """Lose first for a positive number of steps, else cancel first; at 0 both in one step."""
        if steps > 0:
            lose(self.election)
            await self._pass(steps)
        cancel()
        if steps <= 0:
            await self._pass(-steps)
            lose(self.election)

    async def _pass(self, steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)


async def body_that_returns() -> str:
    with suppress(asyncio.CancelledError):
        await forever()
    return "returned"


async def body_that_raises() -> None:
    try:
        await forever()
    finally:
        raise KeyError("its own")


async def body_that_takes_its_time() -> None:
    try:
        await forever()
    finally:
        for _ in range(3):
            await asyncio.sleep(0)


BODIES: list[Body] = [
    *INSIDES,
    body_that_returns,
    body_that_raises,
    body_that_takes_its_time,
]
STEPS = [*range(-4, 5), 8, 30]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
@pytest.mark.parametrize("elsewhere", ["task", "timeout", "anyio"])
async def test_a_cancellation_from_elsewhere_stays_one(
    prompt: ZKClient, resource: str, body: Body, elsewhere: str
) -> None:
    """Whatever the order, and as seen by who has cancelled."""
    for steps in STEPS:
        election = AsyncElection(prompt, resource, f"{steps}")
        await leading(election)
        race = Race(election)
        entered = asyncio.Event()

        async def guarded() -> None:
            try:
                async with election.leadership():  # noqa: B023
                    entered.set()  # noqa: B023
                    await body()
            finally:
                race.was_inside = race.is_cancelled()  # noqa: B023

        outcome, cancelling = await soon(OUTSIDES[elsewhere](guarded, race, steps, entered))
        await soon(election.resign())
        if body is body_that_raises:
            assert outcome == "KeyError", steps
        elif not race.was_inside:
            assert outcome == "LeadershipLostError", steps
        elif body is body_that_returns:  # it may have swallowed it and returned before the loss
            assert outcome in (CANCELLED[elsewhere], "nothing"), steps
        else:
            assert outcome == CANCELLED[elsewhere], steps
        assert cancelling == (1 if elsewhere == "task" else 0), steps


CANCELLED = {"task": "CancelledError", "timeout": "TimeoutError", "anyio": "nothing"}
Outcome = tuple[str, int]


async def outcome_of(work: Awaitable[object]) -> str:
    try:
        await work
    except BaseException as error:  # noqa: BLE001
        return type(error).__name__
    return "nothing"


async def from_a_task(guarded: Body, race: Race, steps: int, entered: asyncio.Event) -> Outcome:
    async def whole() -> Outcome:
        outcome = await outcome_of(guarded())
        await over.wait_uncancelled()
        return outcome, pending_cancellations()

    over = Patience()
    task = asyncio.create_task(whole())
    await entered.wait()
    await asyncio.sleep(0)
    race.is_cancelled = lambda: task.cancelling() > 0
    await race.run(task.cancel, steps)
    over.end()
    return await task


class Patience:
    """Waits in a task that may be cancelled meanwhile, and leaves the count of that as it is."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    def end(self) -> None:
        self._over.set()

    async def wait_uncancelled(self) -> None:
        while not self._over.is_set():
            with suppress(asyncio.CancelledError):
                await self._over.wait()
        with suppress(asyncio.CancelledError):  # one that came in the last step
            await asyncio.sleep(0)


async def from_a_timeout(guarded: Body, race: Race, steps: int, entered: asyncio.Event) -> Outcome:
    async def whole() -> Outcome:
        async def limited() -> None:
            async with asyncio.timeout(None) as limit:
                limits.append(limit)
                await guarded()

        outcome = await outcome_of(limited())
        return outcome, pending_cancellations()

    limits: list[asyncio.Timeout] = []
    task = asyncio.create_task(whole())
    await entered.wait()
    await asyncio.sleep(0)

    def expire() -> None:
        with suppress(RuntimeError):  # it has ended
            limits[0].reschedule(0)

    race.is_cancelled = limits[0].expired
    await race.run(expire, steps)
    return await task


async def from_an_anyio_scope(guarded: Body, race: Race, steps: int, entered: asyncio.Event) -> Outcome:
    scope = anyio.CancelScope()

    async def whole() -> Outcome:
        async def scoped() -> None:
            with scope:
                await guarded()

        outcome = await outcome_of(scoped())
        cancelling = pending_cancellations()
        await asyncio.sleep(0.001)  # nothing of it is left that hits who comes after
        return outcome, cancelling

    task = asyncio.create_task(whole())
    await entered.wait()
    await asyncio.sleep(0)
    race.is_cancelled = lambda: scope.cancel_called
    await race.run(scope.cancel, steps)
    return await task


OUTSIDES = {"task": from_a_task, "timeout": from_a_timeout, "anyio": from_an_anyio_scope}


# ---------------------------------------------------------------------- one task enters and leaves


async def test_left_in_another_task_is_a_clear_error(election: AsyncElection) -> None:
    """And it does not keep resign() waiting for a body that nobody will leave."""
    block = election.leadership()

    async def enter() -> None:
        await block.__aenter__()

    await soon(asyncio.create_task(enter()))
    with pytest.raises(RuntimeError, match="in the task that entered it"):
        await block.__aexit__(None, None, None)
    await soon(election.resign())


async def test_a_block_is_for_one_body(election: AsyncElection) -> None:
    block = election.leadership()
    async with block:
        pass
    with pytest.raises(RuntimeError, match="again"):
        await block.__aenter__()


async def test_left_before_it_was_entered(election: AsyncElection) -> None:
    with pytest.raises(RuntimeError, match="entered before"):
        await election.leadership().__aexit__(None, None, None)


async def test_never_entered_leaves_nothing(election: AsyncElection) -> None:
    election.leadership()
    await soon(election.resign())


async def test_cancelled_while_it_waits_to_enter(prompt: ZKClient, election: AsyncElection, resource: str) -> None:
    async with AsyncElection(prompt, resource, "second") as second:
        running = Running(second, lambda _: forever())
        await asyncio.sleep(0.01)
        running.task.cancel()
        assert isinstance(await running.end(), asyncio.CancelledError)
        assert second.status.role is Role.FOLLOWER
        await soon(election.resign())
        (await leading(second)).check()


async def test_entering_before_the_start_and_after_the_end(prompt: ZKClient, resource: str) -> None:
    election = AsyncElection(prompt, resource)
    for _ in range(2):
        with pytest.raises(NotStandingError):
            await election.wait_for_leadership()
        with pytest.raises(NotStandingError):
            async with election.leadership():
                raise AssertionError
        await election.resign()


@pytest.mark.parametrize("kind", KINDS)
async def test_what_ended_the_election_is_raised_by_who_waits(
    ensemble: Ensemble, resource: str, wire: WireClient, kind: str
) -> None:
    async with (
        client_of(kind, ensemble.hosts, T) as zk,
        AsyncElection(zk, resource, "leader"),
        AsyncElection(zk, resource, "ended") as ended,
        AsyncElection(zk, resource, "deposed") as deposed,
    ):
        waits = [asyncio.create_task(each.wait_for_leadership()) for each in (ended, deposed)]
        running = Running(ended, lambda _: forever())
        await asyncio.sleep(0)
        await depose(wire, deposed)
        with pytest.raises(CandidateDeletedError):
            await soon(waits[1])
        await soon(end_election(zk, resource))
        with pytest.raises(ElectionOverError):
            await soon(waits[0])
        assert isinstance(await running.end(), ElectionOverError)


async def test_current_leadership(prompt: ZKClient, resource: str, wire: WireClient) -> None:
    election = AsyncElection(prompt, resource)
    assert election.current_leadership is None
    leadership = await leading(election)
    assert election.current_leadership is leadership
    assert leadership.is_valid
    assert 0 < leadership.remaining <= T
    assert leadership.fencing_token == election.status.fencing_token
    lost = asyncio.create_task(leadership.wait_lost())
    await asyncio.sleep(0)
    assert not lost.done()
    await depose(wire, election)
    await soon(lost)
    assert election.current_leadership is None
    assert not leadership.is_valid
    assert leadership.remaining == 0
    with pytest.raises(LeadershipLostError) as caught:
        leadership.check()
    check_lost(caught.value, CandidateDeletedError)
    await soon(leadership.wait_lost())
    await election.resign()


# ---------------------------------------------------------------------- resign


async def test_resigning_inside_a_body_is_no_loss(election: AsyncElection, wire: WireClient) -> None:
    async with election.leadership() as leadership:
        await soon(election.resign())
        assert not leadership.is_valid
        assert not await is_there(wire, str(election.status.candidate_id))
        await asyncio.sleep(0.01)
    assert pending_cancellations() == 0


async def test_resigning_in_a_child_task_stops_the_body(election: AsyncElection, wire: WireClient) -> None:
    """Whoever waits for the child is stopped, too, and the block says so."""
    with pytest.raises(LeadershipLostError) as caught:
        async with election.leadership(), asyncio.TaskGroup() as group:
            group.create_task(election.resign(timeout=None))
            await soon(forever())
    check_lost(caught.value, NotStandingError)
    assert pending_cancellations() == 0
    assert not await is_there(wire, str(election.status.candidate_id))


async def test_other_bodies_are_stopped_when_one_resigns_inside(election: AsyncElection) -> None:
    running = await start_running(election, lambda _: forever())
    async with election.leadership():
        await soon(election.resign())
        assert running.task.done()
    check_lost(await running.end(), NotStandingError)


async def test_resigning_in_the_finally_of_a_cancelled_body(election: AsyncElection, wire: WireClient) -> None:
    """The loss came first, so it is told; the resignation does not wait for the body that awaits it."""

    async def body(_: Leadership) -> None:
        try:
            await forever()
        finally:
            await election.resign()

    running = await start_running(election, body)
    await depose(wire, election)
    check_lost(await running.end(), CandidateDeletedError)


async def test_resigning_in_the_finally_of_a_body_that_is_cancelled_from_elsewhere(
    election: AsyncElection, wire: WireClient
) -> None:
    async def body(_: Leadership) -> None:
        try:
            await forever()
        finally:
            await election.resign()

    running = await start_running(election, body)
    running.task.cancel()
    assert isinstance(await running.end(), asyncio.CancelledError)
    assert not await is_there(wire, str(election.status.candidate_id))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_znode_goes_only_when_the_work_has_stopped(
    ensemble: Ensemble, resource: str, wire: WireClient, kind: str
) -> None:
    """Belief first, then the bodies, then the znode: a successor does not overlap with work that is still stopping."""
    async with client_of(kind, ensemble.hosts, T) as zk, client_of(kind, ensemble.hosts, T) as other:
        election, successor = AsyncElection(zk, resource, "first"), AsyncElection(other, resource, "second")
        await leading(election)
        await soon(successor.start())
        seen = []
        may_stop = asyncio.Event()

        async def body(_: Leadership) -> None:
            try:
                await forever()
            finally:
                seen.append(("belief", election.is_leader))
                await may_stop.wait()
                seen.append(("znode", await is_there(wire, str(first_id))))
                seen.append(("successor", successor.is_leader))

        first_id = election.status.candidate_id
        running = await start_running(election, body)
        resignation = asyncio.create_task(election.resign(timeout=None))
        await eventually(lambda: bool(seen))
        assert election.status.role is Role.NONE
        assert await is_there(wire, str(first_id))
        assert not resignation.done()
        may_stop.set()
        await soon(resignation)
        assert not await is_there(wire, str(first_id))
        assert seen == [("belief", False), ("znode", True), ("successor", False)]
        check_lost(await running.end(), NotStandingError)
        await leading(successor)
        await successor.resign()


async def test_a_body_that_does_not_stop_in_time(election: AsyncElection, wire: WireClient) -> None:
    """ResignError, the znode stays, and a second resign() waits for what goes on."""
    may_stop = asyncio.Event()

    async def body(_: Leadership) -> None:
        while not may_stop.is_set():
            with suppress(asyncio.CancelledError):
                await may_stop.wait()

    running = await start_running(election, body)
    path = str(election.status.candidate_id)
    with pytest.raises(ResignError) as caught:
        await election.resign(timeout=0.05)
    assert caught.value.candidate_id == path
    assert not election.is_leader
    assert await is_there(wire, path)
    with pytest.raises(ResignError):
        await election.resign(timeout=0)
    again = asyncio.create_task(election.resign())
    await asyncio.sleep(0.01)
    assert not again.done()
    may_stop.set()
    await soon(again)
    assert not await is_there(wire, path)
    check_lost(await running.end(), NotStandingError)


async def test_a_cancellation_waits_for_the_resignation(election: AsyncElection, wire: WireClient) -> None:
    may_stop = asyncio.Event()

    async def body(_: Leadership) -> None:
        try:
            await forever()
        finally:
            await may_stop.wait()

    await start_running(election, body)
    path = str(election.status.candidate_id)
    resignation = asyncio.create_task(election.resign())
    await asyncio.sleep(0.01)
    resignation.cancel()
    await asyncio.sleep(0.01)
    assert not resignation.done()
    may_stop.set()
    await soon(asyncio.wait({resignation}))
    assert resignation.cancelled()
    assert not await is_there(wire, path)


async def test_a_body_of_a_former_stretch_is_waited_for_too(prompt: ZKClient, resource: str, wire: WireClient) -> None:
    """Also when its leadership was lost long before."""
    election = AsyncElection(prompt, resource)
    leadership = await leading(election)
    may_stop = asyncio.Event()

    async def body(_: Leadership) -> None:
        try:
            await forever()
        finally:
            await may_stop.wait()

    running = await start_running(election, body)
    await depose(wire, election)
    await soon(leadership.wait_lost())
    with pytest.raises(ResignError):
        await election.resign(timeout=0.2)
    may_stop.set()
    await soon(election.resign())
    check_lost(await running.end(), CandidateDeletedError)


# ---------------------------------------------------------------------- run


@pytest.mark.parametrize("kind", KINDS)
async def test_run_starts_works_and_resigns(ensemble: Ensemble, resource: str, wire: WireClient, kind: str) -> None:
    async with client_of(kind, ensemble.hosts, T) as zk:
        election = AsyncElection(zk, resource)

        async def work(leadership: Leadership) -> str:
            leadership.check()
            assert await is_there(wire, str(election.status.candidate_id))
            return "result"

        assert await soon(election.run(work)) == "result"
        await wire.sync()
        assert await wire.get_children(resource) == []
        assert election.status.role is Role.NONE


async def test_run_raises_what_the_work_raised(prompt: ZKClient, resource: str, wire: WireClient) -> None:
    async def work(_: Leadership) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await soon(AsyncElection(prompt, resource).run(work))
    await wire.sync()
    assert await wire.get_children(resource) == []


async def test_run_cancelled(prompt: ZKClient, resource: str, wire: WireClient) -> None:
    running = asyncio.Event()

    async def work(_: Leadership) -> None:
        running.set()
        await forever()

    task = asyncio.create_task(AsyncElection(prompt, resource).run(work))
    await soon(running.wait())
    task.cancel()
    await soon(asyncio.wait({task}))
    assert task.cancelled()
    await wire.sync()
    assert await wire.get_children(resource) == []


async def test_run_works_again_after_a_lost_session(prompt: ZKClient, ensemble: Ensemble, resource: str) -> None:
    """With another leadership, whose fencing token is greater; the work of the one before has ended by then."""
    tokens: list[int] = []
    at_work = asyncio.Event()
    working = 0

    async def work(leadership: Leadership) -> str:
        nonlocal working
        assert working == 0
        working += 1
        try:
            tokens.append(leadership.fencing_token)
            at_work.set()
            if len(tokens) < 3:
                await forever()
            return "third"
        finally:
            await asyncio.sleep(0.02)
            working -= 1

    task = asyncio.create_task(AsyncElection(prompt, resource).run(work))
    for _ in range(2):
        await soon(at_work.wait())
        at_work.clear()
        thief = await WireClient.connect(
            ensemble.servers[0].port, session_id=prompt.session.session_id, password=prompt.session.password
        )
        await thief.close()
    assert await soon(task) == "third"
    assert tokens == sorted(set(tokens))


async def test_run_ends_with_what_ended_the_election(prompt: ZKClient, resource: str, wire: WireClient) -> None:
    """A znode that somebody deleted is final."""
    election = AsyncElection(prompt, resource)
    task = asyncio.create_task(election.run(lambda _: forever()))
    await eventually(lambda: election.is_leader)
    await depose(wire, election)
    with pytest.raises(CandidateDeletedError):
        await soon(task)


async def test_run_without_an_election_node(prompt: ZKClient, resource: str) -> None:
    with pytest.raises(ElectionNotFoundError):
        await soon(AsyncElection(prompt, f"{resource}/none").run(lambda _: forever()))


async def test_run_on_one_that_stands_already(election: AsyncElection) -> None:
    async def work(leadership: Leadership) -> int:
        return leadership.fencing_token

    token = election.status.fencing_token
    assert await soon(election.run(work)) == token


async def test_work_that_resigns_and_returns(prompt: ZKClient, resource: str) -> None:
    election = AsyncElection(prompt, resource)

    async def work(_: Leadership) -> str:
        await election.resign()
        return "resigned"

    assert await soon(election.run(work)) == "resigned"


async def test_work_that_uses_another_elections_lost_leadership(
    prompt: ZKClient, election: AsyncElection, resource: str, wire: WireClient
) -> None:
    """Its error is the work's own: this one leads on, and would work again for ever."""
    lost = await leading(election)
    await depose(wire, election)
    await soon(lost.wait_lost())
    other = await wire.create(f"{resource}-other")

    async def work(_: Leadership) -> None:
        lost.check()

    with pytest.raises(LeadershipLostError):
        await soon(AsyncElection(prompt, other).run(work))


async def test_work_that_checks_is_begun_again(prompt: ZKClient, ensemble: Ensemble, resource: str) -> None:
    """LeadershipLostError from its own leadership is a loss, also when it comes from the work itself."""
    tries = []

    async def work(leadership: Leadership) -> str:
        tries.append(leadership)
        if len(tries) == 2:
            return "second"
        thief = await WireClient.connect(
            ensemble.servers[0].port, session_id=prompt.session.session_id, password=prompt.session.password
        )
        await thief.close()
        while True:
            leadership.check()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    assert await soon(AsyncElection(prompt, resource).run(work)) == "second"

"""What a reader of statuses may rely on, whatever is published and however slowly it reads."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golea_async import ElectionError, Role, Status
from golea_async._status_board import StatusBoard, StatusReader

OVER = ElectionError("over")


def leading(token: int) -> Status:
    return Status(Role.LEADER, f"/election/le_{token:010}", fencing_token=token)


def following(number: int) -> Status:
    return Status(Role.FOLLOWER, "/election/le_0000000099", now_following=f"/election/le_{number:010}")


JOINING = Status(Role.CANDIDATE)
READ = None
PUBLICATIONS = st.builds(following, st.integers(0, 3)) | st.builds(leading, st.integers(1, 4)) | st.just(JOINING)
# Who leads is told of nothing but the loss: an election never publishes two gains in a row.
STEPS = st.lists(PUBLICATIONS | st.just(READ), max_size=40).map(
    lambda steps: [
        step
        for position, step in enumerate(steps)
        if step is READ or not _leads(step) or not _leads(_last_publication(steps[:position]))
    ]
)


def _leads(status: Status | None) -> bool:
    return status is not None and status.role is Role.LEADER


def _last_publication(steps: list[Status | None]) -> Status | None:
    return next((step for step in reversed(steps) if step is not None), None)


def read_now(reader: StatusReader) -> Status | None:
    """What a read returns without waiting; None when it would wait.

    :raises StopAsyncIteration: at the end
    """
    reading: Coroutine[Any, Any, Status] = reader.__anext__()
    try:
        reading.send(None)
    except StopIteration as returned:
        status: Status = returned.value
        return status
    finally:
        reading.close()
    return None


class Slow:
    """A board and a reader that is driven step by step; it keeps what was published and what was read."""

    def __init__(self) -> None:
        self.board = StatusBoard()
        reader = self.board.reader()
        assert isinstance(reader, StatusReader)
        self.reader = reader
        self.published = [self.board.latest]
        self.read: list[Status] = []

    def do(self, steps: list[Status | None]) -> None:
        for step in steps:
            if step is None:
                status = read_now(self.reader)
                self.read += [status] if status is not None else []
            else:
                self.published.append(step)
                self.board.publish(step)
            assert len(self.reader._unread) <= 2, "memory is bounded"

    def read_all(self) -> bool:
        """Read until it would wait (False) or has ended (True)."""
        try:
            while (status := read_now(self.reader)) is not None:
                self.read.append(status)
        except StopAsyncIteration:
            return True
        return False


@given(STEPS)
async def test_the_last_thing_read_is_the_truth(steps: list[Status | None]) -> None:
    slow = Slow()
    slow.do(steps)
    assert not slow.read_all()
    assert slow.read[-1] is slow.published[-1] is slow.board.latest


@given(STEPS)
async def test_what_is_read_was_published_in_this_order(steps: list[Status | None]) -> None:
    slow = Slow()
    slow.do(steps)
    slow.read_all()
    unseen = iter(slow.published)
    assert all(any(status is published for published in unseen) for status in slow.read)


@given(STEPS)
async def test_a_loss_is_read_after_its_gain_so_two_stretches_never_read_as_one(steps: list[Status | None]) -> None:
    slow = Slow()
    slow.do(steps)
    slow.read_all()
    for before, after in zip(slow.read, slow.read[1:], strict=False):
        assert not (_leads(before) and _leads(after))


async def test_a_loss_that_is_unread_stays_before_the_next_gain() -> None:
    slow = Slow()
    slow.do([READ, leading(1), READ, following(1), JOINING, leading(2)])
    slow.read_all()
    assert slow.read == [Status(Role.NONE), leading(1), following(1), leading(2)]


@given(STEPS, st.none() | st.just(OVER))
async def test_the_end_is_the_last_thing_read(steps: list[Status | None], error: ElectionError | None) -> None:
    slow = Slow()
    slow.do(steps)
    read_before = len(slow.read)
    slow.board.end(error)
    slow.board.publish(leading(9))
    slow.board.end(ElectionError("again"))
    assert slow.read_all()
    if error is None:
        assert slow.read[read_before:] == []
    else:
        assert slow.read[-1] == slow.board.latest
        assert (slow.read[-1].role, slow.read[-1].error) == (Role.NONE, OVER)
    assert slow.board.latest.role is Role.NONE
    assert slow.read_all()


@given(STEPS)
async def test_a_reader_that_keeps_up_misses_nothing(steps: list[Status | None]) -> None:
    slow = Slow()
    slow.do([READ, *(each for step in steps if step is not None for each in (step, READ))])
    assert slow.read == slow.published


async def test_the_end_says_who_was_followed() -> None:
    board = StatusBoard()
    board.publish(following(3))
    board.end(OVER)
    assert board.latest == Status(
        Role.NONE, "/election/le_0000000099", was_following="/election/le_0000000003", error=OVER
    )


async def test_each_reader_has_its_own_view() -> None:
    board = StatusBoard()
    board.publish(JOINING)
    first = board.reader()
    board.publish(leading(1))
    second = board.reader()
    assert await anext(first) == await anext(second) == leading(1)
    board.publish(following(1))
    assert await anext(second) == following(1)
    assert await anext(first) == following(1)


async def test_a_late_reader_reads_only_how_it_ended() -> None:
    over, resigned = StatusBoard(), StatusBoard()
    over.publish(leading(1))
    over.end(OVER)
    resigned.publish(leading(1))
    resigned.end(None)
    assert [status async for status in over.reader()] == [over.latest]
    assert [status async for status in resigned.reader()] == []


async def test_a_waiting_read_is_woken_by_a_change_and_by_the_end() -> None:
    board = StatusBoard()
    reader = board.reader()
    await anext(reader)
    reading = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    board.publish(JOINING)
    assert await reading == JOINING

    ended = asyncio.create_task(_rest(reader))
    await asyncio.sleep(0)
    board.end(None)
    assert await ended == []


@pytest.mark.parametrize("steps", range(4))
async def test_a_cancelled_read_loses_nothing(steps: int) -> None:
    """Cancelled before it runs, while it waits, at the publication, and after it."""
    board = StatusBoard()
    reader = board.reader()
    await anext(reader)
    reading = asyncio.create_task(_rest_of_one(reader))
    for step in range(steps):
        await asyncio.sleep(0)
        if step == 1:
            board.publish(leading(1))
    reading.cancel()
    (outcome,) = await asyncio.gather(reading, return_exceptions=True)
    if steps < 2:
        board.publish(leading(1))
    read = [outcome] if isinstance(outcome, Status) else [await anext(reader)]
    assert read == [leading(1)]
    board.publish(following(1))
    assert await anext(reader) == following(1)


async def test_break_leaves_nothing_behind() -> None:
    board = StatusBoard()
    reader = board.reader()
    gone = weakref.ref(reader)
    async for _ in reader:
        break
    del reader
    gc.collect()
    assert gone() is None
    assert not board._readers
    board.publish(JOINING)


async def test_what_awaits_a_status_is_held_as_long_as_it_does() -> None:
    """Asyncio holds tasks weakly, and nobody else may hold one that reads."""
    board = StatusBoard()
    read: list[Status] = []
    reader, reading = _reads_two(board, read)
    await asyncio.sleep(0)
    gc.collect()
    assert reading() is not None
    board.publish(JOINING)
    while reading() is not None:
        await asyncio.sleep(0)
        gc.collect()
    assert read == [Status(Role.NONE), JOINING]
    assert reader() is None


async def test_a_reader_is_held_until_the_last_of_its_reads_has_ended() -> None:
    board = StatusBoard()
    reader = board.reader()
    await anext(reader)
    first, second = (asyncio.create_task(_rest_of_one(reader)) for _ in range(2))
    await asyncio.sleep(0)
    kept, is_held = weakref.ref(reader), weakref.ref(second)
    del reader, second
    first.cancel()
    await asyncio.wait([first])
    del first
    gc.collect()
    assert is_held() is not None
    board.publish(JOINING)
    while is_held() is not None:
        await asyncio.sleep(0)
        gc.collect()
    assert kept() is None


def _reads_two(
    board: StatusBoard, read: list[Status]
) -> tuple[weakref.ref[StatusReader], weakref.ref[asyncio.Task[None]]]:
    """Have a task read, to which nobody keeps a reference."""
    reader = board.reader()

    async def reads() -> None:
        read.append(await anext(reader))
        read.append(await anext(reader))

    return weakref.ref(reader), weakref.ref(asyncio.create_task(reads()))


class TestDecision:
    """What `start()` awaits."""

    def test_of_a_new_board(self) -> None:
        board = StatusBoard()
        assert (board.latest, board.has_ended) == (Status(Role.NONE), False)

    @pytest.mark.parametrize("decided", [leading(1), following(1)])
    async def test_it_is_the_first_role_that_is_decided(self, decided: Status) -> None:
        board = StatusBoard()
        decision = board.decision()
        board.publish(JOINING)
        assert not decision.done()
        board.publish(decided)
        board.publish(following(2))
        assert await decision == decided

    async def test_or_the_end(self) -> None:
        board = StatusBoard()
        decision = board.decision()
        board.end(OVER)
        assert await decision is board.latest
        assert (await board.decision()).error is OVER, "also when it has ended before"

    async def test_nobody_waits_any_more(self) -> None:
        board = StatusBoard()
        board.decision().cancel()
        board.publish(leading(1))
        assert board.latest == leading(1)


async def test_a_reader_outlives_its_board() -> None:
    board = StatusBoard()
    reader = board.reader()
    board.end(OVER)
    del board
    gc.collect()
    assert [status.error async for status in reader] == [OVER]


async def _rest(reader: Any) -> list[Status]:
    return [status async for status in reader]


async def _rest_of_one(reader: Any) -> Status:
    status: Status = await anext(reader)
    return status

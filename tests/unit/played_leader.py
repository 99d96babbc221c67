"""One that leads, or only stands, with keep-alives in moments that are made up."""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from types import SimpleNamespace
from typing import cast

from golea_async._shared.batch import Batch
from golea_async._shared.channel import Channel
from golea_async._shared.lasting import lasts
from golea_async._shared.lease import LEASE_SHARE, Write, is_limited, proven_touch, proves_from
from golea_async._shared.pace import UNDER_WAY, Pace
from golea_async._zookeeper.acknowledgements import Acknowledgements

T = 64.0
STEP = T / 1024


class Leader:
    """One that leads: what it sends and when it is answered, each time ``latency(now)`` later, in order."""

    def __init__(self, *, leads: bool = True) -> None:
        self.leads = leads
        self.pace = Pace()
        self.pace.begin(0.0)
        self.acknowledgements = Acknowledgements(T)
        self.acknowledgements.record(0.0, 0.0)
        self.newest_write_at = 0.0
        self._previous: dict[float, float] = {}  # the newest write that was answered, by when the next one was sent
        self.connect_sent_at: float | None = None
        self.deadline = LEASE_SHARE * T
        self.writes: list[float] = []
        self.touches = 0
        self.silent_at: float | None = None
        self._answers: deque[tuple[float, float, bool]] = deque()
        self._written_at = self._took = self._answered_at = 0.0
        self._was_limited = False

    def step(self, now: float, latency: float) -> None:
        while self._answers and self._answers[0][0] <= now:
            self._read(*self._answers.popleft())
        under_way, due = self._under_way, self._write_due(now, leads=self.leads)
        if due <= now and len(under_way) < UNDER_WAY:
            self.write(now, latency)
        if self._touch_due(now) <= now:
            self.pace.touched(now)
            self.touches += 1
            self._send(now, latency, is_write=False)
        if under_way and now >= self.pace.silent_from(T, under_way[0], self._answered_at):
            self.silent_at = self.silent_at or now

    def will_last(self, now: float) -> bool:
        """What :func:`lasts` says of its lease when it is the first."""
        under_way, due = self._under_way, max(now, self._write_due(now, leads=True))
        took = self._would_take(now)
        if len(under_way) >= UNDER_WAY:
            due = max(due, under_way[0] + took)
        channel = SimpleNamespace(
            lease=SimpleNamespace(timeout=T, remaining=self.deadline - now),
            proves_from=partial(proves_from, T, self.acknowledgements),
            deadline_after=self._deadline_after,
            newest_write_at=self.newest_write_at,
        )
        batches = [SimpleNamespace(sent_at=each, previous_at=self._previous[each]) for each in under_way]
        return lasts(cast("Channel", channel), now=now, took=took, under_way=cast("list[Batch]", batches), due=due)

    @property
    def _under_way(self) -> list[float]:
        return [sent_at for _, sent_at, is_write in self._answers if is_write]

    def _write_due(self, now: float, *, leads: bool) -> float:
        last = self.pace.latest(self._written_at)
        return self.pace.write_due(
            T,
            now=now,
            leads=leads,
            last=last,
            proves_from=proves_from(T, self.acknowledgements, last),
            remaining=self.deadline - last if now < self.deadline else -math.inf,
            took=self._would_take(now),
            was_limited=self._was_limited and not self._under_way,
        )

    def _touch_due(self, now: float) -> float:
        return self.pace.touch_due(
            T,
            now=now,
            leads=self.leads,
            last=self.pace.latest(self._written_at),
            took=self._took,
            unanswered_since=min(self._under_way, default=math.inf),
        )

    def _would_take(self, now: float) -> float:
        return max(self._took, now - min(self._under_way, default=math.inf))

    def _deadline_after(self, write: Write) -> float:
        touched_at = proven_touch(write, T, self.connect_sent_at, self.acknowledgements)
        return -math.inf if touched_at is None else touched_at + LEASE_SHARE * T

    def write(self, now: float, latency: float) -> None:
        self.pace.sent(now)
        self.writes.append(now)
        self._send(now, latency, is_write=True)

    def transact(self, now: float, latency: float) -> None:
        """A write that is no keep-alive."""
        self._send(now, latency, is_write=True)

    def _send(self, now: float, latency: float, *, is_write: bool) -> None:
        if is_write:
            self._previous[now] = self.newest_write_at
        answered_at = max(now + latency, self._answers[-1][0] if self._answers else 0.0)
        self._answers.append((answered_at, now, is_write))

    def _read(self, answered_at: float, sent_at: float, is_write: bool) -> None:
        self._answered_at = answered_at
        if is_write:
            self._took = answered_at - sent_at
            self.pace.answered(self._took)
            self._written_at = sent_at
            write = Write(sent_at, self._previous.pop(sent_at))
            self.newest_write_at = sent_at
            self._was_limited = is_limited(write, T, self.acknowledgements)
            touched_at = proven_touch(write, T, self.connect_sent_at, self.acknowledgements)
            if touched_at is not None:
                self.deadline = max(self.deadline, touched_at + LEASE_SHARE * T)
        self.acknowledgements.record(sent_at, answered_at)


def moments(begin: float, end: float) -> list[float]:
    return [begin + number * STEP for number in range(round((end - begin) / STEP))]


def least_remaining(leader: Leader, latency: float, begin: float, end: float) -> float:
    """The least that was left of the lease, by the moment before each step."""
    least = math.inf
    for now in moments(begin, end):
        leader.step(now, latency)
        least = min(least, leader.deadline - now)
    return least

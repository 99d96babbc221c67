"""What is written down of a run: beliefs, statuses, faults, and what ZooKeeper said. All times are of `clock.now`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

Interval = tuple[float, float]

LONGEST_STEP = 0.1
"""Samples of belief that are further apart than this are not joined: in between nobody looked."""


@dataclass(slots=True)
class Belief:
    """A run of samples of one candidate, each taken when the one before was true too, with the same token.

    A sample is two readings of the clock around a reading of `is_leader`: belief was true at some instant between
    them. So the whole run says: true at some instant of `first`, true at some instant of `last`, and at most
    `LONGEST_STEP` without a look in between. What is *certain* is belief from the end of `first` to the begin of
    `last`. Samples of a frozen process are far apart: they end the run, and its first after the thaw begins another.
    """

    candidate: str
    number: int
    token: int | None
    first: Interval
    last: Interval
    ended: float | None = None
    """Begin of the first sample that was false; None while nobody has seen one."""
    leases: list[tuple[float, float]] = field(default_factory=list)
    """(when, seconds that the lease had left)."""

    @property
    def certain(self) -> Interval:
        """From when to when it was believed for certain; reversed for a single sample, which is an instant within."""
        return self.first[1], self.last[0]


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A status as the candidate's own process reported it."""

    candidate: str
    at: float
    role: str
    candidate_id: str | None = None
    following: str | None = None
    token: int | None = None
    error: str | None = None


@dataclass(slots=True)
class Band:
    """Something that lasts: a fault, or that a candidate stands; without an end it lasts to the end of the run.

    :ivar target: a candidate's name, `server 1`, or `ensemble`.
    :ivar hinders: candidates that cannot be asked to lead meanwhile.
    """

    label: str
    target: str
    start: float
    end: float = math.inf
    hinders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """The first candidate as one server showed it. Of two views the one with the higher `pzxid` is the later one."""

    server: int
    at: float
    pzxid: int
    first: str | None
    token: int | None
    holder: str | None


@dataclass(frozen=True, slots=True)
class Znode:
    """A candidate's znode at the end of the run."""

    path: str
    token: int
    owner: int
    name: str


@dataclass
class Record:
    """A whole run.

    :ivar stalls: (candidate, from, to): its process took no sample in between, frozen or starved.
    :ivar errors: what a candidate's command ended with, where that is none of an election's errors.
    :ivar writes: when a quorum write of an observer was answered.
    :ivar standing: a band for each time that a candidate stood, from its command to join.
    :ivar left: the candidates' znodes when everything had been healed and had settled; None: the run was cut short.
    """

    session_timeout: float
    tick: float
    started: float
    ended: float = math.inf
    title: str = ""
    candidates: list[str] = field(default_factory=list)
    beliefs: list[Belief] = field(default_factory=list)
    statuses: list[StatusChange] = field(default_factory=list)
    stalls: list[tuple[str, float, float]] = field(default_factory=list)
    faults: list[Band] = field(default_factory=list)
    standing: list[Band] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    left: list[Znode] | None = None

    @property
    def patience(self) -> float:
        """The time within which somebody has to lead after the last fault."""
        return self.session_timeout + 2 * self.tick

    def latest_status(self, candidate: str) -> StatusChange | None:
        """Return what it was last told before the end: while the servers are taken down behind that, much is lost."""
        told = (each for each in reversed(self.statuses) if each.candidate == candidate and each.at <= self.ended)
        return next(told, None)

    def outages(self) -> list[Interval]:
        """The times of more than a tick without an answer to any quorum write, through any server."""
        moments = [self.started, *sorted(at for at in self.writes if at <= self.ended), self.ended]
        return [(a, b) for a, b in pairwise(moments) if b - a > self.tick]


def joined(intervals: Iterable[Interval], step: float = 0.0) -> list[Interval]:
    """The union, in order; intervals at most `step` apart are one."""
    union: list[Interval] = []
    for start, end in sorted(intervals):
        if union and start <= union[-1][1] + step:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def between(intervals: Iterable[Interval], start: float, end: float) -> list[Interval]:
    """What the union of the intervals leaves of the time from `start` to `end`."""
    left = []
    for covered_from, covered_to in joined(intervals):
        if covered_from > start:
            left.append((start, min(covered_from, end)))
        start = max(start, covered_to)
        if start >= end:
            break
    if start < end:
        left.append((start, end))
    return left

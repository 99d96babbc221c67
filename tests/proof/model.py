"""One lease, one touch, one write and ZooKeeper, as constraints on real numbers. A solution is a bad schedule.

Times are in T, by the clock of ZooKeeper's leader, and begin with the sending of the ConnectRequest. One touch and one
write are enough for schedules of any length: whatever else is sent can only be heard by ZooKeeper's leader as well, and
so move the end of the session to later; and each write makes its own deadline, of which the latest counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import z3

from golea_async._shared import lease

from .rules import Rule

TIMED = ("connect_sent", "touch_sent", "touch_answered", "write_sent", "elected", "session_ends", "deadline")
"""Moments between which somebody measures time by a clock of its own."""

TIMES = (
    "connect_sent",
    "connect_heard",
    "connect_answered",
    "touch_sent",
    "touch_arrived",
    "touch_answered",
    "report_left",
    "report_heard",
    "write_sent",
    "write_arrived",
    "write_heard",
    "committed",
    "write_answered",
    "elected",
    "session_ends",
    "deleted",
    "deadline",
)


def exactly(number: float) -> Any:
    """Return the very number that the library calculates with, as the solver writes it."""
    fraction = Fraction(number)
    return z3.Q(fraction.numerator, fraction.denominator)


TRAVELS = exactly(lease.TOUCH_TRAVELS)


@dataclass(frozen=True)
class Setting:
    """What is asked about.

    :ivar without: the rule that is dropped.
    :ivar hops: over so many servers a touch travels to ZooKeeper's leader; two behind an ObserverMaster.
    :ivar ticks: so many ticks are in T at the least.
    :ivar travel: in so many T at the least everything travels from one machine to another; None for any time.
    """

    without: Rule | None = None
    hops: int = 1
    ticks: int = 2
    travel: Any = None


class Model:
    """The constraints for one setting; what is asked about ``deadline`` and ``ends`` is left to the caller.

    :ivar at: moments by the clock of ZooKeeper's leader.
    :ivar ends: when the next candidate may lead: the session has ended, or the znode was deleted.
    :ivar client: what the client's clock shows then; it counts from the ConnectRequest, too.
    :ivar share: of T, between the touch and the deadline.
    :ivar travels: of T, by the client's clock, between an acknowledgement and a write that proves the touch.
    :ivar pause: for so many T one of ZooKeeper's servers stands still.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.at: dict[str, Any] = {name: z3.Real(name) for name in TIMES}
        self.client: dict[str, Any] = {name: z3.Real(f"{name} by the client") for name in TIMED}
        self.successor: dict[str, Any] = {name: z3.Real(f"{name} by the next leader") for name in TIMED}
        self.ends = z3.Real("ends")
        self.by_touch = z3.Bool("the deadline counts from the touch, not from the ConnectRequest")
        self.is_elected = z3.Bool("another ZooKeeper leader is elected before the session ends")
        self.share, self.travels, self.pause = z3.Real("share"), z3.Real("travels"), z3.Real("pause")
        self._travel = z3.Real("travel")
        self._tick, self._leaders_tick, self._leaders_timeout = z3.Reals("tick leaders_tick leaders_timeout")

    def _holds(self, rule: Rule) -> bool:
        return self.setting.without is not rule

    def constraints(self) -> Iterator[Any]:
        """Everything except the values of ``share``, ``travels`` and ``pause``."""
        at = self.at
        yield from (moment >= 0 for moment in at.values())
        yield self._travel > 0 if self.setting.travel is None else self._travel == self.setting.travel
        yield from self._settings_of_servers()
        yield from self._clocks()
        yield from self._connection()
        yield from self._client()
        yield from self._report_and_write()
        yield from self._end_of_session()
        yield self.ends == z3.If(at["deleted"] < at["session_ends"], at["deleted"], at["session_ends"])

    def values(self) -> dict[str, Any]:
        """Return the values of these three: two numbers of the library, and no pause."""
        share = exactly(lease.LEASE_SHARE) if self._holds(Rule.LEASE_SHARE) else 1
        return {"share": self.share == share, "travels": self.travels == TRAVELS, "pause": self.pause == 0}

    def _settings_of_servers(self) -> Iterator[Any]:
        yield self._tick > 0
        yield self._tick * (self.setting.ticks if self._holds(Rule.TWO_TICKS) else 1) <= 1
        yield self._leaders_tick > 0
        if self._holds(Rule.SAME_TICK):
            yield self._leaders_tick == self._tick
        else:
            yield self._leaders_tick <= 2 * self._tick
        yield self._leaders_timeout >= (1 if self._holds(Rule.SAME_LIMITS) else z3.Q(1, 2))

    def _clocks(self) -> Iterator[Any]:
        """Rates may change all the time; between any two moments they keep to the limit."""
        rate = exactly(lease.CLOCK_RATES) if self._holds(Rule.CLOCK_RATES) else z3.Q(5, 4)
        client_may_stand = not self._holds(Rule.CLOCK_GOES_ON)
        yield self.client["connect_sent"] == 0
        yield self.successor["connect_sent"] == 0
        for pair in combinations(TIMED, 2):
            passed, client, successor = (
                clock[pair[1]] - clock[pair[0]] for clock in (self.at, self.client, self.successor)
            )
            yield within(rate, passed, client, may_stand=client_may_stand)
            yield within(rate, passed, successor)
            yield within(rate, successor, client, may_stand=client_may_stand)

    def _connection(self) -> Iterator[Any]:
        """What happens on one connection; nothing travels in no time."""
        at = self.at
        yield at["connect_sent"] == 0
        yield at["connect_sent"] + self._travel <= at["connect_heard"]
        yield at["connect_heard"] + self._travel <= at["connect_answered"]
        yield at["connect_answered"] <= at["touch_sent"]
        for request in ("touch", "write"):
            yield at[f"{request}_sent"] + self._travel <= at[f"{request}_arrived"]
            yield at[f"{request}_arrived"] + self._travel <= at[f"{request}_answered"]
        yield at["touch_sent"] <= at["write_sent"]
        yield at["touch_arrived"] <= at["write_arrived"]
        yield at["touch_answered"] <= at["write_answered"]

    def _client(self) -> Iterator[Any]:
        """The formula of golea_async/_shared/lease.py."""
        clock = self.client
        counted_from = clock["touch_answered"] if self._holds(Rule.ACKNOWLEDGED) else clock["touch_sent"]
        if self._holds(Rule.OLD_ENOUGH):
            is_proven = clock["write_sent"] - counted_from >= self.travels
        else:
            is_proven = clock["write_sent"] >= counted_from
        yield z3.Implies(self.by_touch, is_proven)
        touched_at = z3.If(self.by_touch, clock["touch_sent"], clock["connect_sent"])
        yield clock["deadline"] == touched_at + self.share

    def _report_and_write(self) -> Iterator[Any]:
        """On their way from the client's server to ZooKeeper's leader. Without QUORUM the write does not get there."""
        at = self.at
        yield at["touch_arrived"] <= at["report_left"]
        if self._holds(Rule.PINGS):
            longest = self._leaders_tick / 2 * self.setting.hops + self.pause
            yield at["report_left"] <= at["touch_arrived"] + longest
        yield at["report_left"] + self._travel <= at["report_heard"]
        yield at["write_arrived"] + self._travel <= at["write_heard"]
        if self._holds(Rule.STREAM):
            yield z3.Implies(at["report_left"] <= at["write_arrived"], at["report_heard"] <= at["write_heard"])
        yield at["connect_heard"] <= at["committed"]
        if self._holds(Rule.QUORUM) and self._holds(Rule.OWN_ANSWER):
            yield at["write_heard"] <= at["committed"]
        if self._holds(Rule.QUORUM):
            yield at["committed"] + self._travel <= at["write_answered"]

    def _end_of_session(self) -> Iterator[Any]:
        """As early as ZooKeeper may, if its leader hears nothing more after the commit."""
        at, end = self.at, self.at["session_ends"]
        lasts = self._leaders_timeout * (1 if self._holds(Rule.HEARD) else z3.Q(3, 4))
        yield end >= at["committed"]
        yield at["deleted"] >= (end if self._holds(Rule.BY_HAND) else at["committed"])
        yield at["elected"] >= at["committed"]
        from_connecting = end >= at["connect_heard"] + lasts if self._holds(Rule.CONNECT) else True
        from_touch = z3.Implies(at["report_heard"] <= at["committed"], end >= at["report_heard"] + lasts)
        of_first = z3.And(from_connecting, from_touch if self._holds(Rule.TOUCH) else True)
        since_election = self.successor["session_ends"] - self.successor["elected"]
        if not self._holds(Rule.HISTORY):
            of_next = end >= at["elected"]
        elif not self._holds(Rule.ANEW):
            of_next = z3.And(end >= at["elected"], from_connecting)
        else:
            of_next = z3.And(end >= at["elected"], since_election >= self._leaders_timeout)
        yield z3.If(self.is_elected, of_next, of_first)


def within(rate: Any, one: Any, other: Any, *, may_stand: bool = False) -> Any:
    """Return that ``other`` is ``one`` to within the ratio of rates, whichever sign they have."""
    slowest = 0 if may_stand else 1 / rate
    forwards = z3.And(one >= 0, other >= one * slowest, other <= one * rate)
    backwards = z3.And(one <= 0, other <= one * slowest, other >= one * rate)
    return z3.Or(forwards, backwards)

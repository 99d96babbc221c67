"""The lease's formula: against a ZooKeeper that does its worst, on clocks that disagree, and in a forked child."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from golea_async._shared.lease import (
    LEASE_SHARE,
    Lease,
    Write,
    is_limited,
    proven_touch,
    proves_from,
)
from golea_async._zookeeper.acknowledgements import Acknowledgements
from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.touch import SASL, is_touch
from golea_async.testing import OpCode

T = 6.0
THROTTLED = -127
FAR_AHEAD = 10_000.0
"""Added to the moments of a simulation: leases do not lapse by the real clock while it runs."""


class Begun:
    """Counts the stretches that a lease says it has begun."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def lease_and_begun(timeout: float = T) -> tuple[Lease, Begun]:
    begun = Begun()
    return Lease(1, timeout, begun), begun


def deadline_of(lease: Lease) -> float:
    """By the real clock, to within what passes between two of its readings."""
    return boottime() + lease.remaining


def test_a_new_lease_is_void() -> None:
    lease, begun = lease_and_begun()
    assert not lease.is_valid
    assert lease.remaining == 0
    assert (lease.stretch, begun.times) == (0, 0)


def test_it_lasts_five_sixths_of_the_timeout_from_the_touch() -> None:
    lease, begun = lease_and_begun()
    touched_at = boottime() - 1
    lease.renew(touched_at)
    before, remaining, after = boottime(), lease.remaining, boottime()
    assert touched_at + 5 - after <= remaining <= touched_at + 5 - before
    assert lease.is_valid
    assert (lease.stretch, begun.times) == (1, 1)


def test_a_touch_that_is_too_old_begins_nothing_that_lasts() -> None:
    lease, _ = lease_and_begun()
    lease.renew(boottime() - T)
    assert not lease.is_valid
    assert lease.remaining == 0


def test_the_same_touch_again_begins_nothing() -> None:
    lease, begun = lease_and_begun()
    touched_at = boottime() - T
    lease.renew(touched_at)
    lease.renew(touched_at)
    assert (lease.stretch, begun.times) == (1, 1)


def test_it_says_whose_it_is_and_whether_another_timeout_has_moved_it() -> None:
    lease, _ = lease_and_begun()
    assert lease.session_id == 1
    assert not lease.limit(T)
    assert not lease.limit(T + 1)
    assert lease.limit(T / 2)
    assert not lease.limit(T / 2)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_it_only_moves_forward(touches: list[float]) -> None:
    """Whatever the order in which answers are worked off."""
    lease, begun = lease_and_begun()
    start = boottime()
    newest = -math.inf
    for touched_at in touches:
        lease.renew(start + touched_at)
        newest = max(newest, touched_at)
        assert deadline_of(lease) == pytest.approx(start + newest + LEASE_SHARE * T, abs=0.5)
        assert (lease.stretch, begun.times) == (1, 1)


def test_a_renewal_in_time_goes_on_with_the_stretch_and_one_too_late_begins_another() -> None:
    lease, begun = lease_and_begun()
    lease.renew(boottime() - 4)
    lease.renew(boottime() - 3)
    assert (lease.stretch, begun.times) == (1, 1)
    lease.limit(3.0)  # of which more than 5/6 have passed
    assert not lease.is_valid
    lease.renew(boottime())
    assert lease.is_valid
    assert (lease.stretch, begun.times) == (2, 2)


def test_who_is_told_that_a_stretch_begins_finds_it_begun() -> None:
    seen: list[tuple[bool, int]] = []
    lease = Lease(1, T, lambda: seen.append((lease.is_valid, lease.stretch)))
    lease.renew(boottime())
    assert seen == [(True, 1)]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("golea_async._shared.lease.boottime", clock)
    return clock


def test_at_its_deadline_it_has_lapsed(clock: Clock) -> None:
    lease, begun = lease_and_begun()
    lease.renew(clock.now)
    clock.now += 5
    assert not lease.is_valid
    assert lease.remaining == 0
    lease.renew(clock.now)
    assert (lease.stretch, begun.times) == (2, 2)


def test_it_says_for_how_long_nothing_was_heard(clock: Clock) -> None:
    """Of one that has lapsed: until now. Of one that has begun anew: before it did."""
    lease, _ = lease_and_begun()
    clock.now = 103.0
    assert lease.silent_for == 3
    lease.renew(103.0)
    assert lease.silent_for == 3
    clock.now = 107.0
    lease.renew(107.0)
    clock.now = 107.5
    assert lease.silent_for == 3, "a renewal in time changes nothing"
    clock.now = 119.0
    assert lease.silent_for == 12
    lease.renew(119.0)
    assert lease.silent_for == 12


def test_it_knows_when_it_was_renewed_last(clock: Clock) -> None:
    lease, _ = lease_and_begun()
    clock.now = 103.0
    lease.renew(102.0)
    assert lease.was_renewed_since(103.0), "at that moment, too"
    assert not lease.was_renewed_since(103.1)


@given(st.lists(st.floats(1, 60), min_size=1))
def test_the_smallest_timeout_of_the_session_counts(timeouts: list[float]) -> None:
    lease, _ = lease_and_begun()
    touched_at = boottime() + 100
    lease.renew(touched_at)
    for timeout in timeouts:
        lease.limit(timeout)
    smallest = min([T, *timeouts])
    assert lease.timeout == smallest
    assert deadline_of(lease) == pytest.approx(touched_at + LEASE_SHARE * smallest, abs=0.5)
    lease.renew(touched_at + 10)
    assert deadline_of(lease) == pytest.approx(touched_at + 10 + LEASE_SHARE * smallest, abs=0.5)


FORKS = """
import ctypes, os, sys
from golea_async._zookeeper.acknowledgements import Acknowledgements
from golea_async._zookeeper.clock import boottime
from golea_async._shared.lease import Lease

def report(who, lease):
    print(who, lease.is_valid, lease.remaining > 0, lease.stretch, flush=True)

fork = os.fork if sys.argv[1] == "Python" else ctypes.CDLL(None).fork
lease = Lease(1, 60, lambda: None)
lease.renew(boottime())
process = fork()
if process == 0:
    report("child", lease)
    lease.renew(boottime() + 1)  # as an answer does that was on its way
    report("renewed", lease)
    fresh = Lease(2, 60, lambda: None)  # of a session of its own
    fresh.renew(boottime())
    report("fresh", fresh)
    if fork() == 0:
        report("grandchild", fresh)
        os._exit(0)
    os.wait()
    os._exit(0)
os.wait()
report("parent", lease)
"""


@pytest.mark.parametrize("forked_by", ["Python", "C code"])
def test_a_forked_child_holds_no_lease(forked_by: str) -> None:
    """Also none that is renewed there; its own session's is good, and the parent keeps the parent's."""
    done = subprocess.run([sys.executable, "-c", FORKS, forked_by], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "child False False 1",
        "renewed False False 1",
        "fresh True True 1",
        "grandchild False False 1",
        "parent True True 1",
    ]


# ---------------------------------------------------------------------- which touch a write proves


def test_without_a_request_that_could_be_timed_a_write_proves_nothing() -> None:
    assert proven_touch(Write(100.0), T, None, Acknowledgements(T)) is None


def test_the_connect_request_is_a_touch_at_once() -> None:
    assert proven_touch(Write(100.0), T, 99.9, Acknowledgements(T)) == 99.9


def test_an_acknowledged_request_counts_when_it_is_old_enough() -> None:
    acknowledgements = Acknowledgements(T)
    acknowledgements.record(10.0, 11.0)
    early, late = Write(11.0 + T / 4 - 0.01), Write(11.0 + T / 3)
    assert proven_touch(early, T, None, acknowledgements) is None
    assert proven_touch(early, T, 5.0, acknowledgements) == 5.0
    assert proven_touch(late, T, None, acknowledgements) == 10.0
    assert proven_touch(late, T, 5.0, acknowledgements) == 10.0
    assert proven_touch(late, T, 12.0, acknowledgements) == 12.0  # this connection's own is newer


def test_a_write_proves_no_more_than_a_leader_lets_it_that_has_stood_still_since_the_one_before() -> None:
    acknowledgements = Acknowledgements(T)
    acknowledgements.record(10.0, 11.0)
    cautious = proven_touch(Write(14.0, previous_sent_at=10.5), T, None, acknowledgements)
    assert cautious is not None
    assert cautious + LEASE_SHARE * T == pytest.approx(10.5 + T * 3 / 4 / 1.1)
    assert proven_touch(Write(14.0, previous_sent_at=13.0), T, None, acknowledgements) == 10.0
    assert proven_touch(Write(14.0, previous_sent_at=5.0), T, 13.5, acknowledgements) == 13.5


@pytest.mark.parametrize(("previous_sent_at", "is_so"), [(10.1, True), (10.2, False), (None, False)])
def test_another_write_is_worth_its_while_where_the_one_before_was_long_ago(
    previous_sent_at: float | None, is_so: bool
) -> None:
    """By more than the eighth of the timeout after which a lease is kept alive anyway; too new a touch counts not."""
    acknowledgements = Acknowledgements(T)
    write = Write(14.0, previous_sent_at)
    acknowledgements.record(13.0, 13.5)
    assert not is_limited(write, T, acknowledgements)
    acknowledgements = Acknowledgements(T)
    acknowledgements.record(10.0, 11.0)
    acknowledgements.record(13.0, 13.5)
    assert is_limited(write, T, acknowledgements) is is_so


def test_it_is_known_from_when_on_a_write_proves_more() -> None:
    acknowledgements = Acknowledgements(T)
    assert proves_from(T, acknowledgements, 0.0) == math.inf
    acknowledgements.record(10.0, 11.0)
    acknowledgements.record(12.0, 12.5)
    begin = proves_from(T, acknowledgements, 0.0)
    assert proven_touch(Write(begin - 0.001), T, None, acknowledgements) is None
    assert proven_touch(Write(begin + 0.001), T, None, acknowledgements) == 10.0
    more = proves_from(T, acknowledgements, begin + 0.001)
    assert proven_touch(Write(more - 0.001), T, None, acknowledgements) == 10.0
    assert proven_touch(Write(more + 0.001), T, None, acknowledgements) == 12.0
    assert proves_from(T, acknowledgements, more + 0.001) == math.inf


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=300), st.floats(0, 300))
def test_of_the_acknowledgements_a_sample_is_kept(answers: list[tuple[float, float]], before: float) -> None:
    """What is found was answered by then, and of what was answered within the last timeout little newer is missed."""
    acknowledgements = Acknowledgements(T)
    answered_at, everything = 0.0, []
    for gap, took in answers:
        answered_at += gap
        everything.append((answered_at - took, answered_at))
        acknowledgements.record(answered_at - took, answered_at)
    found = acknowledgements.newest_acknowledged(before)
    in_time = [(sent, answered) for sent, answered in everything if answered <= before]
    if found is not None:
        answered = max(answered for sent, answered in in_time if sent == found)
        assert max(answered for _, answered in in_time) - answered <= T / 256 + max(gap for gap, _ in answers)
    elif in_time:
        is_with_the_first = in_time[-1][1] - everything[0][1] <= T / 256
        assert is_with_the_first or answered_at - in_time[-1][1] > T, "of the last timeout something is always known"


@given(st.floats(0.0001, 1))
def test_their_number_is_bounded(gap: float) -> None:
    acknowledgements = Acknowledgements(T)
    for number in range(2000):
        acknowledgements.record(number * gap, number * gap)
    assert len(acknowledgements) <= 512


@pytest.mark.parametrize(
    "opcode", [OpCode.CREATE2, OpCode.MULTI, OpCode.PING, OpCode.SET_WATCHES, OpCode.CLOSE_SESSION]
)
@pytest.mark.parametrize("code", [0, -101, -102, THROTTLED])
def test_what_was_carried_out_refused_or_throttled_was_a_touch(opcode: OpCode, code: int) -> None:
    assert is_touch(opcode, code)


@pytest.mark.parametrize(
    ("opcode", "code"), [(OpCode.AUTH, 0), (OpCode.AUTH, -115), (SASL, 0), (OpCode.MULTI, -115), (OpCode.PING, -124)]
)
def test_what_is_answered_before_a_request_is_submitted_was_none(opcode: int, code: int) -> None:
    assert not is_touch(opcode, code)


# ---------------------------------------------------------------------- a ZooKeeper that does its worst


@dataclass(frozen=True)
class Sent:
    """One request and its way, in ticks by ZooKeeper's clock."""

    pause: float
    """After the request before it was sent."""
    opcode: int
    to_server: float = 0.0
    to_leader: float = 0.0
    back: float = 0.0
    halt: float = 0.0
    """For so long ZooKeeper's leader stands still before it commits a write."""

    @property
    def is_write(self) -> bool:
        return self.opcode is OpCode.MULTI

    @property
    def touches(self) -> bool:
        """ZooKeeper answers `auth` and `sasl` before a request gets to where sessions are touched."""
        return self.opcode not in (OpCode.AUTH, SASL)


@dataclass(frozen=True)
class World:
    """ZooKeeper's leader, the client's server, which is a follower, and a client whose clock runs at its own rate.

    The client sends its ConnectRequest at 0. Times are in ticks, by ZooKeeper's clock.
    """

    timeout: float
    rate: float
    """Of the client's clock, by ZooKeeper's."""
    phase: float
    """How much of a tick has passed at 0."""
    connect_took: float
    reports: list[float]
    """Pauses between two replies of the follower to pings: at most half a tick."""
    requests: list[Sent]


def hundredths(most: float) -> st.SearchStrategy[float]:
    return st.integers(0, round(most * 100)).map(lambda number: number / 100)


delays = st.one_of(st.just(0.0), hundredths(0.5), hundredths(5))
packets = st.sampled_from([OpCode.MULTI, OpCode.MULTI, OpCode.GET_DATA, OpCode.PING, OpCode.AUTH, SASL])
worlds = st.builds(
    World,
    timeout=st.one_of(st.just(2.0), st.just(4.0), st.floats(2, 20)),
    rate=st.one_of(st.sampled_from([1 / 1.1, 1.0, 1.1]), st.floats(1 / 1.1, 1.1)),
    phase=hundredths(0.99),
    connect_took=delays,
    reports=st.lists(st.one_of(st.just(0.5), st.floats(0.05, 0.5)), min_size=1, max_size=8),
    requests=st.lists(
        st.builds(Sent, hundredths(2.5), packets, delays, delays, delays, delays), min_size=1, max_size=12
    ),
)
# The least that a session may have, a client's clock that is fast, and a touch that just misses a report: counted by
# the client's clock, a quarter of the timeout has passed before the next report leaves.
FAST_CLOCK = World(
    timeout=2.0,
    rate=1.1,
    phase=0.99,
    connect_took=0.0,
    reports=[0.5],
    requests=[Sent(0.51, OpCode.PING), Sent(0.46, OpCode.MULTI)],
)
# Nothing touches the session between the ConnectRequest and the write but a packet for which ZooKeeper does not.
LATE_AUTHENTICATION = World(
    timeout=4.0,
    rate=1.0,
    phase=0.99,
    connect_took=0.0,
    reports=[0.5],
    requests=[Sent(2.5, OpCode.AUTH), Sent(1.2, OpCode.MULTI)],
)


# A leader that stands still just after a report, and commits just before the session's time is over.
HALTED = World(
    timeout=2.0,
    rate=1.0,
    phase=0.99,
    connect_took=0.0,
    reports=[0.5],
    requests=[Sent(0.505, OpCode.PING), Sent(0.005, OpCode.MULTI, halt=1.4), Sent(0.55, OpCode.MULTI)],
)


def next_interval(moment: float) -> float:
    """When ZooKeeper's leader expires what is due at this moment (ExpiryQueue.java:53)."""
    return moment // 1 + 1


def committed_writes(world: World) -> dict[int, tuple[float, float]]:
    """For each write that succeeds: when it is committed, and when the leader, hearing nothing more, ends the session.

    A touch reaches the leader in the follower's next reply to a ping, on one stream with the writes. The leader sets
    the session's time by its own clock when that reply arrives.
    """
    sent, arrived, arrivals = 0.0, world.connect_took, []
    for request in world.requests:
        sent += request.pause
        arrived = max(arrived, sent + request.to_server)  # one connection: in order
        arrivals.append(arrived)
    writes = [(at, number) for number, at in enumerate(arrivals) if world.requests[number].is_write]
    report_at, pauses = world.connect_took, itertools.cycle(world.reports)
    expiry, at_leader, reported = next_interval(world.phase + world.connect_took + world.timeout), 0.0, 0
    committed: dict[int, tuple[float, float]] = {}
    report_at += next(pauses)
    for left_at, number in writes:
        # What leaves the follower for the leader. At the same moment the write goes first, which is worse.
        while report_at < left_at:
            at_leader = max(at_leader, report_at)
            if world.phase + at_leader >= expiry:
                return committed
            touches = sum(
                at <= report_at for at, request in zip(arrivals, world.requests, strict=True) if request.touches
            )
            if touches > reported:
                reported, expiry = touches, next_interval(world.phase + at_leader + world.timeout)
            report_at += next(pauses)
        at_leader = max(at_leader, left_at + world.requests[number].to_leader)
        if world.phase + at_leader >= expiry:
            return committed
        if halt := world.requests[number].halt:
            at_leader += halt
            report_at = max(report_at, at_leader)  # who stands still asks for no report
        # The session may end right after the commit: what has waited for the leader goes first, which is worse.
        committed[number] = at_leader, max(expiry - world.phase, at_leader)
    return committed


def deadlines(world: World, committed: dict[int, tuple[float, float]]) -> dict[int, float]:
    """What the client concludes from each write's answer: the deadline, by ZooKeeper's clock."""
    start = boottime() + FAR_AHEAD
    lease = Lease(1, world.timeout, lambda: None)
    acknowledgements = Acknowledgements(world.timeout)
    sent, arrived, answered = 0.0, world.connect_took, world.connect_took
    writes, concluded = Acknowledgements(world.timeout), {}
    writes.record(start, start + world.connect_took * world.rate)
    for number, request in enumerate(world.requests):
        sent += request.pause
        arrived = max(arrived, sent + request.to_server)
        if request.is_write and number not in committed:
            break  # refused, or never answered, and so is what comes behind it
        answered = max(answered, (committed[number][0] if request.is_write else arrived) + request.back)
        sent_at = start + sent * world.rate
        if request.is_write:
            touch = proven_touch(
                Write(sent_at, writes.newest_acknowledged(sent_at)), world.timeout, start, acknowledgements
            )
            assert touch is not None
            lease.renew(touch)
            writes.record(sent_at, start + answered * world.rate)
            concluded[number] = (deadline_of(lease) - start) / world.rate
        if is_touch(request.opcode, 0):
            acknowledgements.record(sent_at, start + answered * world.rate)
    return concluded


@given(worlds)
@example(FAST_CLOCK)
@example(HALTED)
@example(LATE_AUTHENTICATION)
@settings(max_examples=1000)
def test_the_deadline_is_before_the_earliest_expiry(world: World) -> None:
    """Also when ZooKeeper's leader hears nothing of the client from the moment on at which it committed the write."""
    committed = committed_writes(world)
    for number, deadline in deadlines(world, committed).items():
        assert deadline < committed[number][1]


def test_how_long_answers_take_lately_is_not_told_by_one_that_came_late() -> None:
    acknowledgements = Acknowledgements(T)
    assert acknowledgements.usual == 0.0
    for number, took in enumerate((0.3, 0.3, 0.3, 0.3, 0.01, 0.01, 0.4, 0.02, 0.01)):
        acknowledgements.record(number * T, (number + took) * T)
    assert acknowledgements.usual == pytest.approx(0.01 * T)

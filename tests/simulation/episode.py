"""One episode: members, servers and a network, played through a plan under the eyes of the invariants."""

from __future__ import annotations

import gc
import logging
import random
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from golea_async import Leadership
from golea_async.testing._engine import Limits

from .administrator import Administrator
from .deeds import Deeds
from .guardian import GuardianProcess
from .history import Proposal, Transaction
from .invariants import Invariants, ViolationError
from .member import Habits, Member
from .network import Wire
from .plan import FAST, REST, STALL, Deed, Plan
from .process import Process
from .quorum import Ensemble
from .world import Clock, World

PREPARATION = 5.0
GRACE = 4.0
"""Seconds on top of T and two ticks: until clients are back, the ensemble has a leader, and who paused stands again."""
NOTES_KEPT = 400
TAKING_OVER = 1.5
"""T until somebody leads again: a move, a list, and up to T for a lease that lasts."""
SLOW_ROUND = 3
"""Writes are slow after each third round: it takes as much of this processor's time as the round itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an episode. `violation` is None when everything held; `simulated` is in seconds."""

    plan: Plan
    simulated: float
    elections: int
    faults: int
    violation: str | None
    notes: tuple[str, ...]
    digest: int


class Episode:
    """Built from a plan; :func:`play` runs it."""

    def __init__(self, plan: Plan) -> None:
        generator = random.Random(plan.seed)
        self.plan = plan
        self.world = World()
        limits = Limits(*(round(1000 * seconds) for seconds in (plan.tick, 2 * plan.tick, 20 * plan.tick)))
        clocks = [Clock(self.world, rate, generator.uniform(0, 1000)) for rate in plan.server_rates]
        self.ensemble = Ensemble(self.world, random.Random(generator.random()), clocks, limits, plan.sync_limit)
        self.ensemble.on_commit = self._committed
        self.ensemble.on_mistaken = self._mistaken
        self.ensemble.on_taken = self._taken
        self.members = [self._make_member(number, generator) for number in range(plan.members)]
        self.administrator = Administrator(
            self.world, Clock(self.world, 1.0, 0.0), self._make_wires(generator), generator.randrange(2**32)
        )
        self.invariants = Invariants(self)
        self.deeds = Deeds(self)
        self.notes: list[str] = []
        self.faults = 0
        self.digest = 0

    def note(self, text: str) -> None:
        """For whoever reads about a violation."""
        self.notes.append(f"{self.world.now:12.4f}  {text}")
        self.digest = hash((self.digest, self.world.now, zlib.crc32(text.encode())))

    def run(self) -> None:
        """:raises ViolationError: an invariant does not hold"""
        self.administrator.start()
        self.world.run_until(PREPARATION)
        assert self.administrator.is_prepared
        for member in self.members:
            member.start()
        for number, length in enumerate(self.plan.troubles):
            self._make_trouble(number, length)
            self._keep_peace()
            if (number + 1) % SLOW_ROUND == 0:
                self._slow_down(self.plan.slow_disks[number])

    def _make_trouble(self, number: int, length: float) -> None:
        began = self.world.now
        for member in self.members:
            member.is_calm = False
            member.return_to_service()
        for deed in self.plan.deeds:
            if deed.round == number:
                self.world.at(began + deed.start, self._do, deed)
        self.world.run_until(began + length)

    def _do(self, deed: Deed) -> None:
        self.faults += 1
        self.deeds.do(deed)

    def _keep_peace(self) -> None:
        self.note("peace")
        began = self.world.now
        for member in self.members:
            member.calm_down()
        self.deeds.make_peace()
        self.administrator.repair()
        patience = self.plan.session_timeout + 2 * self.plan.tick
        self.world.run_until(began + patience * FAST + GRACE)
        self.invariants.look_at_peace(began)

    def _slow_down(self, log_delay: float) -> None:
        """Writes are slow, somebody else takes over, then they stall twice: whoever leads leads on, where it is."""
        timeout = self.plan.session_timeout
        self.world.run_until(self.world.now + timeout)
        self.note(f"writes take {log_delay:.3f} s")
        leading = self.invariants.leading()
        for server in self.ensemble.servers:
            server.log_delay = log_delay
        self.world.run_until(self.world.now + 2 * timeout)
        self.invariants.look_at_slowness(*leading)
        self.note("somebody else takes over")
        leading[0].step_down()
        leading = self._next_leading(leading[1])
        self.world.run_until(self.world.now + 2 * timeout)
        self.invariants.look_at_slowness(*leading)
        for server in self.ensemble.servers:
            server.log_delay = 0.0
        self.world.run_until(self.world.now + timeout)
        for _ in range(2):
            self.note("writes stall")
            for server in self.ensemble.servers:
                server.log_stalls_until = self.world.now + STALL * timeout
            self.world.run_until(self.world.now + (STALL + REST) * timeout)
            self.invariants.look_at_slowness(*leading)
        self.world.run_until(self.world.now + timeout)
        self.invariants.look_at_slowness(*leading)

    def _next_leading(self, former: Leadership) -> tuple[Member, Leadership, object]:
        """Whoever leads next, in the moment in which it begins."""
        timeout, began = self.plan.session_timeout, self.world.now
        while self.world.now < began + TAKING_OVER * timeout:
            self.world.run_until(self.world.now + timeout / 64)
            if any(its is not former for member in self.members for _, its in member.believing()):
                break
        return self.invariants.leading()

    def dispose(self) -> None:
        """End all tasks, so that nothing of the episode is left."""
        for member in self.members:
            for process in (*member.past, *member.guardian.processes, member.process):
                if process is not None:
                    process.dispose()
        self.administrator.process.dispose()

    def _committed(self, transaction: Transaction) -> None:
        self.digest = hash((self.digest, transaction.moment, transaction.code))
        self.invariants.look_at_history(transaction)

    def _mistaken(self, committed: Proposal, answered: Proposal) -> None:
        raise ViolationError(
            f"request {answered.cxid} of session {answered.session_id:#x}, {answered.request}, is answered with the "
            f"outcome of an earlier one of that number, {committed.request}"
        )

    def _taken(self, process: Process, before: int, now: int, after: int) -> None:
        """A session was taken up on another connection; times in milliseconds of the ensemble's leader."""
        least = round(2000 * self.plan.tick)
        if isinstance(process, GuardianProcess) and after > max(before, now) + least + least / 2:
            raise ViolationError(f"{process.name} makes a session of the dead last from {before} to {after} ms")

    def _make_member(self, number: int, generator: random.Random) -> Member:
        plan = self.plan
        habits = Habits(
            session_timeout=plan.session_timeout,
            candidate_name="worker" if plan.have_one_name else f"worker-{number}",
            authenticates=generator.random() < 0.5,
            stands_twice=generator.random() < 0.15,
            rejoins=generator.random() < 0.7,
            has_guardian=generator.random() < 0.5,
        )
        clock = Clock(self.world, plan.member_rates[number], generator.uniform(0, 1000))
        member = Member(self.world, clock, self._make_wires(generator), habits, generator.randrange(2**32), number)
        member.on_step = self._stepped
        return member

    def _stepped(self, process: Process) -> None:
        self.invariants.look_at(process)
        self.deeds.look_on()

    def _make_wires(self, generator: random.Random) -> list[Wire]:
        return [Wire(self.world, random.Random(generator.random()), server) for server in self.ensemble.servers]


class _Time:
    """Stands in for the module `time`, of which the library reads one clock: that of the process whose code runs."""

    CLOCK_BOOTTIME = 0

    def clock_gettime(self, _: int) -> float:
        return self.monotonic()

    def monotonic(self) -> float:
        assert Process.running is not None, "only code of a simulated process reads the clock"
        return Process.running.clock.time()


class _Errors(logging.Handler):
    """What the library logs as an error is a violation."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


@contextmanager
def _simulated(seed: int) -> Iterator[_Errors]:
    """Everything that the library takes from its surroundings comes from the simulation."""
    state = random.getstate()
    random.seed(seed)
    with (
        mock.patch("golea_async._zookeeper.clock.time", _Time()),
        warnings.catch_warnings(),
        _errors_alone() as errors,
    ):
        warnings.simplefilter("ignore", ResourceWarning)  # of candidates that died with their process
        gc.freeze()  # what was there before is not looked at with each collection
        try:
            yield errors
            gc.collect()  # here: what is left of an episode knows no other clock
        finally:
            gc.unfreeze()
            random.setstate(state)


@contextmanager
def _errors_alone() -> Iterator[_Errors]:
    """What the library logs is not shown to anybody, and what it logs as an error is kept."""
    logger, errors = logging.getLogger("golea_async"), _Errors()
    level, propagates = logger.level, logger.propagate
    logger.addHandler(errors)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield errors
    finally:
        logger.propagate = propagates
        logger.setLevel(level)
        logger.removeHandler(errors)


def play(plan: Plan) -> Outcome:
    """Play an episode to its end, or to the first violation."""
    with _simulated(plan.seed) as errors:
        return _play(plan, errors)  # its frame is gone when what is left of the episode is collected


def _play(plan: Plan, errors: _Errors) -> Outcome:
    episode = Episode(plan)
    violation = None
    try:
        episode.run()
        if errors.messages:
            raise ViolationError(f"logged as an error: {errors.messages[0]}")
    except ViolationError as found:
        violation = str(found)
    finally:
        episode.dispose()
    return Outcome(
        plan,
        episode.world.now,
        episode.invariants.changes_of_leader,
        episode.faults,
        violation,
        tuple(episode.notes[-NOTES_KEPT:]),
        episode.digest,
    )

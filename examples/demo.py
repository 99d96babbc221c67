"""Five processes elect leaders and lose them: `python3 noxfile.py demo`.

Their ZooKeeper is the one in memory of `golea_async.testing`, three servers in this process; `--ensemble` starts a real
one, three processes. Leaders are killed with SIGKILL, or told to resign, in turn. Each has a guardian beside it, which
closes the session of a killed one at once; with `--no-guardian` that takes the session timeout. Half-way the ZooKeeper
server to which the leader is connected is lost and started again, and the leader goes on leading. Each time a leader is
lost somebody else takes over, and a new process takes its place. The candidates (`demo_candidate.py`) report whether
they believe to lead every 5 ms, and while one leads. At the end a table shows every stretch of leading. The exit code
is 1 if two led at once, or if a fencing token was smaller than an earlier leader's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path

from golea_async import ZKClient, create_election
from golea_async.testing import Ensemble, MemoryZooKeeper

CANDIDATE_PROGRAM = Path(__file__).with_name("demo_candidate.py")
RESOURCE = "/demo"
PACE = 1.0  # how long a leader leads before something happens to it
ALL_IS_WELL = "At no moment did two lead, and no fencing token was smaller than an earlier leader's."
PATIENCE = 60.0  # how long nobody may lead before the demo gives up


# ---------------------------------------------------------------------- the ZooKeeper


@dataclass(frozen=True)
class StageServer:
    """One ZooKeeper server that can be lost and come back."""

    port: int
    lose: Callable[[], None]
    start: Callable[[], None]


@dataclass(frozen=True)
class Stage:
    """The ZooKeeper on which the candidates stand."""

    hosts: str
    session_timeout: float
    servers: Sequence[StageServer]
    loss: str  # what happens to a server that is lost
    guardian: bool  # whether candidates have one


@contextmanager
def memory_stage(guardian: bool) -> Iterator[Stage]:
    """Three ports of a ZooKeeper in this process, without Java."""
    with MemoryZooKeeper(3) as zookeeper:
        servers = [StageServer(server.port, server.stop, server.start) for server in zookeeper.servers]
        yield Stage(zookeeper.hosts, session_timeout=1.5, servers=servers, loss="stop", guardian=guardian)


@contextmanager
def ensemble_stage(guardian: bool) -> Iterator[Stage]:
    """Three real ZooKeeper servers."""
    # The death of ZooKeeper's own leader costs the ensemble about 0.5 s here, and a lease must outlast it.
    with Ensemble(3, tick=0.5) as ensemble:
        servers = [StageServer(server.port, server.kill, server.start) for server in ensemble.servers]
        yield Stage(ensemble.hosts, session_timeout=3.0, servers=servers, loss="kill -9", guardian=guardian)


# ---------------------------------------------------------------------- what was seen


@dataclass
class Term:
    """One uninterrupted stretch of leading, as the candidate itself believed; times are CLOCK_MONOTONIC's."""

    leader: str
    token: int
    begin: float
    end: float
    how_it_ended: str | None = None
    server: int | None = None  # port of the ZooKeeper server to which the leader was connected last


def overlaps(terms: Iterable[Term]) -> list[tuple[Term, Term]]:
    """Every two terms that share a moment: there must be none."""
    found = []
    latest: Term | None = None
    for term in sorted(terms, key=lambda term: term.begin):
        if latest is not None and term.begin <= latest.end:
            found.append((latest, term))
        if latest is None or term.end > latest.end:
            latest = term
    return found


def token_drops(terms: Iterable[Term]) -> list[tuple[Term, Term]]:
    """Every two terms in succession of which the later has the smaller fencing token: there must be none."""
    in_order = sorted(terms, key=lambda term: term.begin)
    return [(earlier, later) for earlier, later in pairwise(in_order) if later.token < earlier.token]


def table(terms: Iterable[Term]) -> list[str]:
    """The terms in order, one line each."""
    row = "{:>4}  {:<14}{:<16}{:>9}  {:>17}  {}".format
    lines = [row("term", "leader", "fencing token", "led for", "nobody led before", "how it ended")]
    before: Term | None = None
    for number, term in enumerate(sorted(terms, key=lambda term: term.begin), start=1):
        led_for = f"{term.end - term.begin:.3f} s"
        gap = f"{term.begin - before.end:.3f} s" if before else "-"
        lines.append(row(number, term.leader, term.token, led_for, gap, term.how_it_ended or "still leads"))
        before = term
    return lines


def verdict(terms: Sequence[Term]) -> list[str]:
    """What went wrong, one line each; nothing when all is well."""
    return [
        f"TWO LED AT ONCE: {one.leader} (token {one.token}) and {other.leader} (token {other.token}) "
        f"for {min(one.end, other.end) - other.begin:.3f} s"
        for one, other in overlaps(terms)
    ] + [
        f"A FENCING TOKEN WENT DOWN: {earlier.leader} had {earlier.token}, then {later.leader} had {later.token}"
        for earlier, later in token_drops(terms)
    ]


@dataclass
class Chronicle:
    """Collects the reports of all candidates, and prints them as they come."""

    began: float = field(default_factory=time.monotonic)
    terms: list[Term] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, text: str, at: float | None = None) -> None:
        print(f"{(at or time.monotonic()) - self.began:7.3f} s  {text}", flush=True)

    def leads_now(self, name: str) -> Term | None:
        """The candidate's open term."""
        return next((term for term in self.terms if term.leader == name and term.how_it_ended is None), None)

    def sample(
        self, name: str, *, leads: bool, before: float, after: float, token: int | None, server: int | None = None
    ) -> None:
        """A sample of `is_leader`. Only what is certain counts: it was true at some moment from before to after."""
        term = self.leads_now(name)
        if not leads:
            self.end_term(name, "out of touch with ZooKeeper")
        elif term is None:
            assert token is not None, "a leader has a fencing token"
            self.begin_term(Term(name, token, begin=after, end=after, server=server))
        else:
            term.end, term.server = max(term.end, before), server

    def begin_term(self, term: Term) -> None:
        previous = max((earlier.end for earlier in self.terms), default=None)
        gap = "" if previous is None else f"; nobody led for {term.begin - previous:.3f} s"
        self.terms.append(term)
        self.say(f"{term.leader} LEADS, fencing token {term.token}{gap}", term.begin)
        self.changed.set()

    def end_term(self, name: str, how: str) -> None:
        term = self.leads_now(name)
        if term is not None:
            term.how_it_ended = how
            self.changed.set()

    async def leader(self) -> str:
        """Wait until somebody leads; return who."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for term in self.terms:
                    if term.how_it_ended is None:
                        return term.leader
                self.changed.clear()
                await self.changed.wait()


# ---------------------------------------------------------------------- the candidates


class CandidateProcess:
    """A candidate in a process of its own, with a ZooKeeper client of its own."""

    def __init__(self, name: str, chronicle: Chronicle) -> None:
        self.name = name
        self.stands = asyncio.Event()
        self._chronicle = chronicle
        self._leaving: str | None = None

    async def start(self, stage: Stage) -> None:
        """Start the process, and wait until it stands."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(CANDIDATE_PROGRAM),
            stage.hosts,
            RESOURCE,
            self.name,
            str(stage.session_timeout),
            "guardian" if stage.guardian else "no-guardian",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo, which then tells the candidates
        )
        self._reports = asyncio.create_task(self._read_reports())
        async with asyncio.timeout(PATIENCE):
            await self.stands.wait()

    async def kill(self) -> None:
        """SIGKILL."""
        self._leaving = "kill -9"
        self._process.kill()
        await self._ended()

    async def resign(self) -> None:
        """Have it resign and end; wait until it has."""
        self._leaving = "resigned"
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._ended()

    async def stop(self) -> None:
        """Leave nothing running."""
        if self._process.returncode is None:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        await self._process.wait()
        await asyncio.shield(self._reports)  # all that it wrote is read
        self._chronicle.end_term(self.name, self._leaving or "its process ended")

    async def _read_reports(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                report = json.loads(line)
            except ValueError:
                return  # cut short by SIGKILL
            if "leads" in report:
                if not report["leads"] and self._leaving:
                    self._chronicle.end_term(self.name, self._leaving)
                self._chronicle.sample(self.name, **report)
            else:
                self._read_status(report)

    def _read_status(self, report: dict[str, str | None]) -> None:
        if report["error"]:
            self._chronicle.say(f"{self.name} is {report['role']}: {report['error']}")
        elif report["following"]:
            self._chronicle.say(f"{self.name} ({report['candidate_id']}) follows {report['following']}")
        if report["role"] in ("leader", "follower"):
            self.stands.set()


# ---------------------------------------------------------------------- the play


class Demo:
    """Starts candidates and makes them lose the leadership."""

    def __init__(self, stage: Stage, chronicle: Chronicle) -> None:
        self._stage = stage
        self._chronicle = chronicle
        self._candidates: dict[str, CandidateProcess] = {}
        self._numbers = count(1)

    async def play(self, candidates: int, rounds: int) -> None:
        await self._make_election()
        try:
            for _ in range(candidates):
                await self._add_candidate()
            for number in range(rounds):
                if number == rounds // 2:
                    await self._restart_server()
                await self._change_leader(by_killing=number % 2 == 0)
            await self._chronicle.leader()
            await asyncio.sleep(PACE)
            await self._send_all_home()
        finally:
            await asyncio.gather(*(candidate.stop() for candidate in self._candidates.values()))

    async def _make_election(self) -> None:
        async with ZKClient(self._stage.hosts, session_timeout=self._stage.session_timeout) as zk:
            await create_election(zk, RESOURCE)

    async def _add_candidate(self) -> None:
        candidate = CandidateProcess(f"candidate-{next(self._numbers)}", self._chronicle)
        self._candidates[candidate.name] = candidate
        await candidate.start(self._stage)

    async def _change_leader(self, *, by_killing: bool) -> None:
        await self._chronicle.leader()
        await asyncio.sleep(PACE)
        leader = self._candidates.pop(await self._chronicle.leader())
        if by_killing:
            self._chronicle.say(f"--- kill -9 of {leader.name}")
            await leader.kill()
        else:
            self._chronicle.say(f"--- {leader.name} is told to resign")
            await leader.resign()
        await self._add_candidate()
        await self._chronicle.leader()

    async def _restart_server(self) -> None:
        """Lose the ZooKeeper server to which the leader is connected, and start it again.

        The leader's client goes to another server within its lease, so leadership does not move.
        """
        await self._chronicle.leader()
        await asyncio.sleep(PACE)
        term = self._chronicle.leads_now(await self._chronicle.leader())
        number, server = next(
            (number, server)
            for number, server in enumerate(self._stage.servers, start=1)
            if term is not None and server.port == term.server
        )
        name = f"ZooKeeper server {number}"
        self._chronicle.say(f"--- {self._stage.loss} of {name}, to which the leader is connected")
        await asyncio.to_thread(server.lose)
        await asyncio.sleep(PACE)
        await asyncio.to_thread(server.start)
        self._chronicle.say(f"--- {name} is back")

    async def _send_all_home(self) -> None:
        self._chronicle.say("--- the end: all followers resign, then the leader")
        leader = await self._chronicle.leader()
        followers = [candidate for name, candidate in self._candidates.items() if name != leader]
        await asyncio.gather(*(follower.resign() for follower in followers))
        await self._candidates[leader].resign()


def main() -> int:
    arguments = parse_arguments()
    chronicle = Chronicle()
    kind = "three real ZooKeeper servers" if arguments.ensemble else "a ZooKeeper in memory (--ensemble: a real one)"
    print(f"Starting {kind}", flush=True)
    with (ensemble_stage if arguments.ensemble else memory_stage)(arguments.guardian) as stage:
        print(f"ZooKeeper is at {stage.hosts}; session timeout {stage.session_timeout:g} s", flush=True)
        chronicle.began = time.monotonic()
        asyncio.run(Demo(stage, chronicle).play(arguments.candidates, arguments.rounds))
    print(*["", *table(chronicle.terms), ""], sep="\n")
    problems = verdict(chronicle.terms)
    print("\n".join(problems) or ALL_IS_WELL)
    return 1 if problems else 0


def parse_arguments() -> argparse.Namespace:
    # Without abbreviations: noxfile.py looks for `--ensemble` too, and installs ZooKeeper for it.
    parser = argparse.ArgumentParser(description="Elect leaders, and lose them.", allow_abbrev=False)
    parser.add_argument("--ensemble", action="store_true", help="on three real ZooKeeper servers, not on one in memory")
    parser.add_argument(
        "--no-guardian", dest="guardian", action="store_false", help="a killed leader's session ends by its timeout"
    )
    parser.add_argument("--candidates", type=int, default=5, help="how many processes stand (default: 5)")
    parser.add_argument("--rounds", type=int, default=6, help="how many leaders are lost (default: 6)")
    arguments = parser.parse_args()
    if arguments.candidates < 2 or arguments.rounds < 1:
        parser.error("it takes two candidates and one round")
    return arguments


if __name__ == "__main__":
    sys.exit(main())

"""A run: candidates in processes of their own, each behind its own proxies, observers, faults, and the record of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from golea_async import ElectionError, ZKClient, depose, end_election, list_candidates, transfer_leadership
from tests.support.ensemble import Server
from tests.support.guardian import Guardian
from tests.support.proxy import Proxy
from tests.support.wire import WireClient

from .checker import ZNODE_DELETED, check, undecided, unowned_znodes
from .clock import now
from .cluster import SESSION_TIMEOUT, TICK, Cluster
from .contenders import Library
from .observer import OUT_OF_REACH, Observer, look_at_znodes
from .record import Band, Belief, Record, StatusChange

ROOT = Path(__file__).parents[2]
LIMIT = 90.0
"""Seconds after which a wait is given up: it only ends a run that has failed."""

BEING_ENDED = "being ended"
"""The label of the time for which an ending goes on."""

ENDED = "ended"
"""The role that is recorded when a candidate's statuses have ended."""

_resources = itertools.count(1)


class RunError(AssertionError):
    """What a scenario waited for did not happen."""


class Candidate:
    """The run's side of a candidate's process."""

    def __init__(
        self, name: str, process: Process, proxies: list[Proxy], record: Record, changed: asyncio.Event
    ) -> None:
        self.name = name
        self.proxies = proxies
        self.is_frozen = False
        self._process = process
        self._record = record
        self._changed = changed
        self._orders = itertools.count(1)
        self._done: set[int] = set()
        self._runs: dict[int, Belief] = {}
        self._reading = asyncio.create_task(self._read())

    def __repr__(self) -> str:
        return self.name

    @property
    def belief(self) -> Belief | None:
        """Its latest run of belief, unless that has ended."""
        latest = self._runs[max(self._runs)] if self._runs else None
        return latest if latest is not None and latest.ended is None and self.is_alive else None

    @property
    def role(self) -> str | None:
        status = self._record.latest_status(self.name)
        return None if status is None else status.role

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    @property
    def server(self) -> int | None:
        """Which of the servers it has a connection to: the index, None when it has none or several."""
        connected = [index for index, proxy in enumerate(self.proxies) if proxy.open_connections]
        return connected[0] if len(connected) == 1 else None

    def is_done(self, order: int) -> bool:
        return order in self._done

    async def order(self, command: str, **arguments: Any) -> int:
        """Have the process do something; returns the number of the order."""
        assert self._process.stdin is not None
        number = next(self._orders)
        self._process.stdin.write(json.dumps({"id": number, "command": command, **arguments}).encode() + b"\n")
        with suppress(ConnectionError):
            await self._process.stdin.drain()
        return number

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self.is_alive:
            self._process.kill()
        await self._process.wait()
        await self._reading
        if self._runs and (latest := self._runs[max(self._runs)]).ended is None:
            latest.ended = now()
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._note(json.loads(line))
            self._changed.set()
        self._changed.set()

    def _note(self, report: dict[str, Any]) -> None:
        match report.pop("report"):
            case "belief":
                self._note_belief(report)
            case "status":
                self._record.statuses.append(StatusChange(self.name, **report))
            case "end":
                self._record.statuses.append(StatusChange(self.name, report["at"], ENDED))
            case "stall":
                self._record.stalls.append((self.name, report["start"], report["end"]))
            case "done":
                self._done.add(report["id"])
                if report["error"] is not None:
                    self._record.errors.append(f"{self.name}: {report['error']}")

    def _note_belief(self, report: dict[str, Any]) -> None:
        number = report["number"]
        belief = self._runs.get(number)
        if belief is None:
            first = (report["first"][0], report["first"][1])
            belief = self._runs[number] = Belief(self.name, number, report["token"], first, first)
            self._record.beliefs.append(belief)
        belief.last = (report["last"][0], report["last"][1])
        belief.ended = report["ended"]
        belief.leases.append((belief.last[1], report["remaining"]))


class Run:
    """One election with its candidates on a cluster; `async with` starts the observers and ends everything."""

    def __init__(
        self,
        cluster: Cluster,
        title: str = "",
        *,
        library: Library = Library.GOLEA,
        hold: float = 2.0,
        session_timeout: float = SESSION_TIMEOUT,
    ) -> None:
        self.cluster = cluster
        self.hold = hold
        self.library = library
        self.resource = f"/run-{next(_resources):03}"
        self.record = Record(session_timeout, TICK, now(), title=title)
        self.candidates: dict[str, Candidate] = {}
        self._lives = itertools.count(1)
        self._changed = asyncio.Event()
        self._stack = AsyncExitStack()
        self._standing: dict[str, Band] = {}
        self._logs = Path(tempfile.mkdtemp(prefix="golea-run-"))
        self._guardian: Guardian
        self._last_log: str | None = None

    async def __aenter__(self) -> Self:
        await self.cluster.until_whole()
        async with await WireClient.connect(self.cluster.servers[0].port) as wire:
            await wire.create(self.resource)
        self._guardian = Guardian(self._logs)
        for server in self.cluster.servers:
            observer = asyncio.create_task(Observer(server, self.resource, self.record).run())
            self._stack.push_async_callback(_cancelled, observer)
        self.record.started = now()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.record.ended = min(self.record.ended, now())
        await self._stack.aclose()
        for candidate in self.candidates.values():
            await candidate.kill()
        self._last_log = self.log()
        self._guardian.release()

    # ------------------------------------------------------------------ candidates

    async def start(self, name: str, *, on: Server | None = None, joins: bool = True) -> Candidate:
        """Start a candidate's process, and have it stand; with `on`, connected to that server at first."""
        if name in self.candidates:
            proxies = self.candidates[name].proxies
        else:
            self.record.candidates.append(name)
            proxies = [await self._proxy(server) for server in self.cluster.servers]
        barred = [] if on is None else [proxy for proxy in proxies if proxy.target_port != on.port]
        for proxy in barred:
            proxy.cut()
        candidate = self.candidates[name] = await self._spawn(name, proxies)
        await self._done(candidate, 0)
        for proxy in barred:
            proxy.heal()
        if joins:
            await self.join(candidate)
        return candidate

    async def join(self, candidate: Candidate, *, wait: bool = True) -> None:
        """Have it stand, and wait until it is decided whether it leads or follows."""
        self._standing[candidate.name] = self._begin("stands", candidate.name, self.record.standing)
        order = await candidate.order("join")
        if wait:
            await self._done(candidate, order)

    async def resign(self, candidate: Candidate, *, wait: bool = True) -> None:
        """Have it resign, and wait until it has."""
        self._end_standing(candidate)
        order = await candidate.order("resign")
        if wait:
            await self._done(candidate, order)

    async def step_down(self, candidate: Candidate) -> None:
        """Have it go to the end of the line, and wait until it has, or cannot."""
        with self.band("steps down", candidate.name):
            await self._done(candidate, await candidate.order("step_down"))

    async def transfer(self, to: Candidate) -> None:
        """An operator has this one lead next, if that can be."""
        with self.band("leadership is transferred", to.name), suppress(ElectionError, ValueError):
            async with ZKClient(self.cluster.hosts, session_timeout=SESSION_TIMEOUT) as zk:
                await transfer_leadership(zk, self.resource, to.name, timeout=SESSION_TIMEOUT)

    async def remove(self, candidate: Candidate) -> None:
        """An operator asks it to leave, if it stands and answers."""
        with self.band("is asked to leave", candidate.name), suppress(ElectionError):
            async with ZKClient(self.cluster.hosts, session_timeout=SESSION_TIMEOUT) as zk:
                for each in await list_candidates(zk, self.resource):
                    if each.name == candidate.name:
                        await depose(zk, each.id, timeout=SESSION_TIMEOUT)

    async def block(self, candidate: Candidate, seconds: float) -> None:
        """Block its event loop by synchronous code, and wait until that is over."""
        with self.band(f"loop blocked for {seconds:.1f} s", candidate.name, hinders=[candidate]):
            await self._done(candidate, await candidate.order("block", seconds=seconds))

    async def kill(self, candidate: Candidate) -> None:
        """SIGKILL."""
        self._end_standing(candidate)
        with self.band("SIGKILL", candidate.name):
            await candidate.kill()

    @property
    def deposed(self) -> list[Candidate]:
        """Candidates whose election ended although nobody had told them to resign: somebody deleted their znode."""
        return [
            candidate
            for name, candidate in self.candidates.items()
            if (band := self._standing.get(name)) is not None
            and (status := self.record.latest_status(name)) is not None
            and status.role == ENDED
            and status.at > band.start
        ]

    def follows(self, candidate: Candidate) -> bool:
        """Return whether the latest that it was told is that it follows."""
        status = self.record.latest_status(candidate.name)
        return status is not None and status.role == "follower"

    async def rejoin(self, candidate: Candidate) -> None:
        """Have one that was deposed stand again; whether it leads or follows is not waited for."""
        self._end_standing(candidate)
        await self.join(candidate, wait=False)

    @property
    def leaders(self) -> list[Candidate]:
        return [candidate for candidate in self.candidates.values() if candidate.belief is not None]

    # ------------------------------------------------------------------ waiting

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Return when the condition holds; it is looked at with every report of a candidate."""
        try:
            async with asyncio.timeout(LIMIT):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise RunError(f"it did not happen that {what}\n{self.log()}") from None

    async def until_leads(self, candidate: Candidate) -> None:
        await self.until(lambda: candidate.belief is not None, f"{candidate} leads")

    async def until_believes_no_more(self, candidate: Candidate) -> None:
        await self.until(lambda: candidate.belief is None, f"{candidate} believes in leading no more")

    async def until_connected(self, candidate: Candidate, *, elsewhere: int | None = None) -> None:
        """Return when it has a connection, to another server than `elsewhere`; its reports are frequent enough."""
        await self.until(lambda: candidate.server not in (None, elsewhere), f"{candidate} is connected")

    async def settle(self) -> None:
        """Wait until everybody has a role and nothing is left over, then take down what is there and end the record.

        To be called when everything is healed. What does not settle in time is the checker's.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT):
                await self.cluster.until_whole()
                while not await self._is_settled():  # noqa: ASYNC110 - only looking tells
                    await asyncio.sleep(0.1)
        await self.end()

    async def end(self) -> None:
        """End the record now, without a look at what is left."""
        self.record.ended = ended = now()
        await self.until(
            lambda: all(belief.last[1] >= ended for leader in self.leaders if (belief := leader.belief) is not None),
            "the reports come up to the end",
        )

    async def _is_settled(self) -> bool:
        self.record.ended = now()
        try:
            self.record.left = await look_at_znodes(self.cluster.servers[0], self.resource)
            return not unowned_znodes(self.record) and not undecided(self.record)
        except OUT_OF_REACH:
            return False
        finally:
            self.record.ended = float("inf")

    def log(self) -> str:
        """What the candidates' processes logged; also when the run is over."""
        if self._last_log is not None:
            return self._last_log
        return "\n".join(path.read_text(errors="replace")[-6000:] for path in sorted(self._logs.glob("*.log")))

    def faults(self, *, prompt: bool = True) -> list[str]:
        return check(self.record, prompt=prompt)

    # ------------------------------------------------------------------ faults

    @contextmanager
    def band(self, label: str, target: str, *, hinders: Sequence[Candidate] = ()) -> Iterator[None]:
        """Something that lasts as long as the block."""
        band = self._begin(label, target, self.record.faults)
        band.hinders = frozenset(candidate.name for candidate in hinders)
        try:
            yield
        finally:
            band.end = now()

    @asynccontextmanager
    async def cut_off(self, candidate: Candidate, direction: str = "both ways") -> AsyncIterator[None]:
        """Nothing passes between the candidate and any server, in `both ways`, `to ZooKeeper` or `from ZooKeeper`."""
        with self.band(f"cut off {direction}", candidate.name, hinders=[candidate]):
            for proxy in candidate.proxies:
                if direction != "from ZooKeeper":
                    proxy.swallow_requests()
                if direction != "to ZooKeeper":
                    proxy.swallow_replies()
            try:
                yield
            finally:
                _heal(candidate.proxies)

    @asynccontextmanager
    async def confined(self, candidate: Candidate, server: Server) -> AsyncIterator[None]:
        """The candidate reaches this server alone."""
        others = [proxy for proxy in candidate.proxies if proxy.target_port != server.port]
        with self.band(f"confined to server {server.identity}", candidate.name, hinders=[candidate]):
            for proxy in others:
                proxy.cut()
            try:
                yield
            finally:
                _heal(others)

    @asynccontextmanager
    async def delayed(self, candidate: Candidate, seconds: float) -> AsyncIterator[None]:
        """Everything takes this much longer, each way."""
        with self.band(f"delay {seconds:.1f} s", candidate.name, hinders=[candidate]):
            for proxy in candidate.proxies:
                proxy.delay(seconds)
            try:
                yield
            finally:
                for proxy in candidate.proxies:
                    proxy.heal()

    def reset(self, candidate: Candidate) -> None:
        """Its connection breaks."""
        with self.band("reset", candidate.name):
            for proxy in candidate.proxies:
                proxy.reset()

    @asynccontextmanager
    async def frozen(self, candidate: Candidate) -> AsyncIterator[None]:
        """SIGSTOP."""
        with self.band("frozen", candidate.name, hinders=[candidate]):
            candidate.signal(signal.SIGSTOP)
            try:
                yield
            finally:
                candidate.signal(signal.SIGCONT)

    @asynccontextmanager
    async def server_cut_off(self, server: Server) -> AsyncIterator[None]:
        """The server is cut from the others; nobody is told."""
        with self.band("cut from the others", f"server {server.identity}"):
            async with self.cluster.cut_server(server):
                yield

    @asynccontextmanager
    async def leader_stranded(self, server: Server) -> AsyncIterator[None]:
        """ZooKeeper's leader is cut from its followers, which elect another one at once; it is not told."""
        with self.band("cut from its followers", f"server {server.identity}"):
            async with self.cluster.strand_leader(server):
                yield

    @asynccontextmanager
    async def server_frozen(self, server: Server) -> AsyncIterator[None]:
        with self.band("frozen", f"server {server.identity}"):
            server.freeze()
            try:
                yield
            finally:
                server.thaw()
                await self.cluster.until_whole()

    @asynccontextmanager
    async def server_killed(self, server: Server) -> AsyncIterator[None]:
        """SIGKILL; it is started again at the end."""
        with self.band("killed", f"server {server.identity}"):
            await asyncio.to_thread(server.kill)
            try:
                yield
            finally:
                await asyncio.to_thread(server.start)
                await self.cluster.until_whole()

    @asynccontextmanager
    async def ensemble_away(self) -> AsyncIterator[None]:
        """All servers are killed, and started again at the end."""
        servers = self.cluster.servers
        with self.band("away", "ensemble"):
            await asyncio.gather(*(asyncio.to_thread(server.kill) for server in servers))
            try:
                yield
            finally:
                for server in servers:
                    await asyncio.to_thread(server.start, wait=False)
                await self.cluster.until_whole()

    async def depose(self) -> str | None:
        """An administrator deletes the first candidate's znode; returns its holder's name."""
        for server in self.cluster.servers:
            with suppress(*OUT_OF_REACH):
                for znode in await look_at_znodes(server, self.resource):
                    with self.band(ZNODE_DELETED, znode.name):
                        async with asyncio.timeout(5), await WireClient.connect(server.port) as wire:
                            await wire.delete(znode.path)
                    return znode.name
        return None

    @property
    def is_being_ended(self) -> bool:
        """Whether the election is being ended: nobody can stand until that is through."""
        return any(band.label == BEING_ENDED and band.end > now() for band in self.record.faults)

    async def end_election(self) -> None:
        """An operator ends the election, and waits until it is through; afterwards it can be used again."""
        try:
            with self.band(BEING_ENDED, "ensemble", hinders=list(self.candidates.values())):
                async with ZKClient(self.cluster.hosts, session_timeout=SESSION_TIMEOUT) as zk:
                    await end_election(zk, self.resource)
        finally:
            self._changed.set()

    # ------------------------------------------------------------------ small things

    async def _spawn(self, name: str, proxies: list[Proxy]) -> Candidate:
        hosts = ",".join(proxy.address for proxy in proxies)
        command = [sys.executable, "-m", "tests.faults.candidate", self.library.value, hosts, self.resource, name]
        with (self._logs / f"{name}-{next(self._lives)}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(self.record.session_timeout),
                cwd=ROOT,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                env=_environment(),
            )
        self._guardian.watch(process.pid)
        return Candidate(name, process, proxies, self.record, self._changed)

    async def _proxy(self, server: Server) -> Proxy:
        return await self._stack.enter_async_context(Proxy(server.port))

    async def _done(self, candidate: Candidate, order: int) -> None:
        def is_done() -> bool:
            return candidate.is_done(order) or not candidate.is_alive

        await self.until(is_done, f"{candidate} has done order {order}")

    def _begin(self, label: str, target: str, bands: list[Band]) -> Band:
        band = Band(label, target, now())
        bands.append(band)
        return band

    def _end_standing(self, candidate: Candidate) -> None:
        band = self._standing.pop(candidate.name, None)
        if band is not None:
            band.end = now()


def _heal(proxies: list[Proxy]) -> None:
    for proxy in proxies:
        # Frames are missing in these connections: they must not go on.
        proxy.reset()
        proxy.heal()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

"""Who stands in the simulated elections: a process that goes on standing, in all the ways that the library offers.

It decides by itself, from its own share of the seed: which way to stand, for how long, how long its work takes to
stop. Faults come from outside. What it knows of itself is what the invariants are checked against.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from aiozk import exc

import golea_async
from golea_async import AsyncElection, ElectionError, Leadership, LeadershipLostError, ZKClient
from golea_async._driver import Driver
from golea_async._protocol.view import Watch
from golea_async._shared.channel import Channel
from golea_async._shared.client_context import _contexts
from golea_async._shared.watch_table import WatchState
from golea_async._zookeeper.wire import WatchKind

from .guardian import Guardian
from .network import Wire
from .process import Process
from .world import Clock, World

RESOURCE = "/election"
STORE = "/store"
LONGEST_PAUSE = 1.0
SESSION_TASK = "golea-session"
"""The client's own."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What kind of member it is. Times in seconds."""

    session_timeout: float
    authenticates: bool
    candidate_name: str
    stands_twice: bool
    rejoins: bool
    has_guardian: bool


def _deaf_to(driver: Driver) -> list[str]:
    channel, view = driver._channel, driver._me.view
    if driver._life is None or channel is None:
        return []
    sights = (view.done, view.own, view.before, view.request)
    counted = [sight.path for sight in sights if sight is not None and sight.watch is Watch.SET]
    deaf_to = [path for path in counted if not _is_heard(path, channel, driver)]
    return deaf_to if deaf_to and channel.is_current else []


def _is_heard(path: str, channel: Channel, driver: Driver) -> bool:
    row = channel.watches.find(path, WatchKind.DATA)
    return row is not None and row.state is WatchState.SET and driver._event in row.listeners


def _is_client_closed(election: AsyncElection) -> bool:
    session = election._zk.session
    return bool(not session.started or session.closing or session.repair_loop_task.done())


class Member:
    """One machine on which a service runs: its process may die, and is started again.

    :ivar is_calm: whether it stands and goes on standing, and does nothing of its own accord.
    :ivar idles_next: whether it only stands a while after its next client has connected.
    :ivar working: the candidates (path and token) for which work is running here.
    :ivar pending: calls of the library that have not returned, and since when.
    """

    def __init__(self, world: World, clock: Clock, wires: list[Wire], habits: Habits, seed: int, number: int) -> None:
        self.world = world
        self.number = number
        self.wires = wires
        self.habits = habits
        self.is_calm = False
        self.idles_next = False
        self._retirement_is_over: asyncio.Event | None = None
        self.process: Process | None = None
        self.past: list[Process] = []
        self.elections: dict[AsyncElection, None] = {}
        self.working: dict[tuple[str, int], None] = {}
        self.pending: dict[object, tuple[str, float]] = {}
        self.on_step: Callable[[Process], None] = lambda _: None
        self._clock = clock
        self._generator = random.Random(seed)
        self.guardian = Guardian(world, clock, wires, self._generator.randrange(2**32), f"guardian of {number}")
        self._client: ZKClient | None = None
        self._standing: dict[asyncio.Task[None], None] = {}

    def __repr__(self) -> str:
        return f"member {self.number}"

    @property
    def is_retired(self) -> bool:
        """Whether, having resigned, it does not stand again, and keeps its client."""
        return self._retirement_is_over is not None

    def retire(self) -> None:
        if self._retirement_is_over is None:
            self._retirement_is_over = asyncio.Event()
            self.resign()

    def return_to_service(self) -> None:
        if self._retirement_is_over is not None:
            self._retirement_is_over.set()
            self._retirement_is_over = None
        if self.process is not None:
            self.process.step()

    @property
    def is_running(self) -> bool:
        return self.process is not None and not self.process.is_frozen

    def start(self) -> None:
        """A new process of this service."""
        if self.process is not None:
            return
        process = Process(self.world, self._clock, self._generator, repr(self))
        process.on_step = self.on_step
        process.loop.dial = lambda protocol, port: self.wires[port - 1].dial(process, protocol)
        self.process = process
        process.spawn(self._live(), repr(self))

    def kill(self, *, guardian_is_late: float = 0.0) -> None:
        """As by SIGKILL: nothing is said to anybody but by the end of the connections; its guardian sees it."""
        if self.process is None:
            return
        self.process.kill()
        if self.habits.has_guardian and self._client is not None:
            self.guardian.program_died(self._client, late=guardian_is_late)
        for wire in self.wires:
            for transport in list(wire.transports):
                if transport.process is self.process:
                    transport.vanish()
        self.past.append(self.process)
        self.process = self._client = None
        self._retirement_is_over = None
        for table in (self.elections, self.working, self.pending, self._standing):
            table.clear()

    def end_pipe_to_guardian(self) -> None:
        """As where an application closes all descriptors that it finds."""
        if self.process is not None and self.habits.has_guardian and self._client is not None:
            self.guardian.pipe_ended(self._client)

    def believing(self) -> list[tuple[AsyncElection, Leadership]]:
        """Who believes to lead here, at this instant and by this machine's clock."""
        if self.process is None or not self.elections:
            return []
        return list(self.process.enter(self._believing))

    def _believing(self) -> list[tuple[AsyncElection, Leadership]]:
        found = [(election, election.current_leadership) for election in self.elections]
        return [(election, leadership) for election, leadership in found if leadership is not None]

    @property
    def connection(self) -> object:
        """Of its client: another object for each."""
        return None if self._client is None else self._client.session.conn

    def deaf_to(self) -> list[str]:
        """The znodes that its candidates count as watched, and of which nothing would tell them."""
        drivers = [election._runner._driver for election in self.elections]
        return [path for driver in drivers if driver is not None for path in _deaf_to(driver)]

    def lease_ends_at(self, session_id: int) -> float:
        """When the lease of this session is over, by the world's time."""
        context = None if self._client is None else _contexts.get(self._client)
        if context is None or context.lease is None or context.lease.session_id != session_id:
            return -math.inf
        return self._clock.true_time(context.lease._deadline)

    def leftovers(self) -> list[str]:
        """What of an election is still there, on the client of a member that has none."""
        assert self.process is not None
        if self.elections or self._client is None:
            return []
        tasks = {task.get_name() for task in self.process.loop.tasks} - {repr(self), SESSION_TASK}
        return [*sorted(tasks), *(path for _, path in self._client.session.watch_callbacks)]

    def cancel(self, turns: int) -> None:
        """Cancel whoever stands, when the process has run so many more callbacks: at whatever it awaits then."""
        if self.process is not None:
            for task in self._standing:
                self.process.after_turns(turns, task.cancel)

    def calm_down(self) -> None:
        """Peace begins: a cancellation whose turn has not come, since little goes on here, must not come in the end."""
        self.is_calm = True
        if self.process is not None:
            self.process.forget_interruptions()

    def close_client(self) -> None:
        """The application closes its client first, and stands with another one."""
        if self.process is not None and self.is_running and self._client is not None:
            self.process.spawn(self._client.close(), "close")

    def resign(self) -> None:
        """Somebody else in the process has the candidate resign."""
        if self.process is not None and self.is_running:
            for election in list(self.elections):
                self.process.spawn(self._resign(election), "resign")

    def step_down(self) -> None:
        """Somebody else in the process has the candidate go to the end of the line."""
        if self.process is not None and self.is_running:
            for election in list(self.elections):
                self.process.spawn(self._step_down(election), "step down")

    async def _step_down(self, election: AsyncElection) -> None:
        with suppress(ElectionError):
            await self._called("step_down", election.step_down(timeout=self._generator.choice((None, 10, 0.05))))

    # --- the service -----------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        hosts = ",".join(f"10.0.0.1:{port}" for port in range(1, len(self.wires) + 1))
        while True:
            auth = [("digest", "member:password")] if self.habits.authenticates else []
            self._client = ZKClient(hosts, session_timeout=self.habits.session_timeout, auth=auth)
            with suppress(exc.ZKError):
                async with self._client as client:
                    await self._idle()
                    await self._stand_on(client)

    async def _idle(self) -> None:
        """Send nothing for a while, until what the client sent when it connected is old enough for a lease."""
        if not self.is_calm and (self.idles_next or self._generator.random() < 0.2):
            self.idles_next = False
            await asyncio.sleep(self._generator.uniform(0.28, 0.4) * self.habits.session_timeout)

    async def _stand_on(self, client: ZKClient) -> None:
        """Stand, again and again, until the client is closed."""
        name = self.habits.candidate_name
        while client.session.started and not client.session.closing:
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(self._stand(client, name), name="stand")]
            if self.habits.stands_twice:
                tasks.append(loop.create_task(self._stand(client, f"{name}'s twin"), name="twin"))
            self._standing.update(dict.fromkeys(tasks))
            try:
                await asyncio.wait(tasks)
            finally:
                for task in tasks:
                    self._standing.pop(task, None)
            for task in tasks:
                if not task.cancelled():
                    self._look_at(task.exception())
            await asyncio.sleep(self._generator.uniform(0, LONGEST_PAUSE))
            if self._retirement_is_over is not None:
                await self._retirement_is_over.wait()

    def _look_at(self, error: BaseException | None) -> None:
        """What the library may raise, and what not."""
        if error is None or isinstance(error, (ElectionError, ValueError)):
            return  # ValueError: the client was closed
        assert self.process is not None
        self.process.faults.append(f"{self!r} got {error!r}")

    async def _stand(self, client: ZKClient, name: str) -> None:
        election = AsyncElection(client, RESOURCE, name, rejoin=self.habits.rejoins)
        self.elections[election] = None
        ways = (self._by_run, self._by_block, self._by_hand)
        try:
            await self._generator.choice(ways)(election)
        finally:
            if election.status.role is golea_async.Role.NONE:
                self.elections.pop(election, None)

    async def _by_run(self, election: AsyncElection) -> None:
        await self._called("run", election.run(self._work), unlimited=True)

    async def _by_block(self, election: AsyncElection) -> None:
        """`async with`, and statuses; leading is held by a body of its own."""
        await self._called("start", election.start())
        try:
            async for status in election.statuses():
                if status.role is golea_async.Role.LEADER and self._generator.random() < 0.9:
                    with suppress(LeadershipLostError):
                        async with election.leadership() as leadership:
                            await self._work(leadership)
                if not self.is_calm and self._generator.random() < 0.2:
                    break
        finally:
            await self._resign(election)

    async def _by_hand(self, election: AsyncElection) -> None:
        """Stands for a while, without a body."""
        try:
            await self._called("start", election.start())
            await self._pass_time(election)
        finally:
            await self._resign(election)

    async def _resign(self, election: AsyncElection) -> None:
        """Until it is known to be gone: an application that must know tries again."""
        try:
            await self._called("resign", election.resign(timeout=self._generator.choice((None, 10, 0.05))))
        except golea_async.ResignError:
            if not _is_client_closed(election):
                try:
                    await self._called("resign", election.resign(timeout=None))
                except golea_async.ResignError:
                    if not _is_client_closed(election):
                        raise

    async def _called(self, what: str, call: Awaitable[object], *, unlimited: bool = False) -> None:
        key = object()
        if not unlimited:
            self.pending[key] = (what, self.world.now)
        try:
            await call
        finally:
            self.pending.pop(key, None)

    async def _work(self, leadership: Leadership) -> None:
        """Write under the leadership, until it is lost; it takes a while to stop."""
        candidate = (leadership._path, leadership.fencing_token)
        if not self.is_calm and self._generator.random() < 0.05:
            await self._end_the_election()
            return
        self.working[candidate] = None
        try:
            while self.is_calm or self._generator.random() < 0.95:
                await self._pass_a_moment()
                if not leadership.is_valid:
                    continue
                with suppress(ElectionError, exc.ZKError):
                    async with leadership.transaction() as transaction:
                        transaction.set_data(STORE, str(leadership.fencing_token).encode())
        finally:
            try:
                await asyncio.sleep(self._generator.choice((0, 0.01, 0.1)) * self.habits.session_timeout)
            finally:
                self.working.pop(candidate, None)

    async def _end_the_election(self) -> None:
        """Do nothing else as the leader: it goes on without being told of the end, since it is what ends it."""
        assert self._client is not None
        await self._pass_a_moment()
        with suppress(ElectionError):
            await golea_async.end_election(self._client, RESOURCE)

    async def _pass_a_moment(self) -> None:
        await asyncio.sleep(self._generator.uniform(0.02, 0.4) * self.habits.session_timeout)

    async def _pass_time(self, election: AsyncElection) -> None:
        """Stand as long as it pleases, but to the end when it is calm."""
        await self._pass_a_moment()
        while election.status.role is not golea_async.Role.NONE and (self.is_calm or self._generator.random() < 0.9):
            await self._pass_a_moment()

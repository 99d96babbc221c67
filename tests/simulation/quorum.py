"""How the simulated servers agree: one leader per epoch, followers that acknowledge, and a quorum that makes history.

What of ZooKeeper matters to a lease is kept: only the leader counts the time of sessions; a follower tells it of the
touches by its clients with its next reply to a ping, on the same stream as the writes it passes on; a server that is
cut off goes on serving reads for `syncLimit` ticks, a leader among them; a new leader begins all sessions anew. How
leaders are elected is not simulated: the one with the longest log among those who reach each other becomes it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from golea_async.testing._changes import Author, Moment
from golea_async.testing._engine import Limits

from .history import CloseSession, OpenSession, Proposal, Transaction
from .network import Path, Pipe
from .process import Process
from .server import Role, Server, Visitor, milliseconds
from .world import Clock, World

LATENCY = (0.0001, 0.001)
ELECTION_INTERVAL = 0.1
ELECTION_TIME = 0.25
NOBODY = Author(0, ())


class Ensemble:
    """:ivar on_commit: is called with each transaction, once, when it becomes history.
    :ivar on_mistaken: is called when a server takes the outcome of one write (first) for that of another (second).
    :ivar on_taken: is called when a process takes up a session: when that would have ended, now, and when it will.
    :ivar leader_since: when the present leader took its post, in true time; None while there is none.
    """

    def __init__(
        self, world: World, generator: random.Random, clocks: list[Clock], limits: Limits, sync_limit: int
    ) -> None:
        self.world = world
        self.limits = limits
        self.sync_limit = sync_limit
        self.servers = [Server(world, clock, self, index, limits) for index, clock in enumerate(clocks)]
        self.paths = {
            (one, other): Path(world, generator, LATENCY)
            for one in self.servers
            for other in self.servers
            if one is not other
        }
        self.on_commit: Callable[[Transaction], None] = lambda _: None
        self.on_mistaken: Callable[[Proposal, Proposal], None] = lambda _, __: None
        self.on_taken: Callable[[Process, int, int, int], None] = lambda *_: None
        self._epoch = 0
        self._session_ids = iter(range(0x100000000000001, 2**63))
        self._history_length = 0
        self._is_looking = False
        self.look_for_leaders()

    @property
    def quorum(self) -> int:
        return len(self.servers) // 2 + 1

    @property
    def leader(self) -> Server | None:
        """The leader with a quorum behind it. A deposed one that does not know it yet is none."""
        leading = [each for each in self.servers if each.role is Role.LEADING and each.is_running]
        return max(leading, key=lambda each: each.epoch, default=None)

    def new_session_id(self) -> int:
        return next(self._session_ids)

    def made_history(self, log: list[Transaction], length: int) -> None:
        for transaction in log[self._history_length : length]:
            self.on_commit(transaction)
        self._history_length = max(self._history_length, length)

    def can_talk(self, one: Server, other: Server) -> bool:
        return self.paths[one, other].is_open and self.paths[other, one].is_open

    def look_for_leaders(self) -> None:
        """A server has none; until each has one, they look again and again."""
        if not self._is_looking:
            self._is_looking = True
            self.world.after(ELECTION_INTERVAL, self._find_leaders)

    def _find_leaders(self) -> None:
        looking = [
            each
            for each in self.servers
            if each.is_running and each.role is Role.LOOKING and self.world.now - each.looking_since >= ELECTION_TIME
        ]
        for server in list(looking):
            leader = next(self._leaders_for(server), None)
            if leader is not None:
                leader.join(server)
                looking.remove(server)
        for candidate in sorted(looking, key=lambda each: (each.history.last_zxid, each.index), reverse=True):
            electors = [each for each in looking if each is candidate or self.can_talk(each, candidate)]
            if len(electors) >= self.quorum and _has_longest_log(candidate, electors):
                self._elect(candidate, electors)
                break
        self._is_looking = False
        if any(each.role is Role.LOOKING and not each.is_dead for each in self.servers):
            self.look_for_leaders()

    def _leaders_for(self, server: Server) -> Iterator[Leading]:
        for each in self.servers:
            is_leading = each.is_running and isinstance(each.post, Leading) and each.epoch >= server.epoch
            if is_leading and self.can_talk(each, server):
                assert isinstance(each.post, Leading)
                yield each.post

    def _elect(self, server: Server, electors: list[Server]) -> None:
        self._epoch += 1
        leading = Leading(server, self._epoch)
        server.epoch = self._epoch
        server.take_post(leading)
        for elector in electors:
            if elector is not server:
                leading.join(elector)
        leading.begin()


class Leading:
    """What the leader of an epoch does. Its log is history as far as a quorum has acknowledged it."""

    role = Role.LEADING

    def __init__(self, server: Server, epoch: int) -> None:
        self._server = server
        self._ensemble = server.ensemble
        self._counter = 0
        self._epoch = epoch
        self._acknowledged = {server: len(server.history.log)}
        self._followers: dict[Server, Following] = {}
        self._heard: dict[Server, float] = {}
        self._committed = 0
        self._syncs: list[tuple[int, Callable[[], None]]] = []
        tick = server.limits.tick / 1000
        self._tick = tick
        self._patience = server.ensemble.sync_limit * tick
        self._sessions = SessionTracker(server.limits.tick)

    @property
    def _is_at_its_post(self) -> bool:
        return self._server.post is self

    def begin(self) -> None:
        """All that this server has is history, and the time of all sessions begins anew."""
        self._commit(len(self._server.history.log))
        for session_id, timeout in self._server.history.sessions.items():
            self._sessions.open(session_id, timeout, None, self._now())
        self._ping()
        self._set_expiry_timer()

    def join(self, server: Server) -> None:
        """A server follows from now on: its log becomes as the leader's."""
        history = self._server.history
        server.history.take_over(history)
        server.epoch = self._epoch
        following = Following(server, self)
        server.take_post(following)
        self._followers[server] = following
        self._heard[server] = self._server.clock.time()
        server.committed(self._committed)
        following.begin()
        self.acknowledge(server, len(history.log))

    def leave(self, server: Server) -> None:
        """A follower is gone."""
        following = self._followers.pop(server, None)
        self._acknowledged.pop(server, None)
        if following is not None:
            following.to_follower.send(following.server.receive, following.lose_leader)

    def abandon(self) -> None:
        """The leader is no more, or steps down; its followers hear of that when it reaches them."""
        for following in list(self._followers.values()):
            self.leave(following.server)

    # --- what clients of this server ask for -----------------------------------------------------------------------

    def touch(self, session_id: int) -> None:
        self._sessions.touch(session_id, self._now())

    def propose(self, proposal: Proposal) -> None:
        self.proposed(proposal, self._server)

    def sync(self, visitor: Visitor, pending: Any) -> None:
        """The leader answers at once: to its own clients, sync is no barrier."""
        visitor.answer_sync(pending)

    def revalidate(self, visitor: Visitor, session_id: int, timeout: int) -> None:
        visitor.revalidated(session_id, timeout, self._take(visitor, session_id, timeout, self._server))

    def _take(self, visitor: Visitor, session_id: int, timeout: int, via: Server) -> bool:
        before, now = self._sessions.end_of(session_id), self._now()
        is_valid = self._sessions.take(session_id, timeout, via, now)
        self._ensemble.on_taken(visitor.transport.process, before, now, self._sessions.end_of(session_id))
        return is_valid

    # --- what followers pass on ------------------------------------------------------------------------------------

    def proposed(self, proposal: Proposal, via: Server) -> None:
        """A write: it is decided on, logged here, and offered to the followers."""
        if not self._is_at_its_post:
            return
        request, is_moved = proposal.request, False
        if isinstance(request, OpenSession):
            self._sessions.open(proposal.session_id, request.timeout, via, self._now())
        elif not self._sessions.is_served_by(via, proposal.session_id):
            is_moved = True
        elif isinstance(request, CloseSession):
            self._sessions.close(proposal.session_id)
        self._decide(proposal, is_moved=is_moved)

    def _decide(self, proposal: Proposal, *, is_moved: bool = False) -> None:
        self._counter += 1
        moment = Moment(self._epoch << 32 | self._counter, milliseconds(self._server.clock.time()))
        history = self._server.history
        transaction = history.decide(proposal, moment, is_moved=is_moved)
        self._server.waiting_writes.add(proposal)  # here, of all servers' clients (ProposalRequestProcessor)
        for following in self._followers.values():
            following.to_follower.send(following.server.receive, following.log, transaction)
        self.acknowledge(self._server, len(history.log))

    def acknowledge(self, server: Server, length: int) -> None:
        """A server has logged so much."""
        if server is not self._server and server not in self._followers:
            return
        self._heard[server] = self._server.clock.time()
        self._acknowledged[server] = max(length, self._acknowledged.get(server, 0))
        if self._is_at_its_post:
            lengths = sorted(self._acknowledged.values(), reverse=True)
            if len(lengths) >= self._ensemble.quorum:
                self._commit(lengths[self._ensemble.quorum - 1])

    def _commit(self, length: int) -> None:
        if length <= self._committed:
            return
        self._committed = length
        self._ensemble.made_history(self._server.history.log, length)
        for following in self._followers.values():
            following.to_follower.send(following.server.receive, following.commit, length)
        self._server.committed(length)
        while self._syncs and self._syncs[0][0] <= length:
            self._syncs.pop(0)[1]()

    def touched(self, server: Server, session_ids: tuple[int, ...]) -> None:
        """A follower's reply to a ping."""
        if server not in self._followers:
            return
        self._heard[server] = self._server.clock.time()
        for session_id in session_ids:
            self._sessions.touch(session_id, self._now())

    def revalidate_for(self, following: Following, visitor: Visitor, session_id: int, timeout: int) -> None:
        is_valid = self._take(visitor, session_id, timeout, following.server)
        self._tell(following.server, visitor.revalidated, session_id, timeout, is_valid)

    def sync_for(self, following: Following, visitor: Visitor, pending: Any) -> None:
        def answer() -> None:
            self._tell(following.server, visitor.answer_sync, pending)

        length = len(self._server.history.log)
        if length <= self._committed:
            answer()
        else:
            self._syncs.append((length, answer))

    def _tell(self, server: Server, handler: Callable[..., None], *arguments: Any) -> None:
        if server is self._server:
            handler(*arguments)
        elif (following := self._followers.get(server)) is not None:
            following.to_follower.send(server.receive, following.while_it_lasts, handler, arguments)

    # --- by the clock ----------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return milliseconds(self._server.clock.time())

    def _ping(self) -> None:
        """Every half tick: hear who is there, and step down when that is no quorum any more (Leader.java, lead)."""
        if not self._is_at_its_post:
            return
        now = self._server.clock.time()
        for server in [each for each in self._followers if now - self._heard[each] > self._patience]:
            self.leave(server)
        if len(self._followers) + 1 < self._ensemble.quorum:
            self.abandon()
            self._server.look()
            return
        for following in self._followers.values():
            following.to_follower.send(following.server.receive, following.pinged)
        self._server.set_timer(self._tick / 2, self._ping)

    def _set_expiry_timer(self) -> None:
        left = self._tick - self._server.clock.time() % self._tick
        self._server.set_timer(left, self._expire)

    def _expire(self) -> None:
        if not self._is_at_its_post:
            return
        for session_id in self._sessions.expired(self._now()):
            self._sessions.close(session_id)
            self._decide(Proposal(session_id, NOBODY, CloseSession(), None))
        self._set_expiry_timer()


class Following:
    """What a follower does, under one leader."""

    role = Role.FOLLOWING

    def __init__(self, server: Server, leading: Leading) -> None:
        self.server = server
        self._leading = leading
        leader, paths = leading._server, server.ensemble.paths
        self._leader = leader
        self.to_leader = Pipe(paths[server, leader])
        self.to_follower = Pipe(paths[leader, server])
        self._touched: dict[int, None] = {}
        self._patience = leading._patience
        self._heard = server.clock.time()

    @property
    def _is_at_its_post(self) -> bool:
        return self.server.post is self

    def begin(self) -> None:
        self._watch_leader()

    def abandon(self) -> None:
        """It is no more, or has given its leader up."""
        self.to_leader.send(self._leader.receive, self._leading.leave, self.server)

    def lose_leader(self) -> None:
        if self._is_at_its_post:
            self.abandon()
            self.server.look()

    # --- what clients of this server ask for -----------------------------------------------------------------------

    def touch(self, session_id: int) -> None:
        self._touched[session_id] = None

    def propose(self, proposal: Proposal) -> None:
        self.server.waiting_writes.add(proposal)
        self._pass_on(self._leading.proposed, proposal, self.server)

    def sync(self, visitor: Visitor, pending: Any) -> None:
        self._pass_on(self._leading.sync_for, self, visitor, pending)

    def revalidate(self, visitor: Visitor, session_id: int, timeout: int) -> None:
        self._pass_on(self._leading.revalidate_for, self, visitor, session_id, timeout)

    def _pass_on(self, handler: Callable[..., None], *arguments: Any) -> None:
        self.to_leader.send(self._leader.receive, handler, *arguments)

    # --- what the leader says --------------------------------------------------------------------------------------

    def while_it_lasts(self, handler: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self._is_at_its_post:
            self._heard = self.server.clock.time()
            handler(*arguments)

    def log(self, transaction: Transaction) -> None:
        if self._is_at_its_post:
            self._heard = self.server.clock.time()
            self.server.history.append(transaction)
            length = len(self.server.history.log)
            self.server.when_logged(lambda: self._pass_on(self._leading.acknowledge, self.server, length))

    def commit(self, length: int) -> None:
        if self._is_at_its_post:
            self._heard = self.server.clock.time()
            self.server.committed(length)

    def pinged(self) -> None:
        """The reply tells of the sessions that were touched here since the last one (Learner.java:893)."""
        if self._is_at_its_post:
            self._heard = self.server.clock.time()
            touched, self._touched = tuple(self._touched), {}
            self._pass_on(self._leading.touched, self.server, touched)

    def _watch_leader(self) -> None:
        if not self._is_at_its_post:
            return
        silence = self.server.clock.time() - self._heard
        if silence > self._patience:
            self.lose_leader()
        else:
            self.server.set_timer(self._patience - silence + 0.001, self._watch_leader)


class SessionTracker:
    """The leader's: when each session's time is over. A session ends at the first tick after its timeout."""

    def __init__(self, tick: int) -> None:
        self._tick = tick
        self._sessions: dict[int, tuple[int, int, Server | None]] = {}  # timeout, end, owner; in milliseconds

    def __contains__(self, session_id: int) -> bool:
        return session_id in self._sessions

    def open(self, session_id: int, timeout: int, owner: Server | None, now: int) -> None:
        self._sessions[session_id] = (timeout, self._end(now, timeout), owner)

    def touch(self, session_id: int, now: int) -> None:
        """Nothing happens to a session that is being closed."""
        if session_id in self._sessions:
            timeout, _, owner = self._sessions[session_id]
            self.open(session_id, timeout, owner, now)

    def take(self, session_id: int, timeout: int, owner: Server, now: int) -> bool:
        """Its client has come to another server; return whether there is such a session."""
        if session_id not in self._sessions:
            return False
        self.open(session_id, timeout, owner, now)
        return True

    def end_of(self, session_id: int) -> int:
        """Return when a session ends unless it is touched; 0 when there is none."""
        return self._sessions.get(session_id, (0, 0, None))[1]

    def is_served_by(self, server: Server, session_id: int) -> bool:
        """Whether no other server passes on this session's writes; the first one that does so has it."""
        if session_id not in self._sessions:
            return True
        timeout, end, owner = self._sessions[session_id]
        self._sessions[session_id] = (timeout, end, owner or server)
        return owner in (None, server)

    def close(self, session_id: int) -> None:
        self._sessions.pop(session_id, None)

    def expired(self, now: int) -> list[int]:
        return [session_id for session_id, (_, end, _) in self._sessions.items() if end <= now]

    def _end(self, now: int, timeout: int) -> int:
        return ((now + timeout) // self._tick + 1) * self._tick


def _has_longest_log(candidate: Server, electors: list[Server]) -> bool:
    return all(each.history.last_zxid <= candidate.history.last_zxid for each in electors)

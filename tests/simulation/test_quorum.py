"""The simulated ensemble itself: what of ZooKeeper the lease rests on must be as in ZooKeeper."""

from __future__ import annotations

import random

import pytest

from golea_async.testing._changes import Author
from golea_async.testing._engine import Limits
from golea_async.testing._model import OPEN_ACL, Create, Delete, OpCode

from .commits import WaitingWrites
from .history import OpenSession, Proposal, Transaction
from .quorum import Ensemble, Following, Leading
from .server import Role, Server
from .world import Clock, World

TICK = 1.0
SYNC_LIMIT = 5
TIMEOUT = 4000
SESSION = 77
AUTHOR = Author(SESSION, ())


class Stage:
    """Three servers, one of which leads, and what has become history."""

    def __init__(self) -> None:
        self.world = World()
        self.history: list[Transaction] = []
        clocks = [Clock(self.world, 1.0, 100.0 * index) for index in range(3)]
        self.ensemble = Ensemble(self.world, random.Random(1), clocks, Limits(1000, 2000, 20000), SYNC_LIMIT)
        self.ensemble.on_commit = self.history.append
        self.run(1.0)

    def run(self, seconds: float) -> None:
        self.world.run_until(self.world.now + seconds)

    @property
    def leader(self) -> Server:
        assert self.ensemble.leader is not None
        return self.ensemble.leader

    @property
    def followers(self) -> list[Server]:
        return [each for each in self.ensemble.servers if each.role is Role.FOLLOWING]

    def isolate(self, server: Server, *, is_open: bool = False) -> None:
        for ends, path in self.ensemble.paths.items():
            if server in ends:
                (path.open if is_open else path.close)()

    def open_session(self) -> None:
        post(self.leader).propose(Proposal(SESSION, AUTHOR, OpenSession(TIMEOUT), None))
        self.run(0.1)

    def create(self, server: Server, path: str, flags: int = 0) -> None:
        post(server).propose(Proposal(SESSION, AUTHOR, Create(OpCode.CREATE, path, b"", OPEN_ACL, flags), None))


def post(server: Server) -> Leading | Following:
    assert server.post is not None
    return server.post


def has(server: Server, path: str) -> bool:
    return server.replica.tree.find(path) is not None


def is_looking(server: Server) -> bool:
    return server.role is Role.LOOKING


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.open_session()
    return stage


def test_a_write_becomes_history_on_every_server(stage: Stage) -> None:
    stage.create(stage.leader, "/a")
    stage.run(0.1)
    assert all(has(server, "/a") for server in stage.ensemble.servers)
    assert len(stage.history) == 2


def test_a_deposed_leader_reads_and_writes_no_history(stage: Stage) -> None:
    deposed = stage.leader
    stage.isolate(deposed)
    stage.create(deposed, "/lost")
    stage.run(SYNC_LIMIT * TICK - 0.5)
    assert deposed.role is Role.LEADING  # it does not know yet, and serves
    assert not has(deposed, "/lost")
    stage.run(2.0)
    assert is_looking(deposed)
    assert stage.leader is not deposed
    stage.isolate(deposed, is_open=True)
    stage.run(1.0)
    stage.create(stage.leader, "/kept")
    stage.run(0.1)
    assert has(deposed, "/kept")
    assert not has(deposed, "/lost")


def test_what_was_history_survives_its_leader(stage: Stage) -> None:
    stage.create(stage.leader, "/kept")
    stage.run(0.1)
    first = stage.leader
    first.die()
    stage.run(1.0)
    assert stage.leader is not first
    assert has(stage.leader, "/kept")
    first.live()
    stage.run(1.0)
    assert first.role is Role.FOLLOWING


def test_a_follower_that_is_cut_off_serves_until_the_sync_limit(stage: Stage) -> None:
    follower = stage.followers[0]
    stage.isolate(follower)
    stage.create(stage.leader, "/unseen")
    stage.run(SYNC_LIMIT * TICK - 0.5)
    assert follower.role is Role.FOLLOWING
    assert not has(follower, "/unseen")
    stage.run(1.0)
    assert is_looking(follower)


def test_a_session_ends_at_the_first_tick_after_its_timeout(stage: Stage) -> None:
    stage.create(stage.leader, "/mine", flags=1)
    stage.run(TIMEOUT / 1000 - 0.2)
    assert has(stage.leader, "/mine")
    stage.run(TICK + 0.3)
    assert not any(has(server, "/mine") for server in stage.ensemble.servers)


def test_a_follower_passes_touches_on_with_its_next_reply_to_a_ping(stage: Stage) -> None:
    stage.create(stage.leader, "/mine", flags=1)
    follower = stage.followers[0]
    for _ in range(10):
        post(follower).touch(SESSION)
        stage.run(1.0)
    assert has(stage.leader, "/mine")
    post(follower).touch(SESSION)
    stage.isolate(follower)  # before the next ping: that touch is lost
    stage.run(TIMEOUT / 1000 + TICK)
    assert not has(stage.leader, "/mine")


def test_a_new_leader_begins_all_sessions_anew(stage: Stage) -> None:
    stage.create(stage.leader, "/mine", flags=1)
    stage.run(TIMEOUT / 1000 - 0.5)
    stage.leader.die()
    stage.run(TIMEOUT / 1000 - 0.5)
    assert has(stage.leader, "/mine")
    stage.run(2.0)
    assert not has(stage.leader, "/mine")


def test_a_commit_is_taken_for_the_write_of_that_number_that_waits_longest() -> None:
    """Also when it is the commit of another one, which the session left behind on another server."""
    waiting = WaitingWrites()
    left_behind, new, next_one = (Proposal(SESSION, AUTHOR, Delete(f"/{cxid}", -1), None, cxid) for cxid in (7, 7, 8))
    for each in (new, next_one):
        waiting.add(each)
    assert waiting.take(next_one) is None
    assert waiting.take(left_behind) is new
    assert waiting.take(new) is None
    assert waiting.take(next_one) is next_one

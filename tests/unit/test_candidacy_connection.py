"""Cases of docs/protocol.md, step by step without a loop: connection or session is lost, and the lease with it."""

from __future__ import annotations

import logging

import pytest
from aiozk import exc

from golea_async import Role
from golea_async._protocol.role import Ceased

from .life import (
    DELETED,
    DONE,
    FIRST_CZXID,
    Life,
    checked,
    created,
    czxid,
    deleted,
    listed,
    missing,
    node,
    path,
    shown,
)
from .placed import follower, leader
from .script import OTHER_SESSION, there

LOST = "lost its ZooKeeper session, and its znode with it"
AS_SOON = "as soon as ZooKeeper is back"
CANDIDATE, LEADER = Role.CANDIDATE, Role.LEADER


class TestReconnecting:
    def test_a_leader(self) -> None:
        life = leader()
        life.lose_connection()
        assert life.ceased() == []
        life.reconnect()
        life.asks("check /election + list | exists DONE (w) + get le_0 (w)")
        life.answer(checked(), listed(0, 1))
        life.show(DONE, missing())
        life.show(path(0), shown(0))
        life.waits()
        assert (life.ceased(), life.statuses()) == ([], [])

    def test_a_leader_without_a_lease(self) -> None:
        life = leader()
        life.lose_connection()
        life.lease(None)
        assert life.statuses() == [(CANDIDATE, "LeaseExpiredError")]
        life.reconnect()
        life.asks("check /election + check le_0 + list | exists DONE (w) + get le_0 (w)")
        life.me.view.lease = 2
        life.answer(checked(), checked(), listed(0))
        assert life.statuses() == [(LEADER, None)]
        assert life.status.fencing_token == czxid(0)

    def test_a_follower(self) -> None:
        life = follower()
        life.lose_connection()
        life.reconnect()
        life.asks("check /election | exists DONE (w) + get le_6 (w) + get le_7 (w)")
        life.answer(checked())
        life.show(DONE, missing())
        life.show(path(6), shown(6, session=OTHER_SESSION))
        life.show(path(7), shown(7))
        life.waits()
        assert life.statuses() == []

    def test_a_follower_whose_predecessor_has_gone(self) -> None:
        life = follower()
        life.lose_connection()
        life.reconnect()
        life.answer(checked())
        life.show(DONE, missing())
        life.show(path(6), missing())
        life.waits()  # for what shows the own znode
        life.show(path(7), shown(7))
        life.asks("list")
        life.answer(listed(7))
        assert life.statuses() == [(LEADER, None)]

    def test_one_that_is_gone_with_the_whole_election(self) -> None:
        """The path is another candidate's by now, in an election node that was made anew."""
        life = leader()
        life.lose_connection()
        life.reconnect()
        life.answer(checked(), listed(0, node_czxid=FIRST_CZXID + 50))
        assert life.ceased() == ["CandidateDeletedError"]
        life.asks("check le_0 + get le_0 + exists DONE + exists /election")
        life.answer(checked(), shown(0, session=OTHER_SESSION), missing(), there())
        assert life.ended() == ["CandidateDeletedError"]
        life.has_ended()

    def test_a_follower_whose_path_is_another_candidates(self) -> None:
        life = follower()
        life.lose_connection()
        life.reconnect()
        life.answer(checked())
        life.show(DONE, missing())
        life.show(path(6), shown(6, session=OTHER_SESSION))
        life.show(path(7), shown(7, session=OTHER_SESSION))
        life.asks("check le_7 + get le_7 + exists DONE + exists /election")

    def test_a_line_for_who_debugs_it(self, caplog: pytest.LogCaptureFixture) -> None:
        life = follower()
        life.event(DELETED, path(6))
        with caplog.at_level(logging.DEBUG, "golea_async.election"):
            life.lose_connection()
        assert caplog.messages == [f"candidate 'one' ({path(7)}) lost its connection"]

    def test_again_and_again(self) -> None:
        life = follower()
        for _ in range(3):
            life.lose_connection()
            life.reconnect()
            life.asks("check /election | exists DONE (w) + get le_6 (w) + get le_7 (w)")
            life.lose_connection()
            life.waits()
        assert life.statuses() == []


class TestTheSessionIsLost:
    def test_it_stands_again(self) -> None:
        life = leader()
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        assert life.ceased() == ["SessionExpiredError"]
        says = f"candidate 'one' ({path(0)}) {LOST}; it stands again {AS_SOON}"
        assert [str(each.cause) for each in life.told if isinstance(each, Ceased)] == [says]
        assert str(life.status.error) == says
        assert life.statuses() == [(CANDIDATE, "SessionExpiredError")]
        life.misses_its_znode(0)
        life.asks("create le_ | get /election + exists DONE (w)")
        life.join(created(9, OTHER_SESSION), node(children=1, newest=9), missing())
        assert life.statuses() == [(LEADER, None)]
        assert life.status.fencing_token == czxid(9)

    def test_the_former_znode_still_stands(self) -> None:
        life = follower()
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        life.answer(checked(), shown(7), there())
        life.asks("delete le_7")
        life.answer(deleted())
        life.asks("create le_ | get /election + exists DONE (w)")
        life.join(created(9, OTHER_SESSION), node(children=1, newest=9), missing())
        life.show(path(9), shown(9, session=OTHER_SESSION))
        life.resign()
        life.asks("delete le_9")  # the former one has gone
        life.answer(deleted())
        life.has_ended()

    def test_at_the_former_path_another_candidate_stands(self) -> None:
        life = follower()
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        assert str(life.status.error) == f"candidate 'one' ({path(7)}) {LOST}; it stands again {AS_SOON}"
        life.answer(checked(), shown(7, session=OTHER_SESSION + 1), there())
        life.asks("create le_ | get /election + exists DONE (w)")

    def test_and_it_must_not_stand_again(self) -> None:
        """Of the znode that is gone the error says nothing: the candidate has none."""
        life = follower()
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        life.answer(checked(missing()), missing(), there())
        life.answer(exc.NoAuth())
        assert life.ended() == ["NotAuthorizedError"]
        assert life.status.error is not None
        assert life.me.identity.candidate_id is None

    def test_the_former_znode_stays_while_work_is_stopping(self) -> None:
        life = leader()
        life.me.is_working = True
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        life.asks("create le_ | get /election + exists DONE (w)")
        life.join(created(1, OTHER_SESSION), node(newest=1), missing())
        life.watches("get le_0 (w) + get le_1 (w)")
        life.show(path(0), shown(0))
        assert life.status.now_following == path(0)
        life.show(path(1), shown(1, session=OTHER_SESSION))
        life.resign()
        life.me.is_working = False
        life.work_has_stopped()
        life.finds_its_znode(0)
        life.asks("delete le_0")
        life.answer(deleted())
        life.asks("delete le_1")  # its watch is silent, and that is a look

    def test_it_does_not_stand_again(self) -> None:
        life = leader(rejoins=False)
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        assert life.ended() == ["SessionExpiredError"]
        life.answer(checked(missing()), missing(), there())
        life.has_ended()

    def test_and_the_next_connection_before_it_knows(self) -> None:
        """It stands anew on the one after that."""
        life = leader()
        life.is_blocked = True
        life.step_down()
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        life.me.view.in_touch = False
        life.has_caught_up(is_recent=False)
        life.lose_connection()  # before the answer
        assert life.statuses()[-1] == (CANDIDATE, "SessionExpiredError")
        life.waits()
        life.is_blocked = False
        life.reconnect(OTHER_SESSION)
        life.misses_its_znode(0)
        life.asks("create le_ | get /election + exists DONE (w)")

    def test_before_anything_was_nominated(self) -> None:
        life = Life()
        life.begin()
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        assert life.statuses() == [(CANDIDATE, None), (CANDIDATE, "SessionExpiredError")]
        life.asks("create le_ | get /election + exists DONE (w)")

    def test_its_own_deletion_is_heard_first(self) -> None:
        """Which is also what a client hears of its own expiry."""
        life = leader()
        life.event(DELETED, path(0))
        life.asks("check le_0 + get le_0 + exists DONE + exists /election")
        life.lose_connection()
        life.reconnect(OTHER_SESSION)
        assert life.statuses() == [(CANDIDATE, "SessionExpiredError")]


class TestTheLease:
    def test_it_lapses_and_comes_back(self) -> None:
        life = leader()
        life.lease(None)
        assert life.ceased() == ["LeaseExpiredError"]
        assert life.statuses() == [(CANDIDATE, "LeaseExpiredError")]
        assert life.me.belief.held == path(0)
        life.lease(2)
        assert life.statuses() == [(LEADER, None)]

    def test_it_lapses_unnoticed(self) -> None:
        """The clock has told everybody who asked; a new stretch is another leadership."""
        life = leader()
        life.lease(2)
        assert life.statuses() == [(CANDIDATE, "LeaseExpiredError"), (LEADER, None)]

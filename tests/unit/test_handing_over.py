"""A candidate that gives its place away, step by step; and what operators ask of it."""

from __future__ import annotations

from typing import Any

import pytest
from aiozk import exc

from golea_async import CandidateDeletedError, NotAuthorizedError, Role
from golea_async._protocol.appeal import read_appeal
from golea_async._protocol.oddities import strange_request, used_up_numbers
from golea_async._protocol.refusals import THROTTLED
from golea_async._protocol.role import Moved
from golea_async._protocol.steps import Pause, WorkStopped
from golea_async._protocol.znodes import REFUSED_FROM
from golea_async._zookeeper.wire import Found, response_error

from .life import (
    CREATED,
    DATA_CHANGED,
    DELETED,
    DONE,
    REQUEST,
    Life,
    asks_for,
    checked,
    created,
    czxid,
    deleted,
    listed,
    missing,
    moved,
    path,
    shown,
)
from .placed import follower, leader
from .script import OTHER_SESSION, RESOURCE, failed, stat, there

CANDIDATE, FOLLOWER, LEADER = Role.CANDIDATE, Role.FOLLOWER, Role.LEADER


def for_operator(version: int) -> str:
    return f"multi[check step_down at {version}, check le_5, create le_, delete le_0]"


def found(number: int) -> Found:
    return Found(stat(czxid(number), owner=0x10))


def stands_behind(life: Life, own: int, before: int) -> None:
    """See it take its position there."""
    life.watches(f"get le_{before} (w) + get le_{own} (w)")
    life.show(path(before), shown(before, session=OTHER_SESSION))
    life.show(path(own), shown(own))
    life.waits()


class TestSteppingDown:
    def test_behind_the_others(self) -> None:
        life = leader()
        life.step_down()
        assert life.ceased() == ["HandedOverError"]
        assert life.statuses() == [(CANDIDATE, None)]
        assert life.me.belief.held is None
        life.asks("multi[create le_, delete le_0]")
        life.event(DELETED, path(0))  # comes before the reply, and says nothing
        life.answer(moved(8))
        life.asks("exists le_8")
        assert not life.moves()
        life.answer(found(8))
        assert life.moves() == [None]
        stands_behind(life, 8, 7)
        assert life.status.candidate_id == path(8)
        assert life.statuses() == [(FOLLOWER, None)]
        assert life.me.unneeded == [path(0)]

    def test_again(self) -> None:
        life = follower()
        life.step_down()
        life.answer(moved(9))
        life.answer(found(9))
        stands_behind(life, 9, 8)
        life.step_down()
        life.answer(moved(11))
        life.answer(found(11))
        assert life.me.unneeded == [path(7), path(6), path(9), path(8)]

    def test_alone_it_leads_again_with_a_new_token(self) -> None:
        life = leader()
        life.step_down()
        life.answer(moved(1))
        life.answer(found(1))
        life.asks("list | get le_1 (w)")
        life.answer(listed(1))
        assert life.statuses() == [(CANDIDATE, None), (LEADER, None)]
        assert life.status.fencing_token == czxid(1)

    def test_as_a_follower(self) -> None:
        life = follower()
        life.step_down()
        assert life.statuses() == [(CANDIDATE, None)]
        life.asks("multi[create le_, delete le_7]")
        life.answer(moved(9))
        life.answer(found(9))
        assert life.me.unneeded == [path(7), path(6)]  # whom it has followed it watches no more
        stands_behind(life, 9, 8)

    def test_while_it_joins(self) -> None:
        """Whoever is nominated then is at the end."""
        life = Life()
        life.begin()
        life.step_down()
        life.join(created(7))
        assert life.moves() == [None]

    def test_the_work_is_stopped_first(self) -> None:
        life = leader()
        life.me.is_working = True
        life.step_down()
        assert isinstance(life.step, WorkStopped)
        life.event(DATA_CHANGED, REQUEST)  # other news
        life.me.is_working = False
        life.work_has_stopped()
        life.asks("multi[create le_, delete le_0]")

    def test_what_comes_before_it_is_sent_is_heard_first(self) -> None:
        life = leader()
        life.is_blocked = True
        life.step_down()
        life.resign()
        life.has_caught_up(is_recent=True)
        assert life.ended() == [None]
        life.has_caught_up(is_recent=True)
        life.asks("delete le_0")

    @pytest.mark.parametrize("news", ["deleted", "over", "resigned", "lost"])
    def test_what_comes_while_the_work_stops(self, news: str) -> None:
        life = leader()
        life.me.is_working = True
        life.step_down()
        match news:
            case "deleted":
                life.event(DELETED, path(0))
                life.asks("check le_0 + get le_0 + exists DONE + exists /election")
                life.answer(checked(missing()), missing(), missing(), there())
                assert life.ended() == ["CandidateDeletedError"]
            case "over":
                life.event(CREATED, DONE)
                assert life.ended() == ["ElectionOverError"]
            case "resigned":
                life.resign()
                assert life.ended() == [None]
            case "lost":
                life.reconnect(session=0x30)
                assert life.statuses()[-1] == (CANDIDATE, "SessionExpiredError")
                life.asks("create le_ | get /election + exists DONE (w)")
                return
        life.me.is_working = False
        life.work_has_stopped()

    def test_it_does_not_lead_beside_work_of_before(self) -> None:
        life = leader()
        life.me.view.is_held_back = True  # a body that has stepped down itself goes on
        life.step_down()
        life.answer(moved(1))
        life.answer(found(1))
        life.answer(listed(1))
        life.show(path(1), shown(1))
        life.waits()
        assert life.me.belief.held == path(1)
        assert life.statuses() == [(CANDIDATE, None)]
        life.me.view.is_held_back = False
        life.lease(1)
        assert life.statuses() == [(LEADER, None)]

    def test_what_was_not_read_is_read_before_the_own_znode_is_deleted(self) -> None:
        life = leader()
        life.is_blocked = True
        life.step_down()
        life.has_caught_up(is_recent=False)
        life.asks("check le_0 + exists /election")
        life.answer(checked(), there())
        life.has_caught_up(is_recent=True)
        life.asks("multi[create le_, delete le_0]")

    def test_a_number_of_the_last_ones(self) -> None:
        life = leader()
        life.step_down()
        life.answer(moved(REFUSED_FROM))
        life.answer(found(REFUSED_FROM))
        assert life.ended() == ["ElectionError"]
        life.asks(f"check le_{REFUSED_FROM} + get le_{REFUSED_FROM} (w) + exists /election")

    def test_the_number_behind_the_last_one(self) -> None:
        life = leader()
        life.step_down()
        life.answer(failed(2, 0, exc.NodeExists()))
        assert [str(each.refusal) for each in life.told if isinstance(each, Moved)] == [
            f"candidate 'one' ({path(0)}) cannot step down: {used_up_numbers(RESOURCE)}"
        ]
        assert life.statuses() == [(CANDIDATE, None), (LEADER, None)]

    def test_resigning_while_it_moves(self) -> None:
        life = leader()
        life.step_down()
        life.resign()
        assert life.ended() == [None]
        life.answer(moved(8))
        life.answer(found(8))
        life.finds_its_znode(8)
        life.asks("delete le_8")
        life.answer(deleted())
        life.has_ended()


class TestAnOperatorAsksWhileItStepsDown:
    """What is asked counts before it moves: the operator names the znode that it has now."""

    def asked_while_work_stops(self, request: Any) -> Life:
        life = leader()
        life.me.is_working = True
        life.step_down()
        life.event(CREATED, REQUEST)
        life.asks("get step_down")
        life.answer(request)
        return life

    def test_to_leave(self) -> None:
        life = self.asked_while_work_stops(asks_for(0, leave=True))
        assert life.ended() == ["CandidateDeletedError"]
        assert isinstance(life.step, WorkStopped)
        life.me.is_working = False
        life.work_has_stopped()
        life.asks("delete le_0")

    def test_to_make_way(self) -> None:
        life = self.asked_while_work_stops(asks_for(0, to=5, version=1))
        life.me.is_working = False
        life.work_has_stopped()
        life.asks(for_operator(1))
        life.answer(moved(8, conditions=2))
        life.answer(found(8))
        assert life.moves() == [None]

    def test_others_for_something(self) -> None:
        life = self.asked_while_work_stops(asks_for(3, to=5))
        life.me.is_working = False
        life.work_has_stopped()
        life.asks("multi[create le_, delete le_0]")

    def test_what_is_asked_next_does_not_go_unseen(self) -> None:
        """The watch is set before it reads; and again where a request has just been replaced by another one."""
        life = leader()
        life.me.is_working = True
        life.step_down()
        watches = life.request_watches
        life.event(CREATED, REQUEST)
        assert life.request_watches == watches + 1
        life.show(REQUEST, there())
        life.answer(asks_for(3, leave=True))
        life.event(DELETED, REQUEST)
        assert life.request_watches == watches + 2
        life.show(REQUEST, there())
        life.asks("get step_down")
        life.answer(asks_for(0, leave=True))
        assert life.ended() == ["CandidateDeletedError"]

    def test_nobody_does(self) -> None:
        """No watch is set for that: a candidate that joins and steps down costs what it did."""
        life = follower()
        life.lose_connection()
        life.step_down()
        watches = life.request_watches
        life.reconnect()
        assert life.request_watches == watches


class TestTheNewZnodeIsDeletedAtOnce:
    """Nothing shows it any more."""

    def test_before_it_was_looked_at(self) -> None:
        life = leader()
        life.step_down()
        life.answer(moved(8))
        life.answer(missing())
        assert life.moves() == [None]
        life.watches("get le_7 (w) + get le_8 (w)")
        life.show(path(7), shown(7, session=OTHER_SESSION))
        life.show(path(8), missing())
        life.answer(checked(missing()), missing(), missing(), there())
        assert life.ended() == ["CandidateDeletedError"]
        assert life.me.is_withdrawn

    def test_who_stands_anew_is_not_alone_where_others_were_before_it(self) -> None:
        life = follower()
        life.step_down()
        life.answer(moved(9))
        life.answer(found(9))
        self.deleted(life, 9)
        anew = Life("two", claims=life.claims)
        anew.begin()
        anew.asks("create le_ | exists DONE (w)")

    def test_who_stands_anew_may_be_alone_where_nobody_was(self) -> None:
        life = leader()
        life.step_down()
        life.answer(moved(1))
        life.answer(found(1))
        life.answer(listed(1))
        self.deleted(life, 1)
        anew = Life("two", claims=life.claims)
        anew.begin()
        anew.asks("create le_ | get /election + exists DONE (w)")

    def deleted(self, life: Life, number: int) -> None:
        life.event(DELETED, path(number))
        life.answer(checked(missing()), missing(), missing(), there())
        assert life.ended() == ["CandidateDeletedError"]


class TestZooKeeperRefuses:
    def test_without_permission_it_leads_on(self) -> None:
        life = leader()
        life.step_down()
        life.answer(failed(2, 0, exc.NoAuth()))
        assert life.moves() == ["NotAuthorizedError"]
        (told,) = [each for each in life.told if isinstance(each, Moved)]
        assert life.statuses() == [(CANDIDATE, None), (LEADER, None)]
        assert life.status.fencing_token == czxid(0)
        assert isinstance(told.refusal, NotAuthorizedError)
        assert told.refusal.path == RESOURCE
        assert (told.refusal.resource, told.refusal.candidate_id) == (RESOURCE, path(0))

    def test_of_its_own_znode_nothing_is_shown(self) -> None:
        """Nothing would tell then whether it is still there, so it does not move, nor stand."""
        life = follower()
        life.lose_connection()
        life.step_down()
        life.reconnect()
        life.asks("check le_7 + get le_7 (w) + exists /election")
        life.answer(checked(), exc.NoAuth(), there())
        (told,) = [each for each in life.told if isinstance(each, Moved)]
        assert isinstance(told.refusal, NotAuthorizedError)
        assert str(told.refusal) == (
            f"candidate 'one' ({path(7)}) cannot step down: this client may not read its own znodes"
        )
        assert life.ended() == ["NotAuthorizedError"]

    def test_what_was_not_done_is_done_later(self) -> None:
        life = leader()
        life.step_down()
        life.answer(response_error(THROTTLED))
        assert isinstance(life.step, Pause)
        life.time_is_over()
        life.asks("multi[create le_, delete le_0]")

    def test_the_own_znode_is_gone(self) -> None:
        life = leader()
        life.step_down()
        life.answer(failed(2, 1, missing()))
        life.asks("check le_0 + get le_0 + exists DONE + exists /election")
        life.answer(checked(missing()), missing(), missing(), there())
        assert life.ended() == ["CandidateDeletedError"]

    def test_the_election_is_gone(self) -> None:
        life = leader()
        life.step_down()
        life.answer(failed(2, 0, missing()))
        assert life.ended() == ["ElectionOverError"]

    def test_an_error_that_leaves_doubt(self) -> None:
        life = leader()
        life.step_down()
        life.answer(exc.MarshallingError())
        life.asks("check /election + get le_0 + exists DONE + exists /election")
        life.answer(checked(), shown(0), missing(), there())
        assert life.moves() == ["ElectionError"]
        assert life.statuses() == [(CANDIDATE, None), (LEADER, None)]

    def test_an_error_that_leaves_doubt_and_it_seemed_to_be_gone(self) -> None:
        """Behind a barrier it was seen: that counts."""
        life = leader()
        life.step_down()
        life.event(DELETED, path(0))
        life.answer(exc.MarshallingError())
        life.answer(checked(), shown(0), missing(), there())
        assert life.statuses() == [(CANDIDATE, None), (LEADER, None)]
        life.watches("get le_0 (w)")


class TestTheReplyIsLost:
    def moving(self) -> Life:
        life = leader()
        life.step_down()
        life.lose_connection()
        life.waits()
        life.reconnect()
        life.asks("check /election + get le_0 + exists DONE + exists /election")
        return life

    def test_it_has_not_moved_and_does_so_now(self) -> None:
        life = self.moving()
        life.answer(checked(), shown(0), missing(), there())
        life.asks("check le_0 + get le_0 (w) + exists /election")  # on this connection nothing is watched
        life.answer(checked(), shown(0), there())
        life.asks("multi[create le_, delete le_0]")

    def test_it_has_moved(self) -> None:
        life = self.moving()
        life.answer(checked(), missing(), missing(), there())
        life.asks("check /election + list")
        life.answer(checked(), listed(7, 8))
        life.asks("get le_7 + get le_8")
        life.answer(shown(7, session=OTHER_SESSION), shown(8))
        assert life.moves() == [None]
        assert life.me.own is not None
        assert (life.me.own.path, life.me.own.czxid) == (path(8), czxid(8))

    def test_it_has_moved_and_the_answer_to_the_look_is_lost(self) -> None:
        life = leader()
        life.step_down()
        life.answer(moved(8))
        life.lose_connection()
        life.reconnect()
        life.answer(checked(), missing(), missing(), there())
        life.answer(checked(), listed(8))
        life.asks("get le_8")
        life.answer(shown(8))
        assert life.me.own is not None
        assert life.me.own.path == path(8)

    @pytest.mark.parametrize(
        ("done", "parent", "error"),
        [
            (missing(), there(), "CandidateDeletedError"),
            (there(), there(), "ElectionOverError"),
            (missing(), missing(), "ElectionOverError"),
        ],
    )
    def test_it_was_deleted(self, done: Any, parent: Any, error: str) -> None:
        life = self.moving()
        life.answer(checked(), missing(), done, parent)
        life.answer(checked(), listed(7))
        life.answer(shown(7, session=OTHER_SESSION))
        assert life.ended() == [error]

    def test_and_it_resigns(self) -> None:
        life = leader()
        life.step_down()
        life.lose_connection()
        life.resign()
        life.reconnect()
        life.misses_its_znode(0)
        life.asks("check /election + list")
        life.answer(checked(), listed(8))
        life.answer(shown(8))
        life.finds_its_znode(8)
        life.asks("delete le_8")
        life.answer(deleted())
        life.has_ended()

    def test_and_the_session_is_lost(self) -> None:
        life = leader()
        life.step_down()
        life.lose_connection()
        life.reconnect(session=0x30)
        life.asks("check le_0 + get le_0 (w) + exists /election")  # a client may give up a session that lives
        life.answer(checked(missing()), missing(), there())
        life.asks("create le_ | get /election + exists DONE (w)")
        assert life.statuses()[-1] == (CANDIDATE, "SessionExpiredError")

    def test_nobody_drives_it_any_more(self) -> None:
        life = leader()
        life.step_down()
        life.cancel()
        life.withdraw_again()
        life.misses_its_znode(0)
        life.asks("check /election + list")  # what it may have moved to must not stay


class TestAnOperatorAsks:
    def test_the_leader(self) -> None:
        life = leader()
        life.hear_of_request(asks_for(0, to=5, version=1))
        assert life.ceased() == ["HandedOverError"]
        assert life.statuses() == [(CANDIDATE, "HandedOverError")]
        life.asks(for_operator(1))
        life.answer(moved(8, conditions=2))
        life.answer(found(8))
        stands_behind(life, 8, 7)
        assert not life.moves()  # nobody waits for that

    def test_for_nobody_in_particular(self) -> None:
        life = leader()
        life.hear_of_request(asks_for(0, version=1))
        life.asks("multi[check step_down at 1, create le_, delete le_0]")
        life.answer(moved(8, conditions=1))
        life.answer(found(8))
        stands_behind(life, 8, 7)

    def test_a_follower(self) -> None:
        life = follower()
        life.hear_of_request(asks_for(7, to=8))
        assert life.statuses() == [(CANDIDATE, "HandedOverError")]
        life.asks("multi[check step_down at 0, check le_8, create le_, delete le_7]")

    def test_and_zookeeper_does_not_let_it(self) -> None:
        life = leader()
        life.hear_of_request(asks_for(0, to=5, version=1))
        life.answer(failed(4, 2, exc.NoAuth()))
        (notice,) = life.notices()
        assert notice.startswith(
            f"candidate 'one' ({path(0)}) was asked by ops:1 to step down, and cannot: ZooKeeper does not let this "
            f"client work on {RESOURCE}: "
        )
        assert life.statuses()[-1] == (LEADER, None)

    def test_and_takes_it_back_when_its_application_wants_the_same(self) -> None:
        life = leader()
        life.is_blocked = True
        life.hear_of_request(asks_for(0, to=5, version=1))
        life.step_down()
        life.event(DELETED, REQUEST)
        life.has_caught_up(is_recent=True)
        life.has_caught_up(is_recent=True)
        life.asks("multi[create le_, delete le_0]")

    @pytest.mark.parametrize("place", [0, 1], ids=["the operator", "the target"])
    @pytest.mark.parametrize("error", [exc.NoNode(), exc.BadVersion()])
    def test_and_is_gone(self, place: int, error: Exception) -> None:
        life = leader()
        life.hear_of_request(asks_for(0, to=5, version=1))
        life.answer(failed(4, place, error))
        assert life.statuses() == [(CANDIDATE, "HandedOverError"), (LEADER, None)]
        assert life.status.fencing_token == czxid(0)
        life.asks("get step_down")
        life.answer(asks_for(0, to=5, version=1))
        life.waits()  # what it was asked once it does not do twice
        life.event(DATA_CHANGED, REQUEST)
        life.show(REQUEST, there())
        life.answer(asks_for(0, to=5, version=2))
        life.asks(for_operator(2))

    def test_and_is_gone_while_the_work_stops(self) -> None:
        life = leader()
        life.me.is_working = True
        life.hear_of_request(asks_for(0, to=5, version=1))
        life.event(DELETED, REQUEST)
        assert life.statuses() == [(CANDIDATE, "HandedOverError"), (LEADER, None)]

    def test_somebody_else(self) -> None:
        life = leader()
        life.hear_of_request(asks_for(3, to=5))
        life.waits()
        assert life.statuses() == []

    @pytest.mark.parametrize(
        "says", [b"", b"{", b"[]", b'{"candidates": 7, "by": "x"}', b'{"candidates": ["a"]}', b"\xff"]
    )
    def test_what_is_not_understood(self, says: bytes) -> None:
        life = leader()
        life.hear_of_request(asks_for(0)._replace(data=says))
        life.waits()
        assert life.status.role is LEADER
        assert life.notices() == [strange_request(REQUEST, "it says nothing that is understood")]

    def test_what_cannot_be_read(self) -> None:
        life = leader()
        life.hear_of_request(exc.NoAuth())
        life.waits()
        assert life.status.role is LEADER
        assert life.notices() == [strange_request(REQUEST, f"it cannot be read ({exc.NoAuth()})")]

    def test_what_has_gone_by_then(self) -> None:
        life = leader()
        life.hear_of_request(missing())
        life.waits()
        assert life.status.role is LEADER
        assert life.notices() == []

    def test_when_zookeeper_has_no_time(self) -> None:
        life = leader()
        life.hear_of_request(response_error(THROTTLED))
        assert isinstance(life.step, Pause)
        life.time_is_over()
        life.asks("get step_down")

    def test_it_to_leave(self) -> None:
        life = leader()
        life.me.is_working = True
        life.hear_of_request(asks_for(0, leave=True))
        assert life.ceased() == life.ended() == ["CandidateDeletedError"]
        assert isinstance(life.status.error, CandidateDeletedError)
        assert "ops:1" in str(life.status.error)
        life.me.is_working = False
        life.work_has_stopped()
        life.asks("delete le_0")

    def test_across_a_new_connection(self) -> None:
        """It does not lead for a moment between the two: its transaction tells whether the operator still asks."""
        life = leader()
        life.me.is_working = True
        life.hear_of_request(asks_for(0, to=5, version=1))
        life.lose_connection()
        life.reconnect()
        life.me.is_working = False
        life.work_has_stopped()
        life.finds_its_znode(0)
        life.asks(for_operator(1))
        assert life.statuses() == [(CANDIDATE, "HandedOverError")]

    def test_no_join_waits_for_the_watch(self) -> None:
        life = follower()
        assert life.request_watches == 1
        life.event(DATA_CHANGED, path(6))
        assert life.request_watches == 1


def test_an_appeal_is_read_as_it_was_written() -> None:
    for shown_appeal in (asks_for(3, 4, to=5), asks_for(0, leave=True)):
        appeal = read_appeal(shown_appeal.data)
        assert appeal is not None
        assert appeal.encode() == shown_appeal.data

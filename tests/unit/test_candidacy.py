"""Every case of docs/protocol.md, step by step: the coroutine of a candidate without a socket, a clock or a loop."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiozk import exc

from golea_async import NotAuthorizedError, Role
from golea_async._protocol.oddities import (
    lasting_candidate,
    other_recipes,
    scarce_numbers,
    smaller_token,
    used_up_numbers,
)
from golea_async._protocol.refusals import THROTTLED
from golea_async._protocol.role import Ceased, Notice
from golea_async._protocol.steps import Known, Pause, WorkStopped
from golea_async._protocol.znodes import REFUSED_FROM, WARNED_FROM
from golea_async._zookeeper.wire import response_error

from .life import (
    CREATED,
    DATA_CHANGED,
    DELETED,
    DONE,
    FIRST_CZXID,
    REQUEST,
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
from .script import NODE_CZXID, OTHER_SESSION, RESOURCE, SESSION, there

LOST = "lost its ZooKeeper session, and its znode with it"
AS_SOON = "as soon as ZooKeeper is back"
CANDIDATE, FOLLOWER, LEADER, NONE = Role.CANDIDATE, Role.FOLLOWER, Role.LEADER, Role.NONE


def leader(**settings: Any) -> Life:
    """One that was alone when it joined, with number 0."""
    life = Life(**settings)
    life.begin()
    life.join(created(0), node(children=1), missing())
    life.watches("get le_0 (w)")
    life.show(path(0), shown(0))
    life.waits()
    life.statuses()
    return life


def follower(**settings: Any) -> Life:
    """Number 7, behind number 6."""
    life = Life(**settings)
    life.begin()
    life.join(created(7), node(newest=7), missing())
    life.watches("get le_6 (w) + get le_7 (w)")
    life.show(path(6), shown(6, session=OTHER_SESSION))
    life.show(path(7), shown(7))
    life.waits()
    life.statuses()
    return life


class TestJoining:
    def test_as_the_first(self) -> None:
        life = Life()
        life.begin()
        life.asks("create le_ | get /election + exists DONE (w)")
        life.join(created(0), node(children=1), missing())
        assert life.statuses() == [(CANDIDATE, None), (LEADER, None)]
        assert life.status.fencing_token == czxid(0)
        life.watches("get le_0 (w)")
        life.waits()

    def test_as_the_first_with_a_later_number(self) -> None:
        life = Life()
        life.begin()
        life.join(created(7), node(children=1, newest=7), missing())
        assert life.statuses()[-1] == (LEADER, None)

    def test_beside_a_child_that_is_no_candidate(self) -> None:
        """Two children and no number before the own one: that takes a list."""
        life = Life()
        life.begin()
        life.join(created(0), node(children=2), missing())
        life.asks("list | get le_0 (w)")
        life.answer(listed(0, others=["stranger"]))
        assert life.statuses()[-1] == (LEADER, None)

    def test_behind_a_candidate_that_lives_takes_no_list(self) -> None:
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), missing())
        life.watches("get le_6 (w) + get le_7 (w)")
        life.show(path(6), shown(6, session=OTHER_SESSION))
        assert life.statuses() == [(CANDIDATE, None), (FOLLOWER, None)]
        assert life.status.now_following == path(6)
        life.waits()

    def test_where_the_number_before_is_missing(self) -> None:
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), missing())
        life.watches("get le_6 (w) + get le_7 (w)")
        life.show(path(6), missing())
        life.asks("list")
        life.answer(listed(3, 7, 9))
        assert life.status.now_following == path(3)
        life.watches("get le_3 (w)")
        life.show(path(3), shown(3, session=OTHER_SESSION))
        life.waits()
        assert life.statuses() == [(CANDIDATE, None), (FOLLOWER, None)]

    def test_behind_one_that_goes_before_it_is_watched(self) -> None:
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), missing())
        life.watches("get le_6 (w) + get le_7 (w)")
        life.show(path(6), missing())
        life.answer(listed(3, 7))
        life.watches("get le_3 (w)")
        life.show(path(3), missing())
        life.asks("list")
        life.answer(listed(7))
        assert life.statuses()[-2:] == [(FOLLOWER, None), (LEADER, None)]

    def test_as_the_first_without_a_lease(self) -> None:
        """On aiozk's client a nomination alone renews no lease: it leads as soon as a keep-alive has."""
        life = Life()
        life.begin(lease=None)
        life.join(created(0), node(children=1), missing())
        assert life.me.belief.held == path(0)
        life.watches("get le_0 (w)")
        assert life.statuses() == [(CANDIDATE, None)]
        life.lease(1)
        assert life.statuses() == [(LEADER, None)]

    def test_without_an_election_node(self) -> None:
        life = Life()
        life.begin()
        life.join(missing(), missing(), missing())
        assert life.ended() == ["ElectionNotFoundError"]
        assert life.me.withdrawal_error is None
        life.has_ended()

    @pytest.mark.parametrize(
        ("refusal", "error", "says"),
        [
            (missing(), "ElectionNotFoundError", f"there is no election node {RESOURCE}: make it with "),
            (exc.NoAuth(), "NotAuthorizedError", f"ZooKeeper does not let this client work on {RESOURCE}: "),
            (exc.NodeExists(), "ElectionError", used_up_numbers(RESOURCE)),
            (
                exc.NoChildrenForEphemerals(),
                "ElectionError",
                f"{RESOURCE} is an ephemeral znode, which cannot have candidates: use a persistent one",
            ),
            (exc.BadArguments(), "ElectionError", f"ZooKeeper refused a request on {RESOURCE}: "),
        ],
    )
    def test_where_nobody_can(self, refusal: Exception, error: str, says: str) -> None:
        life = Life()
        life.begin()
        life.answer(refusal)
        assert life.ended() == [error]
        assert str(life.status.error).startswith(says)
        assert life.status.error is not None
        assert (life.status.error.resource, life.status.error.candidate_id) == (RESOURCE, None)
        assert life.me.is_withdrawn

    def test_where_the_election_node_may_not_be_read(self) -> None:
        """Whether it is alone it does not know then: that takes a list."""
        life = Life()
        life.begin()
        life.join(created(0), exc.NoAuth(), missing())
        life.asks("list | get le_0 (w)")

    def test_at_the_end_of_an_election(self) -> None:
        life = Life()
        life.begin()
        life.join(created(4), node(newest=4), there())
        assert life.ended() == ["ElectionOverError"]
        life.waits()  # for what shows the own znode: it has asked for that
        life.show(path(4), shown(4))
        life.asks("delete le_4")
        life.answer(deleted())
        life.has_ended()

    def test_where_the_list_shows_done(self) -> None:
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), missing())
        life.watches("get le_6 (w) + get le_7 (w)")
        life.show(path(6), missing())
        life.answer(listed(3, 7, others=["DONE"]))
        assert life.ended() == ["ElectionOverError"]

    def test_while_the_client_is_out_of_touch(self) -> None:
        life = Life()
        life.begin()
        life.lose_connection()
        life.waits()
        life.reconnect()
        life.asks("check /election + list")  # the nomination may have been on its way

    def test_resigned_before_there_was_a_connection(self) -> None:
        life = Life()
        life.me.view.in_touch = False
        life._resume()
        life.waits()
        life.resign()
        life.has_ended()
        assert life.me.is_withdrawn

    def test_resigned_before_the_reply(self) -> None:
        life = Life()
        life.begin()
        life.resign()
        assert life.ended() == [None]
        life.join(created(0), node(children=1), missing())
        life.finds_its_znode(0)
        life.asks("delete le_0")
        life.answer(deleted())
        life.has_ended()
        assert (LEADER, None) not in life.statuses()


class TestManyOnOneClient:
    def test_a_second_one_does_not_ask_for_the_election_node(self) -> None:
        first = leader()
        second = Life("two", claims=first.claims)
        second.begin()
        second.asks("create le_ | exists DONE (w)")
        second.join(created(1), done=Known(False))  # the runner shares the watch on DONE
        second.watches("get le_0 (w) + get le_1 (w)")
        second.show(path(0), Known(True))
        assert second.status.now_following == path(0)

    def test_a_shared_watch_that_says_nothing(self) -> None:
        """The request of another one for that watch was refused: ask oneself."""
        life = follower()
        life.event(DELETED, path(6))
        life.answer(listed(5, 7))
        life.watches("get le_5 (w)")
        life.show(path(5), Known(None))
        life.watches("get le_5 (w)")

    def test_behind_one_that_has_resigned_lists_at_once(self) -> None:
        first = leader()
        first.resign()
        first.asks("delete le_0")
        first.answer(deleted())
        second = Life("two", claims=first.claims)
        second.begin()
        second.join(created(1), node(newest=1), missing())
        second.asks("list | get le_1 (w)")

    def test_a_follower_that_stands_again_is_not_alone(self) -> None:
        first = follower()
        first.resign()
        first.answer(deleted())
        second = Life("two", claims=first.claims)
        second.begin()
        second.asks("create le_ | exists DONE (w)")

    def test_one_that_was_deleted_leaves_nobody_behind(self) -> None:
        first = leader()
        first.event(DELETED, path(0))
        first.answer(checked(missing()), missing(), missing(), there())
        second = Life("two", claims=first.claims)
        second.begin()
        second.asks("create le_ | get /election + exists DONE (w)")

    def test_while_others_are_nominated_nobody_is_alone(self) -> None:
        first = Life()
        second, third = Life("two", claims=first.claims), Life("three", claims=first.claims)
        first.begin()
        second.begin()
        first.answer(exc.NoAuth())  # one nomination has ended, and one goes on
        third.begin()
        third.asks("create le_ | exists DONE (w)")


class TestThePredecessorGoes:
    def test_and_it_was_the_last(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.asks("list")  # in the very call that hears of it
        life.answer(listed(7, 8))
        assert life.statuses() == [(LEADER, None)]
        assert life.status.was_following == path(6)
        life.waits()

    def test_with_the_list_travels_a_keep_alive_where_there_is_no_lease(self) -> None:
        life = follower()
        life.lease(None)
        life.event(DELETED, path(6))
        life.asks("check le_7 + list")

    def test_and_another_one_is_before_it(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.answer(listed(2, 7))
        assert life.statuses() == [(FOLLOWER, None)]
        assert (life.status.now_following, life.status.was_following) == (path(2), path(6))
        life.watches("get le_2 (w)")

    def test_its_data_are_changed(self) -> None:
        """That has used up the watch."""
        life = follower()
        life.event(DATA_CHANGED, path(6))
        life.answer(listed(6, 7))
        assert life.statuses() == []
        life.watches("get le_6 (w)")

    def test_and_the_election_with_it(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.answer(missing())
        life.asks("check le_7 + get le_7 + exists DONE + exists /election")
        life.answer(checked(missing()), missing(), missing(), missing())
        assert life.ended() == ["ElectionOverError"]

    def test_before_the_reply_that_shows_it(self) -> None:
        """An event can come before the reply, which then says nothing any more."""
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), missing())
        life.event(DELETED, path(6))
        life.show(path(6), shown(6, session=OTHER_SESSION))
        life.asks("list")
        assert life.statuses() == [(CANDIDATE, None)]

    def test_while_a_list_is_on_its_way(self) -> None:
        """The election ends in the meantime: what the list shows is not true any more."""
        life = follower()
        life.event(DELETED, path(6))
        life.event(CREATED, DONE)
        life.answer(listed(7))
        assert life.ended() == ["ElectionOverError"]
        assert life.statuses() == []


class TestResigning:
    def test_as_the_leader(self) -> None:
        life = leader()
        life.resign()
        assert (life.ceased(), life.ended()) == ([None], [None])
        life.asks("delete le_0")  # in the very call
        assert not life.me.is_withdrawn
        life.answer(deleted())
        life.has_ended()
        assert life.me.is_withdrawn

    def test_the_deletion_waits_for_the_work(self) -> None:
        life = leader()
        life.me.is_working = True
        life.resign()
        assert life.ceased() == [None]
        assert isinstance(life.step, WorkStopped)
        life.me.is_working = False
        life.work_has_stopped()
        life.asks("delete le_0")

    def test_behind_a_lost_connection_it_looks_first(self) -> None:
        life = leader()
        life.resign()
        life.lose_connection()
        life.waits()
        life.reconnect()
        life.finds_its_znode(0)
        life.asks("delete le_0")
        life.answer(missing())
        life.has_ended()

    def test_another_candidates_znode_at_its_path_stays(self) -> None:
        life = leader()
        life.resign()
        life.lose_connection()
        life.reconnect()
        life.answer(checked(), shown(0, session=OTHER_SESSION), there())
        life.has_ended()
        assert life.me.is_withdrawn

    def test_without_permission(self) -> None:
        life = leader()
        life.resign()
        life.answer(exc.NoAuth())
        life.has_ended()
        assert type(life.me.withdrawal_error).__name__ == "NotAuthorizedError"
        life.withdraw_again()
        life.finds_its_znode(0)
        life.answer(deleted())
        life.has_ended()
        assert life.me.is_withdrawn

    def test_when_something_was_not_read_it_is_read_first(self) -> None:
        life = leader()
        life.is_blocked = True
        life.resign()
        life.event(DELETED, path(0))
        life.has_caught_up(is_recent=True)
        life.has_ended()
        assert life.me.is_withdrawn

    def test_after_a_pause_it_looks_first(self) -> None:
        life = leader()
        life.is_blocked = True
        life.resign()
        life.has_caught_up(is_recent=False)
        life.asks("check le_0 + exists /election")  # its watch is set: an event comes ahead of the answer
        life.event(DELETED, path(0))
        life.answer(checked(missing()), missing())
        life.has_caught_up(is_recent=True)
        life.has_ended()

    def test_what_may_not_be_read_is_deleted_where_the_election_node_is_older(self) -> None:
        life = leader()
        life.lose_connection()
        life.resign()
        life.reconnect()
        life.answer(checked(), exc.NoAuth(), there())
        life.asks("delete le_0")

    def test_while_it_is_out_of_touch(self) -> None:
        life = follower()
        life.lose_connection()
        life.resign()
        life.waits()
        life.reconnect()
        life.asks("check le_7 + get le_7 (w) + exists /election")


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


class TestTheReplyToANominationIsLost:
    def lose(self, life: Life) -> None:
        life.begin()
        life.lose_connection()
        life.reconnect()
        life.asks("check /election + list")

    def test_it_has_worked(self) -> None:
        life = Life()
        self.lose(life)
        life.answer(checked(), listed(3, 4))
        life.asks("get le_3 + get le_4")
        life.answer(shown(3, b"other", OTHER_SESSION), shown(4))
        life.asks("check /election + list")  # the doubt stays: it is searched again at each list
        life.answer(checked(), listed(3, 4))
        life.asks("list | exists DONE (w) + get le_4 (w)")
        life.answer(listed(3, 4))
        assert life.status.candidate_id == path(4)
        assert life.status.now_following == path(3)
        life.show(DONE, missing())
        life.show(path(4), shown(4))
        life.watches("get le_3 (w)")
        life.show(path(3), shown(3, b"other", OTHER_SESSION))
        life.resign()
        life.asks("delete le_4")

    def test_others_have_gone_or_must_not_be_read(self) -> None:
        life = Life()
        self.lose(life)
        life.answer(checked(), listed(2, 3, 4))
        life.answer(missing(), exc.NoAuth(), shown(4))
        assert life.me.own is not None
        assert life.me.own.path == path(4)

    def test_the_election_has_gone(self) -> None:
        """Then it was not carried out, or its znode has gone, too. The next nomination says what is the matter."""
        life = Life()
        self.lose(life)
        life.answer(checked(missing()), missing())
        life.asks("create le_ | get /election + exists DONE (w)")

    def test_or_it_says_that_it_may_have_worked(self) -> None:
        life = Life()
        life.begin()
        life.answer(exc.MarshallingError())
        assert life.ended() == ["ElectionError"]
        life.asks("check /election + list")
        life.answer(checked(), listed(4))
        life.answer(shown(4))
        life.finds_its_znode(4)
        life.asks("delete le_4")

    def test_it_was_never_carried_out(self) -> None:
        life = Life()
        self.lose(life)
        life.answer(checked(), listed(3))
        life.asks("get le_3")
        life.answer(shown(3, b"other", OTHER_SESSION))
        life.asks("create le_ | get /election + exists DONE (w)")

    def test_several_have_worked(self) -> None:
        life = Life()
        self.lose(life)
        life.answer(checked(), listed(4, 5))
        life.answer(shown(4), shown(5))
        life.finds_its_znode(5)
        life.asks("delete le_5")
        life.answer(deleted())
        assert life.me.own is not None
        assert life.me.own.path == path(4)

    def test_the_connection_is_lost_while_one_of_them_is_deleted(self) -> None:
        life = Life()
        self.lose(life)
        life.answer(checked(), listed(4, 5))
        life.answer(shown(4), shown(5))
        life.lose_connection()
        life.reconnect()
        life.answer(checked(), listed(4, 5))
        life.asks("get le_4 + get le_5")  # neither is claimed

    def test_it_appears_late(self) -> None:
        life = Life()
        self.lose(life)
        life.answer(checked(), listed())
        life.join(created(1), node(children=1, newest=1), missing())
        life.watches("get le_1 (w)")
        life.show(path(1), shown(1))
        life.resign()
        life.asks("delete le_1")
        life.answer(deleted())
        life.asks("check /election + list")
        life.answer(checked(), listed(2))
        life.asks("get le_2")
        life.answer(shown(2))
        life.finds_its_znode(2)
        life.asks("delete le_2")
        life.answer(deleted())
        life.has_ended()

    def test_two_of_one_name_never_take_the_same(self) -> None:
        first = Life("same")
        second = Life("same", claims=first.claims)
        for life in (first, second):
            life.begin()
        for life in (first, second):
            life.lose_connection()
        for life in (first, second):
            life.reconnect()
            life.asks("check /election + list")
        for life in (first, second):
            life.answer(checked(), listed(0, 1))
            life.asks("get le_0 + get le_1")
        first.answer(shown(0, b"same"), shown(1, b"same"))
        first.asks("check le_1 + get le_1 (w) + exists /election")
        second.answer(shown(0, b"same"), shown(1, b"same"))  # the first one has taken both by now
        second.asks("create le_ | exists DONE (w)")

    def test_others_of_this_client_are_left_alone(self) -> None:
        first = Life("same")
        first.begin()
        first.join(created(0), node(children=1), missing())
        second = Life("same", claims=first.claims)
        second.begin()
        second.lose_connection()
        second.reconnect()
        second.answer(checked(), listed(0))
        second.asks("create le_ | exists DONE (w)")

    def test_a_cancelled_one_leaves_its_name_in_doubt(self) -> None:
        life = Life("same")
        life.begin()
        life.cancel()
        claims = life.claims
        del life
        claims.of(SESSION, "/another")  # whoever stands there has nothing to do with it
        second = Life("same", claims=claims)
        second.begin()
        second.asks("check /election + list")

    def test_a_doubt_goes_with_its_session(self) -> None:
        life = Life()
        life.begin()
        life.cancel()
        life.claims.of(OTHER_SESSION, RESOURCE)
        assert not life.claims.in_doubt

    def test_what_was_seen_of_others_is_not_kept_for_ever(self) -> None:
        life = Life()
        self.lose(life)
        life.answer(checked(), listed(3))
        life.answer(shown(3, b"other", OTHER_SESSION))
        life.join(created(9), node(newest=9), missing())
        life.asks("check /election + list")
        life.answer(checked(), listed(5, 9))
        life.asks("get le_5")
        life.answer(shown(5, b"other", OTHER_SESSION))
        assert life.me.claims is not None
        assert set(life.me.claims._others) == {"le_0000000005"}


class TestTheOwnZnodeIsDeleted:
    def test_by_an_operator(self) -> None:
        life = leader()
        life.event(DELETED, path(0))
        assert life.ceased() == ["CandidateDeletedError"]
        life.asks("check le_0 + get le_0 + exists DONE + exists /election")
        life.answer(checked(missing()), missing(), missing(), there())
        assert life.ended() == ["CandidateDeletedError"]
        life.has_ended()
        assert life.me.is_withdrawn

    @pytest.mark.parametrize(("done", "parent"), [(there(), there()), (missing(), missing())])
    def test_at_the_end_of_the_election(self, done: Any, parent: Any) -> None:
        life = follower()
        life.event(DELETED, path(7))
        life.answer(checked(missing()), missing(), done, parent)
        assert life.ended() == ["ElectionOverError"]

    def test_or_so_it_seemed(self) -> None:
        life = leader()
        life.event(DELETED, path(0))
        life.answer(checked(), shown(0), missing(), there())
        assert life.statuses() == [(CANDIDATE, None), (LEADER, None)]  # two stretches are never read as one
        life.watches("get le_0 (w)")

    def test_the_quorum_says_so_and_not_what_is_shown(self) -> None:
        life = leader()
        life.event(DELETED, path(0))
        life.answer(checked(missing()), shown(0), missing(), there())
        assert life.ended() == ["CandidateDeletedError"]

    def test_before_its_watch_was_set(self) -> None:
        life = Life()
        life.begin()
        life.join(created(0), node(children=1), missing())
        life.watches("get le_0 (w)")
        life.show(path(0), missing())
        assert life.ceased() == ["CandidateDeletedError"]
        life.asks("check le_0 + get le_0 + exists DONE + exists /election")

    def test_its_data_are_changed(self) -> None:
        life = leader()
        life.event(DATA_CHANGED, path(0))
        assert life.ceased() == []
        life.asks("list | get le_0 (w)")
        life.answer(listed(0))
        assert life.statuses() == []

    def test_its_data_are_changed_while_it_follows(self) -> None:
        """The one before it is watched already."""
        life = follower()
        life.event(DATA_CHANGED, path(7))
        life.watches("get le_7 (w)")
        life.show(path(7), shown(7))
        life.waits()
        assert life.statuses() == []

    def test_it_may_not_be_read(self) -> None:
        life = Life()
        life.begin()
        life.join(created(0), node(children=1), missing())
        life.watches("get le_0 (w)")
        life.show(path(0), exc.NoAuth())
        assert life.ended() == ["NotAuthorizedError"]
        self.tells(life, path(0), path(0))

    def test_a_watch_is_refused(self) -> None:
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), exc.BadArguments())
        assert life.ended() == ["ElectionError"]
        assert str(life.status.error).startswith(f"ZooKeeper refused a request on {DONE}: ")
        assert life.status.error is not None
        assert (life.status.error.resource, life.status.error.candidate_id) == (RESOURCE, path(7))

    def tells(self, life: Life, about: str, candidate_id: str) -> None:
        error = life.status.error
        assert isinstance(error, NotAuthorizedError)
        assert (error.path, error.resource, error.candidate_id) == (about, RESOURCE, candidate_id)


class TestTheElectionIsEnded:
    @pytest.mark.parametrize("make", [leader, follower])
    def test_by_somebody(self, make: Any) -> None:
        life = make()
        life.event(CREATED, DONE)
        assert life.ended() == ["ElectionOverError"]
        assert isinstance(life.me.own, object)
        life.asks("delete le_0" if make is leader else "delete le_7")

    def test_the_work_is_stopped_before_the_znode_goes(self) -> None:
        life = leader()
        life.me.is_working = True
        life.event(CREATED, DONE)
        assert (life.ceased(), life.ended()) == (["ElectionOverError"], ["ElectionOverError"])
        assert isinstance(life.step, WorkStopped)

    def test_by_this_process(self) -> None:
        life = leader()
        life.me.hear_of_end()
        assert life.me.belief.stretch is None

    def test_it_stays_over_when_done_goes_again_meanwhile(self) -> None:
        """Who ends an election takes `DONE` away again, maybe before a newcomer's list has come."""
        life = Life()
        life.begin()
        life.join(created(0), node(newest=1))
        life.asks("list | get le_0 (w)")
        life.show(DONE, there())
        life.event(DELETED, DONE)
        life.answer(listed(0))
        assert life.ended() == ["ElectionOverError"]

    def test_it_stays_over_when_the_session_is_lost(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.event(CREATED, DONE)
        life.lose_connection()
        assert life.ended() == ["ElectionOverError"]
        life.reconnect(OTHER_SESSION)
        life.asks("check le_7 + get le_7 (w) + exists /election")


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


class TestZooKeeperHasNoTime:
    """THROTTLEDOP: not done, try again. The whole step is repeated."""

    def test_for_a_nomination(self) -> None:
        life = Life()
        life.begin()
        life.join(response_error(THROTTLED), node(), missing())
        assert life.step == Pause(0.02)
        life.time_is_over()
        life.asks("create le_ | get /election")  # the watch is set
        assert life.me.claims is not None
        assert not life.me.claims.doubtful

    def test_for_a_list(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.answer(response_error(THROTTLED))
        life.time_is_over()
        life.asks("list")

    def test_for_a_watch(self) -> None:
        life = Life()
        life.begin()
        life.join(created(0), node(children=1), missing())
        life.watches("get le_0 (w)")
        life.show(path(0), response_error(THROTTLED))
        assert life.me.belief.stretch is not None
        life.time_is_over()
        life.watches("get le_0 (w)")

    def test_for_the_watch_of_done(self) -> None:
        life = Life()
        life.begin()
        life.join(created(0), node(children=1), response_error(THROTTLED))
        assert life.status.role is LEADER  # the election node has no other child
        life.watches("get le_0 (w)")
        life.show(path(0), shown(0))
        life.time_is_over()
        life.watches("exists DONE (w)")

    def test_for_the_watch_of_what_operators_ask(self) -> None:
        life = follower()
        life.show(REQUEST, response_error(THROTTLED))
        assert isinstance(life.step, Pause)
        life.time_is_over()
        assert life.request_watches == 2
        life.waits()

    def test_for_a_barrier(self) -> None:
        """Sent again alone, it would come too late for the list that it precedes."""
        life = leader()
        life.lose_connection()
        life.reconnect()
        life.answer(checked(response_error(THROTTLED)), listed(0))
        life.show(DONE, missing())
        life.show(path(0), shown(0))
        life.time_is_over()
        life.asks("check /election + list")

    def test_for_a_deletion(self) -> None:
        life = leader()
        life.resign()
        life.answer(response_error(THROTTLED))
        life.time_is_over()
        life.asks("delete le_0")

    def test_again_and_again(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        pauses = []
        for _ in range(10):
            life.answer(response_error(THROTTLED))
            assert isinstance(life.step, Pause)
            pauses.append(life.step.seconds)
            life.time_is_over()
        assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1, 1, 1]

    def test_and_has_time_again(self) -> None:
        """The next time, much later, it is not waited for as long."""
        life = follower()
        for event in (DELETED, DATA_CHANGED):
            life.event(event, path(6))
            life.answer(response_error(THROTTLED))
            assert life.step == Pause(0.02)
            life.time_is_over()
            life.answer(listed(6, 7))
            life.watches("get le_6 (w)")
            life.show(path(6), shown(6, session=OTHER_SESSION))


class TestAKeepAliveIsRefused:
    def test_since_the_znode_is_gone(self) -> None:
        life = leader()
        life.me.hear_refusal(checked(missing()))
        life._news()
        assert life.ceased() == ["CandidateDeletedError"]
        life.asks("check le_0 + get le_0 + exists DONE + exists /election")

    def test_since_it_must_not_be_read(self) -> None:
        life = leader()
        life.me.hear_refusal(checked(exc.NoAuth()))
        life._news()
        assert life.ended() == ["NotAuthorizedError"]
        error = life.status.error
        assert isinstance(error, NotAuthorizedError)
        assert (error.path, error.resource, error.candidate_id) == (path(0), RESOURCE, path(0))
        life.asks("delete le_0")


class TestWhatOperatorsAreTold:
    def test_of_other_recipes(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.answer(listed(7, others=["lock-0000000001"]))
        (notice,) = [each for each in life.told if isinstance(each, Notice)]
        assert notice == Notice(other_recipes(RESOURCE, ["lock-0000000001"]) or "", f"others in {RESOURCE}")

    def test_of_a_candidate_without_a_session(self) -> None:
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), missing())
        life.show(path(6), shown(6, session=0))
        assert life.status.now_following == path(6)
        assert life.notices() == [lasting_candidate(path(6), 0)]

    def test_of_nothing_where_only_done_belongs_to_no_session(self) -> None:
        """It never does: it is no candidate that somebody has left behind."""
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), there())
        assert life.ended() == ["ElectionOverError"]
        assert life.notices() == []

    def test_of_a_smaller_token(self) -> None:
        life = Life()
        life.claims.tokens.note("/another", 10**7)  # which says nothing of this one
        life.claims.tokens.note(RESOURCE, 10**6)
        life.begin()
        life.join(created(0), node(children=1), missing())
        assert life.notices() == [smaller_token(path(0), czxid(0), 10**6)]

    def test_of_a_token_that_is_smaller_than_its_own_former_one(self) -> None:
        first = Life()
        first.begin()
        first.join(created(9), node(children=1, newest=9), missing())
        second = Life("two", claims=first.claims)
        second.begin()
        second.join(created(1))
        assert second.notices() == [smaller_token(path(1), czxid(1), czxid(9))]

    def test_of_scarce_numbers(self) -> None:
        life = Life()
        life.begin()
        life.join(created(WARNED_FROM), node(children=1, newest=WARNED_FROM), missing())
        (notice,) = [each for each in life.told if isinstance(each, Notice)]
        assert notice == Notice(scarce_numbers(path(WARNED_FROM)) or "", f"numbers of {RESOURCE}")
        assert life.statuses()[-1] == (LEADER, None)

    def test_with_the_last_numbers_nobody_stands(self) -> None:
        life = Life()
        life.begin()
        life.join(created(REFUSED_FROM), node(children=1, newest=REFUSED_FROM), missing())
        assert life.ended() == ["ElectionError"]
        me = f"candidate 'one' ({path(REFUSED_FROM)})"
        assert str(life.status.error) == f"{me} must not stand: {used_up_numbers(RESOURCE)}"
        assert (LEADER, None) not in life.statuses()


class TestTheClientIsClosed:
    def test_in_order(self) -> None:
        life = leader()
        life.me.session_timeout = 4.0
        life.close_client()
        assert (life.ceased(), life.ended()) == (["ClientClosedError"], ["ClientClosedError"])
        assert life.step == Pause(4.0)
        life.client_is_closed()
        life.has_ended()
        assert life.me.is_withdrawn

    def test_without_an_answer(self) -> None:
        life = leader()
        life.close_client()
        life.time_is_over()
        life.has_ended()
        assert type(life.me.withdrawal_error).__name__ == "ResignError"


@pytest.mark.parametrize(("make", "number", "token"), [(follower, 7, None), (leader, 0, czxid(0))])
def test_a_crash_is_the_last_status_and_the_znode_goes(
    make: Any, number: int, token: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    life = make()
    role, me = life.status.role, f"candidate 'one' ({path(number)})"
    life.event(DATA_CHANGED, path(6 if role is FOLLOWER else 0))
    life.answer(None)  # nothing that ZooKeeper could answer
    assert life.ended() == ["CrashedError"]
    error = life.status.error
    assert isinstance(error.__cause__, AttributeError)
    assert str(error) == f"{me} has crashed: {error.__cause__!r}; please report it"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.levelname == "ERROR"
    assert record.getMessage() == f"{me} has crashed: this is a bug in golea_async"
    carried = {key: vars(record)[key] for key in ("election", "candidate", "role", "reason", "fencing_token")}
    assert carried == life.me.identity.fields(role, "crashed", token)
    life.show(path(number), shown(number))
    life.asks(f"delete le_{number}")


def test_the_numbers_of_the_script_are_apart() -> None:
    assert NODE_CZXID < FIRST_CZXID
    assert RESOURCE in DONE

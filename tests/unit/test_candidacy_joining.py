"""Cases of docs/protocol.md, step by step without a loop: joining as the first, behind another, as one of many."""

from __future__ import annotations

import pytest
from aiozk import exc

from golea_async import Role
from golea_async._protocol.oddities import (
    used_up_numbers,
)
from golea_async._protocol.steps import Known

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
from .script import NODE_CZXID, OTHER_SESSION, RESOURCE, there

CANDIDATE, FOLLOWER, LEADER = Role.CANDIDATE, Role.FOLLOWER, Role.LEADER


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


def test_the_numbers_of_the_script_are_apart() -> None:
    assert NODE_CZXID < FIRST_CZXID
    assert RESOURCE in DONE

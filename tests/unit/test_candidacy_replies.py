"""Cases of docs/protocol.md, step by step without a loop: a reply is lost, or ZooKeeper has none to give."""

from __future__ import annotations

from aiozk import exc

from golea_async import NotAuthorizedError, Role
from golea_async._protocol.refusals import THROTTLED
from golea_async._protocol.steps import Pause
from golea_async._zookeeper.wire import response_error

from .life import (
    DATA_CHANGED,
    DELETED,
    DONE,
    REQUEST,
    Life,
    checked,
    created,
    deleted,
    listed,
    missing,
    node,
    path,
    shown,
)
from .placed import follower, leader
from .script import OTHER_SESSION, RESOURCE, SESSION

LEADER = Role.LEADER


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

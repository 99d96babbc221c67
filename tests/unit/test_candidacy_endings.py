"""Cases of docs/protocol.md, step by step without a loop: the own znode is deleted, the election is ended."""

from __future__ import annotations

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
from golea_async._protocol.role import Notice
from golea_async._protocol.steps import WorkStopped
from golea_async._protocol.znodes import REFUSED_FROM, WARNED_FROM

from .life import (
    CREATED,
    DATA_CHANGED,
    DELETED,
    DONE,
    Life,
    checked,
    created,
    czxid,
    listed,
    missing,
    node,
    path,
    shown,
)
from .placed import follower, leader
from .script import OTHER_SESSION, RESOURCE, there

CANDIDATE, LEADER = Role.CANDIDATE, Role.LEADER


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

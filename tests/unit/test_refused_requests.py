"""Each request of a candidate, refused: what a user is told, and what is tried again.

ZooKeeper's own words are in the error, with the znode that the request was about, the candidate and its election.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from aiozk import exc

from golea_async import ElectionError
from golea_async._protocol.refusals import THROTTLED
from golea_async._protocol.steps import Pause
from golea_async._zookeeper.wire import response_error

from .life import CREATED, DELETED, REQUEST, Life, checked, listed, missing, moved, path, shown
from .placed import follower
from .script import OTHER_SESSION, RESOURCE, there

BAD = exc.BadArguments()
BUSY = response_error(THROTTLED)


def lists() -> Life:
    """A follower whose predecessor has gone."""
    life = follower()
    life.event(DELETED, path(6))
    life.asks("list")
    return life


def asks_quorum() -> Life:
    """A follower whose own znode is gone, or so it seems."""
    life = follower()
    life.event(DELETED, path(7))
    life.asks("check le_7 + get le_7 + exists DONE + exists /election")
    return life


def searches() -> Life:
    """One whose nomination may have worked."""
    life = Life()
    life.begin()
    life.lose_connection()
    life.reconnect()
    life.asks("check /election + list")
    return life


def deletes() -> Life:
    life = follower()
    life.resign()
    life.asks("delete le_7")
    return life


def looks_before_it_deletes() -> Life:
    life = follower()
    life.lose_connection()
    life.resign()
    life.reconnect()
    life.asks("check le_7 + get le_7 (w) + exists /election")
    return life


def moves() -> Life:
    life = follower()
    life.step_down()
    life.asks("multi[create le_, delete le_7]")
    return life


def looks_where_it_stands() -> Life:
    life = moves()
    life.answer(moved(9))
    life.asks("exists le_9")
    return life


def settles() -> Life:
    """One that may have moved."""
    life = moves()
    life.lose_connection()
    life.reconnect()
    life.asks("check /election + get le_7 + exists DONE + exists /election")
    return life


def looks_at_a_barrier() -> Life:
    life = follower()
    life.lose_connection()
    life.reconnect()
    life.asks("check /election | exists DONE (w) + get le_6 (w) + get le_7 (w)")
    return life


def reads_a_request() -> Life:
    life = follower()
    life.event(CREATED, REQUEST)
    life.show(REQUEST, there())
    life.asks("get step_down")
    return life


class Case(NamedTuple):
    """One of the replies is a refusal of a request about this path."""

    life: Callable[[], Life]
    replies: Sequence[Any]
    place: int
    about: str | None = None

    def refuse(self, with_error: Exception) -> Life:
        life, replies = self.life(), list(self.replies)
        replies[self.place] = with_error
        life.answer(*replies)
        return life


GONE = [checked(missing()), missing(), missing(), there()]
UNREADABLE = [checked(), exc.NoAuth(), there()]
DONE = f"{RESOURCE}/DONE"


@pytest.mark.parametrize(
    "case",
    [
        Case(lists, [None], 0, RESOURCE),
        Case(asks_quorum, GONE, 0, path(7)),
        Case(asks_quorum, GONE, 1, path(7)),
        Case(asks_quorum, GONE, 2, DONE),
        Case(settles, GONE, 1, path(7)),
        Case(looks_where_it_stands, [None], 0, path(9)),
    ],
)
def test_it_stands_no_longer(case: Case) -> None:
    life = case.refuse(BAD)
    assert life.ended() == ["ElectionError"]
    error = life.status.error
    assert error is not None
    assert str(error).startswith(f"ZooKeeper refused a request on {case.about}: ")
    assert error.resource == RESOURCE
    assert error.candidate_id == path(7)


def test_it_may_have_moved_and_the_look_for_done_is_refused() -> None:
    life = settles()
    life.answer(checked(), missing(), BAD, there())
    life.answer(checked(), listed(8))
    life.answer(shown(8, session=OTHER_SESSION))
    assert str(life.status.error).startswith(f"ZooKeeper refused a request on {DONE}: ")
    assert life.status.error is not None
    assert (life.status.error.resource, life.status.error.candidate_id) == (RESOURCE, path(7))


def test_the_search_for_its_znode_is_refused() -> None:
    life = searches()
    life.answer(checked(), BAD)
    assert str(life.status.error).startswith(f"ZooKeeper refused a request on {RESOURCE}: ")
    assert life.status.error is not None
    assert life.status.error.resource == RESOURCE


@pytest.mark.parametrize(
    "case",
    [
        Case(deletes, [None], 0, path(7)),
        Case(looks_before_it_deletes, [checked(), shown(7), there()], 1, path(7)),
        Case(looks_before_it_deletes, UNREADABLE, 2, RESOURCE),
    ],
)
def test_deleting_it_is_given_up(case: Case) -> None:
    life = case.refuse(BAD)
    life.has_ended()
    assert not life.me.is_withdrawn
    error = life.me.withdrawal_error
    assert isinstance(error, ElectionError)
    assert str(error).startswith(f"ZooKeeper refused a request on {case.about}: ")
    assert (error.resource, error.candidate_id) == (RESOURCE, path(7))


LOOKS = [checked(), shown(7), there()]
QUORUM = "check le_7 + get le_7 + exists DONE + exists /election"
SETTLES = "check /election + get le_7 + exists DONE + exists /election"


@pytest.mark.parametrize(
    ("case", "again"),
    [
        (Case(lists, [None], 0), "list"),
        (Case(asks_quorum, GONE, 0), QUORUM),
        (Case(asks_quorum, GONE, 1), QUORUM),
        (Case(asks_quorum, GONE, 3), QUORUM),
        (Case(searches, [checked(), listed()], 0), "check /election + list"),
        (Case(searches, [checked(), listed()], 1), "check /election + list"),
        (Case(deletes, [None], 0), "delete le_7"),
        (Case(looks_before_it_deletes, LOOKS, 0), "check le_7 + exists /election"),  # the watch is set by then
        (Case(looks_before_it_deletes, LOOKS, 1), "check le_7 + get le_7 (w) + exists /election"),
        (Case(looks_before_it_deletes, UNREADABLE, 2), "check le_7 + get le_7 (w) + exists /election"),
        (Case(moves, [None], 0), "multi[create le_, delete le_7]"),
        (Case(settles, GONE, 0), SETTLES),
        (Case(settles, GONE, 1), SETTLES),
        (Case(settles, GONE, 3), SETTLES),
        (Case(reads_a_request, [None], 0), "get step_down"),
    ],
)
def test_what_was_not_done_is_done_again(case: Case, again: str) -> None:
    """With all that was asked beside it: what was done of that may have come too early."""
    life = case.refuse(BUSY)
    assert isinstance(life.step, Pause)
    life.time_is_over()
    life.asks(again)


def test_a_barrier_that_was_not_done_precedes_the_list_that_needs_one() -> None:
    """What is watched says itself when it goes, so to follow needs none."""
    life = looks_at_a_barrier()
    life.answer(BUSY)
    life.show(DONE, missing())
    life.show(path(6), shown(6, session=OTHER_SESSION))
    life.show(path(7), shown(7))
    life.time_is_over()
    life.waits()
    assert life.statuses() == []
    life.event(DELETED, path(6))
    life.asks("check /election + list")

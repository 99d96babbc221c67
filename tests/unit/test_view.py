"""What a candidate knows: what a list, a reply, an event and a new connection make of it, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from golea_async._protocol.appeal import Order
from golea_async._protocol.standing import Follow, Look, Verdict, decide
from golea_async._protocol.view import Sight, View, Watch
from golea_async._protocol.znodes import DONE, STEP_DOWN

RESOURCE = "/election"
FIRST, BEFORE, OWN = "le_0000000003", "le_0000000004", "le_0000000007"


def path(name: str) -> str:
    return f"{RESOURCE}/{name}"


def watched(name: str, *, is_there: bool | None = True, watch: Watch = Watch.SET) -> Sight:
    return Sight(path(name), is_there, watch)


def follower() -> View:
    """Return what a candidate sees that follows another one, with all watches set."""
    return View(watched(DONE, is_there=False), watched(OWN), watched(BEFORE), in_touch=True)


def leader() -> View:
    return View(watched(DONE, is_there=False), watched(OWN), is_first=True, in_touch=True, lease=1)


# ---------------------------------------------------------------------- events


def test_an_event_uses_up_its_own_watch_and_no_other() -> None:
    view = follower()
    view.to_delete = watched("le_0000000009")
    view.heard(path("le_0000000009"), is_there=False)
    assert (view.to_delete.watch, view.to_delete.is_there) == (Watch.NONE, False)
    assert view == View(
        watched(DONE, is_there=False), watched(OWN), watched(BEFORE), to_delete=view.to_delete, in_touch=True
    )


def test_when_the_predecessor_has_gone_there_is_no_hint_of_another() -> None:
    view = follower()
    view.hint = path(BEFORE)
    view.heard(path(BEFORE), is_there=False)
    assert view.before is None
    assert view.hint is None
    assert decide(view) == Look(None)


def test_a_change_of_the_own_znode_leaves_the_predecessor_to_be_looked_at_first() -> None:
    view = follower()
    view.heard(path(OWN), is_there=None)
    assert view.own == Sight(path(OWN), None, Watch.NONE)
    assert view.hint == path(BEFORE)


def test_a_change_of_the_own_znode_makes_a_first_one_look_again() -> None:
    view = leader()
    view.heard(path(OWN), is_there=None)
    assert not view.is_first
    assert view.hint is None


def test_the_deletion_of_the_own_znode_says_nothing_of_the_others() -> None:
    view = follower()
    view.heard(path(OWN), is_there=False)
    assert view.hint is None
    assert view.before == watched(BEFORE)


def test_an_event_of_another_znode_leaves_a_first_one_first() -> None:
    view = leader()
    view.heard(path(DONE), is_there=None)
    assert view.is_first


def test_an_event_before_there_is_an_own_znode() -> None:
    view = View(watched(DONE, is_there=False), in_touch=True)
    view.heard(path(OWN), is_there=None)
    assert view == View(watched(DONE, is_there=False), in_touch=True)


def asked_to_step_down() -> View:
    view = follower()
    view.request, view.is_request_read, view.order = watched(STEP_DOWN), True, Order("ops:1", 0)
    return view


def test_a_request_that_has_changed_is_read_again_and_counts_until_then() -> None:
    view = asked_to_step_down()
    view.heard(path(STEP_DOWN), is_there=None)
    expected = asked_to_step_down()
    expected.request, expected.is_request_read = Sight(path(STEP_DOWN)), False
    assert view == expected


def test_a_request_that_is_gone_asks_nothing_any_more() -> None:
    view = asked_to_step_down()
    view.heard(path(STEP_DOWN), is_there=False)
    expected = follower()
    expected.request = Sight(path(STEP_DOWN), is_there=False)
    assert view == expected


def test_a_new_request_is_to_be_read() -> None:
    view = follower()
    view.request = watched(STEP_DOWN, is_there=False)
    assert not view.has_unread_request
    view.heard(path(STEP_DOWN), is_there=True)
    assert view.has_unread_request
    assert view.is_request_unwatched


def test_an_event_of_another_znode_leaves_a_request_read() -> None:
    view = asked_to_step_down()
    view.heard(path(DONE), is_there=None)
    assert view.is_request_read
    assert view.order == Order("ops:1", 0)


# ---------------------------------------------------------------------- replies


def test_a_reply_is_for_the_sight_of_its_path_that_has_asked() -> None:
    view = follower()
    assert view.own is not None
    view.own.watch = Watch.ASKED
    assert view.asked(path(OWN)) == [view.own]
    assert view.before is not None
    view.before.watch = Watch.NONE
    assert view.asked(path(BEFORE)) == [], "its event has come before"


def test_who_has_asked_twice_watches_on_when_the_second_reply_comes() -> None:
    """An event of an earlier watch came before the first reply."""
    view = follower()
    view.done.watch = Watch.ASKED
    for _ in range(2):
        (sight,) = view.asked(path(DONE))
        assert view.shown(sight, is_there=False)
    assert view.done.watch is Watch.SET


def test_a_znode_that_is_to_be_deleted_is_asked_for_itself_but_the_own_one_once() -> None:
    view = follower()
    view.to_delete = watched(BEFORE, watch=Watch.ASKED)
    assert view.asked(path(BEFORE)) == [view.before, view.to_delete]
    view.to_delete = view.own = watched(OWN, watch=Watch.ASKED)
    assert view.asked(path(OWN)) == [view.own]


@pytest.mark.parametrize(
    ("name", "is_there", "is_set"),
    [(OWN, True, True), (OWN, False, False), (OWN, None, False), (DONE, True, True), (DONE, False, True)],
)
def test_a_reply_says_whether_a_watch_is_set(name: str, is_there: bool | None, is_set: bool) -> None:
    """`DONE` is asked for by `exists`, which watches what is missing, the others by `get`, which does not."""
    view = follower()
    assert view.own is not None
    sight = view.own if name == OWN else view.done
    sight.watch, sight.is_there = Watch.ASKED, None
    assert view.shown(sight, is_there=is_there) is is_set
    assert sight.watch is (Watch.SET if is_set else Watch.NONE)
    assert sight.is_there is is_there


@pytest.mark.parametrize("name", [OWN, DONE])
def test_what_is_missing_says_nothing_of_the_predecessor(name: str) -> None:
    view = follower()
    assert view.own is not None
    view.hint = path(FIRST)
    view.shown(view.own if name == OWN else view.done, is_there=False)
    assert (view.before, view.hint) == (watched(BEFORE), path(FIRST))


def test_a_predecessor_that_is_there_stays() -> None:
    view = follower()
    assert view.before is not None
    assert view.shown(view.before, is_there=True)
    assert view.before == watched(BEFORE)


def test_a_predecessor_that_is_missing_is_none() -> None:
    view = follower()
    assert view.before is not None
    assert not view.shown(view.before, is_there=False)
    assert view.before is None
    assert view.hint is None


# ---------------------------------------------------------------------- lists


def test_a_list_that_shows_the_same_predecessor_leaves_its_watch() -> None:
    view = follower()
    assert view.before is not None
    view.before.is_there, view.hint = None, path(BEFORE)
    view.listed(OWN, RESOURCE, [BEFORE, OWN])
    assert view.before == watched(BEFORE)
    assert view.hint is None
    assert decide(view) == Follow(path(BEFORE))


def test_a_list_that_shows_another_predecessor_has_it_watched_anew() -> None:
    view = follower()
    view.listed(OWN, RESOURCE, [FIRST, OWN])
    assert view.before == Sight(path(FIRST), is_there=True)
    assert view.before.watch is Watch.NONE


def test_who_is_not_in_the_list_follows_nobody() -> None:
    """Its znode was heard to go, and another one has its path by now."""
    view = follower()
    view.heard(path(OWN), is_there=False)
    view.listed(OWN, RESOURCE, [BEFORE, OWN])
    assert view.own == Sight(path(OWN), is_there=False)
    assert view.before is None
    assert not view.is_first


# ---------------------------------------------------------------------- waiting, and a new connection


def asked_of(*, done: Watch, before: bool | None = None, is_first: bool = False) -> View:
    view = View(watched(DONE, is_there=None, watch=done), watched(OWN), is_first=is_first, in_touch=True)
    if before is not None:
        view.before = watched(BEFORE, is_there=before)
    return view


def looks_at(*, own: Watch | None = None, before: Watch | None = None, **others: Any) -> View:
    """Return what a candidate sees that knows nothing of its own znode, or of the one before it, but of `DONE`."""
    view = View(watched(DONE, is_there=False), watched(OWN), in_touch=True, **others)
    if own is not None:
        view.own, view.before = watched(OWN, is_there=None, watch=own), watched(BEFORE)
        view.done.watch = Watch.SET if own is Watch.ASKED else Watch.ASKED
    if before is not None:
        view.before = watched(BEFORE, is_there=None, watch=before)
        view.done.watch = Watch.SET if before is Watch.ASKED else Watch.ASKED
    return view


@pytest.mark.parametrize(
    ("view", "is_answered_soon"),
    [
        (asked_of(done=Watch.ASKED, is_first=True), True),
        (asked_of(done=Watch.NONE, is_first=True), False),
        (asked_of(done=Watch.ASKED, before=True), True),
        (asked_of(done=Watch.NONE, before=True), False),
        (asked_of(done=Watch.ASKED), False),
        (looks_at(own=Watch.ASKED), True),
        (looks_at(own=Watch.NONE), False),
        (looks_at(before=Watch.ASKED), True),
        (looks_at(before=Watch.NONE), False),
        (looks_at(awaits_node=True), True),
        (looks_at(awaits_node=True, hint=path(BEFORE)), False),
    ],
)
def test_nothing_is_asked_again_while_the_answer_that_decides_is_on_its_way(view: View, is_answered_soon: bool) -> None:
    assert (decide(view) == Verdict.WAIT) == is_answered_soon


def test_a_new_connection_knows_nothing_but_where_to_look() -> None:
    view = follower()
    view.awaits_node, view.to_delete = True, watched(OWN)
    view.reconnected()
    assert view == View(
        Sight(path(DONE)),
        Sight(path(OWN)),
        to_delete=Sight(path(OWN)),
        hint=path(BEFORE),
        needs_barrier=True,
        in_touch=True,
    )
    assert view.awaits_node is False

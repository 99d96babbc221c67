"""Who leads and who follows whom, for any set of children that ZooKeeper can show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golea_async._protocol.appeal import Order
from golea_async._protocol.standing import Decision, Deposed, Follow, Lead, Look, Loss, Verdict, decide, loss
from golea_async._protocol.view import Sight, View
from golea_async._protocol.znodes import (
    DONE,
    STEP_DOWN,
    Supply,
    candidate_name,
    candidate_number,
    in_order,
    name_before,
    predecessor_of,
    strangers,
    supply_after,
)

OWN, OTHER = "le_0000000007", "le_0000000004"
RESOURCE = "/election"
STRETCH = 3  # of the lease


def view_of(
    name: str = OWN,
    *,
    own: bool | None = True,
    done: bool | None = False,
    before: str | None = None,
    children: Sequence[str] | None = None,
    **others: Any,
) -> View:
    """What a candidate of this name sees: whether its znode and `DONE` are there, and what a list showed then."""
    view = View(Sight(f"{RESOURCE}/{DONE}", done), Sight(f"{RESOURCE}/{name}", own), **{**IN_TOUCH, **others})
    if before is not None:
        view.before = Sight(f"{RESOURCE}/{before}", is_there=True)
    if children is not None:
        view.listed(name, RESOURCE, children)
    return view


MOVE, LEAVE = Order("ops:1", 0), Order("ops:1", 0, leaves=True)
IN_TOUCH = {"in_touch": True, "lease": STRETCH}
NUMBERS = st.integers(0, 2**31 - 1)
STRANGERS = st.sampled_from(
    [
        "le_",
        "le_x",
        "le_1",
        "le_00000000012",
        "le_+000000012",
        "le_0000000012 ",
        "le_\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660",  # ten digits, but not ZooKeeper's
        "le_9999999999",  # ten digits, but beyond 32 bits
        "le_-000000000",
        "le_-000000005",  # what is behind the last number as an integer of Java's, and is never issued
        "le_-2147483648",
        "LE_0000000001",
        "xle_0000000001",
        "DONE2",
        "_c_0b1c-lock-0000000003",
        "leader",
    ]
) | st.text(max_size=12).filter(lambda name: candidate_number(name) is None and name not in {DONE, STEP_DOWN})


@st.composite
def creations(draw: st.DrawFn) -> list[str]:
    """Living candidates in the order of their creation."""
    return [candidate_name(number) for number in sorted(draw(st.sets(NUMBERS, min_size=1, max_size=30)))]


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Candidates in the order of their creation, and what a listing may show: any order, strangers mixed in."""
    candidates = draw(creations())
    others = draw(st.lists(STRANGERS, max_size=5, unique=True))
    return candidates, draw(st.permutations(candidates + others))


@given(shuffled())
def test_the_oldest_leads_and_everybody_else_follows_the_one_before(case: tuple[list[str], list[str]]) -> None:
    candidates, children = case
    assert in_order(children) == candidates
    assert predecessor_of(candidates[0], children) is None
    for before, own in pairwise(candidates):
        assert predecessor_of(own, children) == before


@given(st.sets(NUMBERS, min_size=1, max_size=30), st.lists(STRANGERS, max_size=5))
def test_any_set_of_children_has_exactly_one_leader_and_one_chain(numbers: set[int], others: list[str]) -> None:
    candidates = {candidate_name(number) for number in numbers}
    children = [*others, *candidates]
    following = {own: predecessor_of(own, children) for own in candidates}
    (leader,) = (own for own, followed in following.items() if followed is None)
    assert {decide(view_of(own, children=children)) for own in candidates} == {
        Lead(STRETCH),
        *(Follow(f"{RESOURCE}/{followed}") for followed in following.values() if followed),
    }
    followers = {followed: own for own, followed in following.items()}
    chain, last = [leader], leader
    while (follower := followers.get(last)) is not None:
        chain.append(follower)
        last = follower
    assert set(chain) == candidates
    assert chain == in_order(children)


@given(creations())
def test_the_next_to_join_is_the_last(candidates: list[str]) -> None:
    *standing, joining = candidates
    assert in_order(candidates) == [*standing, joining]
    assert in_order(standing) == standing


def test_the_last_number_is_the_largest_that_zookeeper_issues() -> None:
    assert in_order(["le_2147483648", "le_2147483647", "le_0000000000"]) == ["le_0000000000", "le_2147483647"]
    assert name_before("le_2147483647") == "le_2147483646"


@pytest.mark.parametrize(
    ("number", "supply"),
    [
        (0, Supply.PLENTY),
        (2**31 - 2**20 - 1, Supply.PLENTY),
        (2**31 - 2**20, Supply.SCARCE),
        (2**31 - 2**10 - 1, Supply.SCARCE),
        (2**31 - 2**10, Supply.USED_UP),
        (2**31 - 1, Supply.USED_UP),
    ],
)
def test_numbers_come_to_an_end(number: int, supply: Supply) -> None:
    assert supply_after(candidate_name(number)) is supply


@given(NUMBERS)
def test_a_number_and_its_name_are_each_others(number: int) -> None:
    assert candidate_number(candidate_name(number)) == number


@given(NUMBERS.filter(lambda number: number != 0))
def test_the_name_before_is_the_predecessor_when_it_lives(number: int) -> None:
    own, before = candidate_name(number), name_before(candidate_name(number))
    assert before is not None
    assert predecessor_of(own, [own, before]) == before


def test_nothing_is_before_the_first_or_a_stranger() -> None:
    assert name_before("le_0000000000") is None
    assert name_before("le_x") is None


@given(st.lists(STRANGERS, unique=True))
def test_strangers_are_no_candidates_and_done_is_neither(others: list[str]) -> None:
    children = [*others, DONE, "le_0000000003"]
    assert in_order(children) == ["le_0000000003"]
    assert strangers(children) == sorted(others)


def test_nobody_stands() -> None:
    assert in_order([]) == []
    assert in_order([DONE, "le_x"]) == []


@pytest.mark.parametrize(
    ("view", "verdict"),
    [
        (view_of(done=True), Verdict.OVER),
        (view_of(own=False, done=True, before=OTHER), Verdict.OVER),
        (view_of(children=[DONE, OWN]), Verdict.OVER),
        (view_of(own=False, children=[DONE]), Verdict.OVER),
        (view_of(own=False), Verdict.MISSING),
        (view_of(own=False, children=[OWN]), Verdict.MISSING),  # what was heard is not put right by a list
        (view_of(own=False, before=OTHER), Verdict.MISSING),
        (view_of(children=[OTHER]), Verdict.MISSING),
        (view_of(children=[]), Verdict.MISSING),
        (view_of(before=OTHER), Follow(f"{RESOURCE}/{OTHER}")),
        (view_of(), Look(None)),
        (view_of(hint=f"{RESOURCE}/{OTHER}"), Look(f"{RESOURCE}/{OTHER}")),
        (view_of(own=None, before=OTHER), Look(None)),
        (view_of(done=None, before=OTHER), Look(None)),
        (view_of(children=[OWN]), Lead(STRETCH)),
        (view_of(is_first=True), Lead(STRETCH)),
        (view_of(is_first=True, done=None), Look(None)),
        (view_of(is_first=True, own=False), Verdict.MISSING),
        (view_of(is_first=True, lease=None), Verdict.FIRST),
        (view_of(is_first=True, is_lease_short=True), Verdict.FIRST),
        (view_of(is_first=True, is_held_back=True), Verdict.FIRST),
        (view_of(is_first=True, is_moving=True, own=False), Verdict.SETTLE),
        (view_of(is_first=True, steps_down=True), Verdict.STEP_DOWN),
        (view_of(is_first=True, order=MOVE), Verdict.STEP_DOWN),
        (view_of(before=OTHER, order=LEAVE), Deposed("ops:1")),
        (view_of(own=False, order=LEAVE), Verdict.MISSING),
        (view_of(children=["le_0000000009", OWN, "le_x"]), Lead(STRETCH)),
        (view_of(children=[OWN, OTHER]), Follow(f"{RESOURCE}/{OTHER}")),
        (view_of(is_first=True, in_touch=False), Verdict.WAIT),
        (view_of(is_first=True, is_session_lost=True), Verdict.LOST),
        (view_of(is_first=True, is_session_lost=True, in_touch=False), Verdict.LOST),
        (view_of(is_first=True, is_closed=True, is_session_lost=True), Verdict.CLOSED),
        (view_of(done=True, is_session_lost=True, is_closed=True), Verdict.OVER),
        (view_of(done=True, is_leaving=True), Verdict.LEAVE),
        (View(Sight(f"{RESOURCE}/{DONE}"), in_touch=True), Verdict.JOIN),
        (View(Sight(f"{RESOURCE}/{DONE}")), Verdict.WAIT),
    ],
)
def test_what_a_view_means(view: View, verdict: Decision) -> None:
    assert decide(view) == verdict


maybe = st.sampled_from([None, False, True])
views = st.builds(
    view_of,
    own=maybe,
    done=maybe,
    before=st.none() | st.just(OTHER),
    children=st.none() | st.lists(st.sampled_from([OWN, OTHER, "le_0000000009", "le_x", DONE]), unique=True),
    is_first=st.booleans(),
    lease=st.none() | st.just(STRETCH),
    in_touch=st.booleans(),
    is_session_lost=st.booleans(),
    is_closed=st.booleans(),
    is_leaving=st.booleans(),
)


@given(
    maybe,
    maybe,
    st.none() | st.just(OTHER),
    st.none() | st.lists(st.sampled_from([OWN, OTHER, "le_0000000009", "le_x", DONE]), unique=True),
)
def test_nobody_leads_without_a_list_that_shows_him_first(
    own: bool | None, done: bool | None, before: str | None, children: list[str] | None
) -> None:
    view = view_of(own=own, done=done, before=before, children=children)
    shown_first = own is not False and children is not None and in_order(children)[:1] == [OWN]
    allowed = shown_first and not done and DONE not in (children or [])
    assert (decide(view) == Lead(STRETCH)) == allowed


@given(views)
def test_whoever_is_to_lead_has_nothing_that_ends_its_belief(view: View) -> None:
    if isinstance(decide(view), Lead):
        assert loss(view, STRETCH) is None


@given(views)
def test_belief_outlives_nothing_but_being_out_of_touch_and_another_look(view: View) -> None:
    if loss(view, STRETCH) is None:
        assert decide(view) is Verdict.WAIT or isinstance(decide(view), Lead | Look)


@given(views)
def test_on_a_new_connection_nothing_counts_but_that_the_election_is_over(view: View) -> None:
    was_over = bool(view.done.is_there)
    view.reconnected()
    view.is_leaving = view.is_closed = view.is_session_lost = False
    view.in_touch = True
    assert decide(view) == (Verdict.OVER if was_over else Look(view.hint))
    assert view.needs_barrier


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (view_of(is_first=True), None),
        (view_of(is_first=True, in_touch=False), None),
        (view_of(own=None), None),
        (view_of(is_first=True, is_leaving=True, done=True), Loss.RESIGNED),
        (view_of(is_first=True, done=True, own=False), Loss.OVER),
        (view_of(is_first=True, own=False, is_closed=True), Loss.CLOSED),  # the end of its session deletes it
        (view_of(is_first=True, own=False, is_session_lost=True), Loss.SESSION_LOST),
        (view_of(is_first=True, own=False), Loss.DELETED),
        (view_of(is_first=True, steps_down=True, lease=None), Loss.HANDED_OVER),
        (view_of(is_first=True, order=MOVE), Loss.HANDED_OVER),
        (view_of(before=OTHER), Loss.OVERTAKEN),
        (view_of(is_first=True, lease=None), Loss.LAPSED),
        (view_of(is_first=True, lease=STRETCH + 1), Loss.LAPSED),
    ],
)
def test_what_ends_a_leaders_belief(view: View, reason: Loss | None) -> None:
    assert loss(view, STRETCH) is reason

"""Who leads and who follows whom, for any set of children that ZooKeeper can show."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golea_async._protocol.standing import (
    DONE,
    MAXIMUM_NAME_BYTES,
    Follow,
    Lead,
    Look,
    Missing,
    Over,
    Supply,
    Verdict,
    View,
    candidate_name,
    candidate_number,
    check_candidate_id,
    check_name,
    check_resource,
    decide,
    in_order,
    name_before,
    predecessor_of,
    strangers,
    supply_after,
)

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
) | st.text(max_size=12).filter(lambda name: candidate_number(name) is None and name != DONE)


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
    assert {decide(own, View(own_stands=True, done=False, children=children)) for own in candidates} == {
        Lead(),
        *(Look(followed) for followed in following.values() if followed),
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


OWN, OTHER = "le_0000000007", "le_0000000004"


@pytest.mark.parametrize(
    ("view", "verdict"),
    [
        (View(own_stands=True, done=True), Over()),
        (View(own_stands=False, done=True, predecessor=OTHER), Over()),
        (View(own_stands=True, done=False, children=[DONE, OWN]), Over()),
        (View(own_stands=False, done=False, children=[DONE]), Over()),
        (View(own_stands=False, done=False), Missing()),
        (View(own_stands=False, done=False, children=[OWN]), Missing()),
        (View(own_stands=False, done=False, predecessor=OTHER), Missing()),
        (View(own_stands=True, done=False, children=[OTHER]), Missing()),
        (View(own_stands=True, done=False, predecessor=OTHER), Follow(OTHER)),
        (View(own_stands=True, done=False), Look(None)),
        (View(own_stands=True, done=False, children=[OWN]), Lead()),
        (View(own_stands=True, done=False, children=["le_0000000009", OWN, "le_x"]), Lead()),
        (View(own_stands=True, done=False, children=[OWN, OTHER]), Look(OTHER)),
    ],
)
def test_what_a_view_means(view: View, verdict: Verdict) -> None:
    assert decide(OWN, view) == verdict


@given(
    st.booleans(),
    st.booleans(),
    st.none() | st.just(OTHER),
    st.none() | st.lists(st.sampled_from([OWN, OTHER, "le_0000000009", "le_x", DONE]), unique=True),
)
def test_nobody_leads_without_a_list_that_shows_him_first(
    own_stands: bool, done: bool, predecessor: str | None, children: list[str] | None
) -> None:
    view = View(own_stands, done, predecessor, children)
    shown_first = own_stands and children is not None and in_order(children)[:1] == [OWN]
    allowed = shown_first and not done and DONE not in (children or []) and predecessor is None
    assert (decide(OWN, view) == Lead()) == allowed


@pytest.mark.parametrize("path", ["/election", "/a/b/c", "/le_0000000001", "/Stra\u00dfe", "/a b", "/..."])
def test_a_path_that_can_be_an_election_node(path: str) -> None:
    assert check_resource(path) == path


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "empty"),
        ("election", "relative"),
        ("/", "root"),
        ("/election/", "slash"),
        ("//election", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a/../b", "relative segment"),
        ("/a/.", "relative segment"),
        ("/..", "relative segment"),
        ("/a\x00b", "character"),
        ("/a\nb", "character"),
        ("/a\ud800b", "character"),
    ],
)
def test_a_path_that_cannot_is_refused_and_says_why(path: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_resource(path)


@pytest.mark.parametrize("path", [None, b"/election", 7])
def test_a_path_is_a_string(path: object) -> None:
    with pytest.raises(TypeError, match="must be a str, not"):
        check_resource(path)


def test_a_name_is_the_data_of_the_znode() -> None:
    assert check_name("caf\u00e9:1") == "caf\u00e9:1".encode()
    assert len(check_name("x" * MAXIMUM_NAME_BYTES)) == MAXIMUM_NAME_BYTES


@pytest.mark.parametrize(
    ("name", "problem"),
    [("", "empty"), ("\u00e9" * (MAXIMUM_NAME_BYTES // 2 + 1), "too large"), ("\ud800", "UTF-8")],
)
def test_a_name_that_cannot_be_one_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_name(name)


@pytest.mark.parametrize("name", [None, b"name", 7])
def test_a_name_is_a_string(name: object) -> None:
    with pytest.raises(TypeError, match="must be a str, not"):
        check_name(name)


def test_a_candidates_id_is_its_path() -> None:
    assert check_candidate_id("/a/b/le_0000000012") == ("/a/b", "le_0000000012")


@pytest.mark.parametrize(
    "candidate_id", ["", "le_0000000012", "/le_0000000012", "/a/le_x", "/a/DONE", "/a//le_0000000012"]
)
def test_another_path_is_no_candidates_id(candidate_id: str) -> None:
    with pytest.raises(ValueError, match="not a candidate's id"):
        check_candidate_id(candidate_id)


def test_a_candidates_id_is_a_string() -> None:
    with pytest.raises(TypeError, match="must be a str, not"):
        check_candidate_id(12)

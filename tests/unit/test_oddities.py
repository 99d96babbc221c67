"""What operators are told of what is odd, word for word: they read it in a log, and act on it."""

from __future__ import annotations

import pytest

from golea_async._protocol.oddities import (
    SeenTokens,
    lasting_candidate,
    other_recipes,
    scarce_numbers,
    smaller_token,
    strange_request,
    used_up_numbers,
)
from golea_async._protocol.znodes import DONE, REFUSED_FROM, STEP_DOWN, WARNED_FROM, candidate_name

RESOURCE = "/election"
FIRST = "/election/le_0000000000"


@pytest.mark.parametrize("owner", [0, -(2**63), 2**63])
def test_a_candidate_of_no_session(owner: int) -> None:
    """A persistent znode's owner is 0, a container's the smallest number, as signed or as unsigned."""
    assert lasting_candidate(FIRST, owner) == (
        "the candidate /election/le_0000000000 belongs to no session: somebody has made or restored it as a persistent "
        "znode, it never goes by itself, and nobody behind it ever leads; "
        "remove it: `await depose(zk, '/election/le_0000000000', force=True)`"
    )


@pytest.mark.parametrize("owner", [1, -1, 2**63 - 1])
def test_a_candidate_of_a_session(owner: int) -> None:
    assert lasting_candidate(FIRST, owner) is None


def test_a_child_of_something_else() -> None:
    assert other_recipes(RESOURCE, [DONE, "lock-0000000001", "le_0000000003"]) == (
        "the election node /election has children of something else: lock-0000000001. If that elects a leader, too, "
        "two lead: neither counts the other's candidates. Give each a path of its own"
    )


def test_children_of_something_else_that_golea_follows() -> None:
    assert other_recipes(RESOURCE, ["le_0000000003", "le_x", "config"]) == (
        "the election node /election has children of something else: config, le_x. If that elects a leader, too, "
        "two lead: neither counts the other's candidates; GoLea takes what sorts before le_ for a candidate. "
        "Give each a path of its own"
    )


@pytest.mark.parametrize(
    ("count", "named"), [(5, "x0, x1, x2, x3, x4. If"), (6, "x0, x1, x2, x3, x4 and 1 more. If"), (9, "x4 and 4 more.")]
)
def test_of_many_children_five_are_named(count: int, named: str) -> None:
    said = other_recipes(RESOURCE, [f"x{number}" for number in range(count)])
    assert said is not None
    assert named in said


def test_of_a_long_name_its_beginning_is_said() -> None:
    said = other_recipes(RESOURCE, ["x" * 200])
    assert said is not None
    assert f"something else: {'x' * 100}. If" in said


def test_nothing_is_said_of_an_elections_own_children() -> None:
    assert other_recipes(RESOURCE, [DONE, STEP_DOWN, "le_0000000003"]) is None


@pytest.mark.parametrize("number", [WARNED_FROM, REFUSED_FROM])
def test_numbers_run_out(number: int) -> None:
    name = candidate_name(number)
    assert scarce_numbers(f"/a/b/{name}") == (
        f"the election node /a/b is running out of numbers ({name}; they end at 2147483647, and nominating is refused "
        "a little before): delete the election and make it anew, by `delete_election` and `create_election`"
    )


def test_there_are_plenty_of_numbers() -> None:
    assert scarce_numbers(f"{RESOURCE}/{candidate_name(WARNED_FROM - 1)}") is None


def test_numbers_have_run_out() -> None:
    assert used_up_numbers(RESOURCE) == (
        "the election node /election has no numbers left: what comes next might be given to two candidates; "
        "delete the election and make it anew, by `delete_election` and `create_election`"
    )


@pytest.mark.parametrize("token", [7, 41, 42])
def test_a_history_that_went_back(token: int) -> None:
    assert smaller_token(FIRST, token, 42) == (
        f"the fencing token of /election/le_0000000000 is {token}, and this process has seen 42 in the same election: "
        "ZooKeeper's history went back, as after a restore. Stores that remember the greater one refuse this leader: "
        "see docs/fencing.md on how to lower that safely"
    )


def test_a_token_that_grows() -> None:
    assert smaller_token(FIRST, 43, 42) is None


def test_a_request_that_nobody_understands() -> None:
    assert strange_request(f"{RESOURCE}/step_down", "it asks nobody") == (
        "/election/step_down is where operators ask candidates to step down, and it asks nobody: nobody follows it. "
        "Remove it, unless it is that of a newer version of golea_async"
    )


class TestSeenTokens:
    def test_the_greatest_of_each_election(self) -> None:
        tokens = SeenTokens()
        assert tokens.greatest("/a") == -1
        for token in (0, 7, 5):
            tokens.note("/a", token)
        tokens.note("/b", 3)
        assert (tokens.greatest("/a"), tokens.greatest("/b")) == (7, 3)

    def test_the_one_that_was_seen_longest_ago_is_forgotten(self) -> None:
        """Also a smaller token has an election seen; 1024 are kept."""
        tokens = SeenTokens()
        for number in range(1024):
            tokens.note(number, 7)
        tokens.note(0, 5)
        assert (tokens.greatest(0), tokens.greatest(1)) == (7, 7)
        tokens.note(1024, 7)
        assert [tokens.greatest(number) for number in (0, 1, 2, 1024)] == [7, -1, 7, 7]

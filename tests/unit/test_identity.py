"""What is said of a candidate: each text names it and its election, and says what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from golea_async._protocol.appeal import Order
from golea_async._protocol.identity import Identity
from golea_async.exceptions import (
    CandidateDeletedError,
    ClientClosedError,
    CrashedError,
    ElectionError,
    ElectionOverError,
    HandedOverError,
    LeaseExpiredError,
    ResignError,
    SessionExpiredError,
)

from .life import path
from .script import RESOURCE

CRASH = KeyError("x")


def candidate(name: str = "one", *, stands: bool = True) -> Identity:
    identity = Identity(RESOURCE, name)
    if stands:
        identity.candidate_id = path(7)
    return identity


ME = candidate()
CLOSED_TOO_EARLY = (
    "cannot be deleted, the client's own tasks have ended, and goes at the latest with its session: resign() again to "
    "wait for it"
)
STANDS_ON = "; it stands on at the end of the line"


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (Identity.over, ElectionOverError, "must leave: the election /election is over, no new candidates are allowed"),
        (
            Identity.lapse,
            LeaseExpiredError,
            "was out of touch with ZooKeeper's quorum for too long: its lease has expired",
        ),
        (
            Identity.client_closed,
            ClientClosedError,
            "ended with its session: the client was closed; resign before closing it",
        ),
        (
            Identity.gone,
            CandidateDeletedError,
            "is gone from ZooKeeper: somebody has deleted it, unless its session has ended",
        ),
        (Identity.deleted, CandidateDeletedError, "was deleted by somebody: start() it again to stand anew"),
        (lambda me: me.deposed("ops:1"), CandidateDeletedError, "was deposed by ops:1: start() it again to stand anew"),
        (lambda me: me.handed_over(None), HandedOverError, f"has stepped down{STANDS_ON}"),
        (lambda me: me.handed_over(Order("ops:1", 0)), HandedOverError, f"was asked by ops:1 to step down{STANDS_ON}"),
        (
            lambda me: me.handed_over(Order("ops:1", 1, path(9))),
            HandedOverError,
            f"was asked by ops:1 to make way for {path(9)}{STANDS_ON}",
        ),
        (
            lambda me: me.not_stepped_down("has no connection"),
            ResignError,
            "has no connection; that goes on: step_down() again to wait for it",
        ),
        (
            lambda me: me.session_lost(rejoins=True),
            SessionExpiredError,
            "lost its ZooKeeper session, and its znode with it; it stands again as soon as ZooKeeper is back",
        ),
        (
            lambda me: me.session_lost(rejoins=False),
            SessionExpiredError,
            "lost its ZooKeeper session, and its znode with it; start() it again to stand anew",
        ),
        (
            lambda me: me.not_withdrawn("has no connection, and"),
            ResignError,
            "has no connection, and goes at the latest with its session: resign() again to wait for it",
        ),
        (Identity.closed_too_early, ResignError, CLOSED_TOO_EARLY),
        (lambda me: me.crashed(CRASH), CrashedError, "has crashed: KeyError('x'); please report it"),
    ],
)
def test_an_error(make: Callable[[Identity], ElectionError], kind: type[ElectionError], says: str) -> None:
    error = make(ME)
    assert type(error) is kind
    assert str(error) == f"candidate 'one' ({path(7)}) {says}"
    assert (error.resource, error.candidate_id) == (RESOURCE, path(7))
    assert ME.reason(error) == says  # for a line that has named the candidate already


def test_a_hand_over_tells_who_has_asked_and_for_whom() -> None:
    by_itself, asked = ME.handed_over(None), ME.handed_over(Order("ops:1", 1, path(9)))
    assert (by_itself.by, by_itself.to) == (None, None)
    assert (asked.by, asked.to) == ("ops:1", path(9))


def test_who_was_deposed_is_told_by_whom() -> None:
    assert ME.deposed("ops:1").by == "ops:1"
    assert ME.deleted().by is None


def test_a_crash_keeps_what_was_raised() -> None:
    assert ME.crashed(CRASH).__cause__ is CRASH


def test_before_the_nomination_it_is_named_by_its_election() -> None:
    identity = candidate(stands=False)
    assert identity.about("waits") == "candidate 'one' (/election) waits"
    assert identity.over().candidate_id is None


def test_of_a_long_name_only_the_beginning_is_said() -> None:
    identity = candidate("x" * 101)
    assert identity.about("waits") == f"candidate '{'x' * 100}' ({path(7)}) waits"
    assert identity.fields("leader", None, 7)["candidate"] == "x" * 100


def test_what_a_log_line_carries_for_machines() -> None:
    assert ME.fields("leader", "resigned", 107) == {
        "election": RESOURCE,
        "candidate": "one",
        "role": "leader",
        "reason": "resigned",
        "fencing_token": 107,
    }

"""Who leads, who follows whom: names, their order and the next role. Pure: no I/O, no clock.

Theory of operation
===================

A candidate is an ephemeral sequential znode ``le_0000000012`` under the election node. ZooKeeper numbers the children
of a znode in the order of their creation, so the candidate with the lowest number is the oldest and leads, and every
other one follows the candidate just before it, and nobody else: one departure wakes one follower (no herd).

The number is the parent's counter of all creations (PrepRequestProcessor.java:667), printed as ten digits, so that the
names sort as the numbers do. The counter sticks at 2147483647: DataTree only ever raises it, and the number behind that
is negative. There one name would be issued again and again, to two candidates. So nominating is refused a little before
that (:func:`supply_after`).

One look at ZooKeeper is a :class:`View`; :func:`decide` says what follows from it:

==========================================  ====================================================================
what the view shows                         verdict
==========================================  ====================================================================
``DONE`` is there                           :class:`Over`: final, whatever else is seen
own znode is not (it, or its session's)     :class:`Missing`: ask the quorum, a server may lag, a session may end
a predecessor that was looked at lives      :class:`Follow` it
nothing known of those before               :class:`Look`: list the children
children listed, own one is the first       :class:`Lead`
children listed, another one just before    :class:`Look` at that one: it may have gone since
==========================================  ====================================================================

"I lead" is only ever concluded from a list that shows the own znode, or from an election node that has no other child
(the same list, without reading it): ZooKeeper answers one connection from a state at least as new as its own create,
and whoever stands before us was created before us, so that list has everybody who can be before us.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

CANDIDATE_PREFIX = "le_"
DONE = "DONE"
DONE_DATA = b"done"

# The name is sent in one packet with its path and ACL, and a server drops the connection of a client whose packet is
# larger than jute.maxbuffer (1048575 bytes by default): not an error that a client could tell from a broken network.
MAXIMUM_NAME_BYTES = 1_000_000
MAXIMUM_PATH_BYTES = 40_000

# An election that makes a nomination a second gets there after 68 years; one in a loop that never waits, after months.
LARGEST_NUMBER = 2**31 - 1
WARNED_FROM = 2**31 - 2**20
REFUSED_FROM = 2**31 - 2**10

_CANDIDATE_NAME = re.compile("le_[0-9]{10}")
_LAST_NAME = f"{CANDIDATE_PREFIX}{LARGEST_NUMBER}"
_ORDINARY_PATH = re.compile("(/[A-Za-z0-9_-]+)+")
# PathUtils.java: characters that ZooKeeper refuses in a path.
_FORBIDDEN_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")


@dataclass(frozen=True, slots=True)
class View:
    """What one round trip to ZooKeeper showed.

    :ivar own_stands: the znode at the own path has the own ``czxid`` and belongs to the own session.
    :ivar done: the child ``DONE`` exists.
    :ivar predecessor: name of the candidate just before the own one, when it was looked at and lives.
    :ivar children: names of all children, when they are known.
    """

    own_stands: bool
    done: bool
    predecessor: str | None = None
    children: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """The election is over for everybody."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The own znode was not seen. Only a quorum operation on the live session can say whether it is gone."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The own candidate is the first."""


@dataclass(frozen=True, slots=True)
class Follow:
    """The predecessor lives."""

    predecessor: str


@dataclass(frozen=True, slots=True)
class Look:
    """Not decided: look at this predecessor, or list the children when it is None."""

    predecessor: str | None


Verdict = Over | Missing | Lead | Follow | Look


def decide(own: str, view: View) -> Verdict:
    """Say what a view means for the candidate named ``own`` (``le_0000000012``)."""
    if view.done or (view.children is not None and DONE in view.children):
        return Over()
    if not view.own_stands:
        return Missing()
    if view.predecessor is not None:
        return Follow(view.predecessor)
    if view.children is None:
        return Look(None)
    if own not in view.children:
        return Missing()
    predecessor = predecessor_of(own, view.children)
    return Lead() if predecessor is None else Look(predecessor)


class Supply(Enum):
    """What is left of an election node's numbers."""

    PLENTY = "plenty"
    SCARCE = "scarce"  # to be said loudly
    USED_UP = "used up"  # nobody may stand with this number: the next ones may not be unique


def supply_after(own: str) -> Supply:
    """Say what is left after the nomination that was given this name."""
    number = candidate_number(own)
    assert number is not None, "an own candidate has a candidate's name"
    if number >= REFUSED_FROM:
        return Supply.USED_UP
    return Supply.SCARCE if number >= WARNED_FROM else Supply.PLENTY


def candidate_number(name: str) -> int | None:
    """Return the sequence number in a candidate's name, or None when the name is not a candidate's."""
    return int(name[len(CANDIDATE_PREFIX) :]) if _is_candidate(name) else None


def _is_candidate(name: str) -> bool:
    return _CANDIDATE_NAME.fullmatch(name) is not None and name <= _LAST_NAME


def candidate_name(number: int) -> str:
    """Return the name of the candidate with this number, as ZooKeeper prints it."""
    return f"{CANDIDATE_PREFIX}{number:010d}"


def name_before(name: str) -> str | None:
    """Return the name that was given out just before this one under the same parent; None before the first.

    When a candidate of that name lives, it *is* the predecessor: no number lies between the two.
    """
    number = candidate_number(name)
    return candidate_name(number - 1) if number else None


def in_order(children: Iterable[str]) -> list[str]:
    """Return the candidates among the children, the oldest (who leads) first; what is no candidate is left out."""
    return sorted(filter(_is_candidate, children))


def predecessor_of(own: str, children: Iterable[str]) -> str | None:
    """Return the candidate just before ``own``, or None when it is the first."""
    return max((child for child in in_order(children) if child < own), default=None)


def strangers(children: Iterable[str]) -> list[str]:
    """Return, sorted, the children that are no part of an election."""
    return sorted(child for child in children if child != DONE and not _is_candidate(child))


def check_resource(resource: object) -> str:
    """Return the election node's path when ZooKeeper can have one there.

    :raises TypeError: when it is not a string.
    :raises ValueError: when it is relative, empty, the root, or malformed.
    """
    if not isinstance(resource, str):
        raise TypeError(f"the election node's path must be a str, not {type(resource).__name__}")
    if problem := _path_problem(resource):
        raise ValueError(f"{resource[:100]!r} cannot be an election node: {problem}; give a path such as '/election'")
    return resource


def check_name(name: object) -> bytes:
    """Return a candidate's name as the data of its znode.

    :raises TypeError: when it is not a string.
    :raises ValueError: when it is empty, too large, or cannot be encoded.
    """
    if not isinstance(name, str):
        raise TypeError(f"a candidate's name must be a str, not {type(name).__name__}")
    if not name:
        raise ValueError("a candidate's name must not be empty; leave it out to get 'host:pid'")
    try:
        data = name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a candidate's name must be encodable as UTF-8: {error}") from None
    if len(data) > MAXIMUM_NAME_BYTES:
        raise ValueError(
            f"a candidate's name of {len(data)} bytes is too large for a znode; {MAXIMUM_NAME_BYTES} are the most"
        )
    return data


def check_candidate_id(candidate_id: object) -> tuple[str, str]:
    """Split a candidate's path into election node and name.

    :raises TypeError: when it is not a string.
    :raises ValueError: when it is not the path of a candidate.
    """
    if not isinstance(candidate_id, str):
        raise TypeError(f"a candidate's id must be a str, not {type(candidate_id).__name__}")
    resource, _, name = candidate_id.rpartition("/")
    if candidate_number(name) is None or _path_problem(resource):
        raise ValueError(f"{candidate_id[:100]!r} is not a candidate's id such as '/election/le_0000000012'")
    return resource, name


def _path_problem(path: str) -> str | None:
    if _ORDINARY_PATH.fullmatch(path) and len(path) <= MAXIMUM_PATH_BYTES:
        return None
    segments = path[1:].split("/")
    problems = {
        "it is empty": not path,
        "it is relative": not path.startswith("/"),
        "the root is not an election": path == "/",
        "it ends with a slash": path.endswith("/"),
        f"it is longer than {MAXIMUM_PATH_BYTES} bytes": len(path.encode(errors="replace")) > MAXIMUM_PATH_BYTES,
        "it has an empty segment": "" in segments,
        "it has a relative segment": "." in segments or ".." in segments,
        "it has a character that ZooKeeper refuses (NUL, control characters, surrogates)": bool(
            _FORBIDDEN_CHARACTERS.search(path)
        ),
    }
    return next((problem for problem, is_there in problems.items() if is_there), None)

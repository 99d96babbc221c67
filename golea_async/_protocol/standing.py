"""Who leads, who follows whom: names, their order and the next role. Pure: no I/O, no clock.

Theory of operation
===================

A candidate is an ephemeral sequential znode ``le_0000000012`` under the election node. ZooKeeper numbers the children
of a znode in the order of their creation, so the candidate with the lowest number is the oldest and leads, and every
other one follows the candidate just before it, and nobody else: one departure wakes one follower (no herd).

The number is a signed 32-bit counter of all creations under the parent (PrepRequestProcessor.java:667), printed with
``%010d``: after 2147483647 comes -2147483648, ten digits become a minus sign and ten digits. Hence the numbers form a
circle, and the oldest of a set is the one behind the widest gap on it. Living candidates span far less than half the
circle, so that gap is the one between the youngest and the oldest.

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

CANDIDATE_PREFIX = "le_"
DONE = "DONE"
DONE_DATA = b"done"

# The name is sent in one packet with its path and ACL, and a server drops the connection of a client whose packet is
# larger than jute.maxbuffer (1048575 bytes by default): not an error that a client could tell from a broken network.
MAXIMUM_NAME_BYTES = 1_000_000
MAXIMUM_PATH_BYTES = 40_000

_CIRCLE = 2**32
# What Java's %010d prints: ten digits, or a minus sign and nine (not all zero) or, without a leading zero, ten.
_CANDIDATE_NAME = re.compile("le_([0-9]{10}|-(?!0{9})[0-9]{9}|-[1-9][0-9]{9})")
_ORDINARY_PATH = re.compile("(/[A-Za-z0-9_-]+)+")
# PathUtils.java: characters that ZooKeeper refuses in a path.
_FORBIDDEN_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")


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


def candidate_number(name: str) -> int | None:
    """Return the sequence number in a candidate's name, or None when the name is not a candidate's."""
    match = _CANDIDATE_NAME.fullmatch(name)
    if match is None:
        return None
    number = int(match[1])
    return number if -(2**31) <= number < 2**31 else None


def candidate_name(number: int) -> str:
    """Return the name of the candidate with this number, as ZooKeeper prints it (Java's ``%010d``)."""
    return f"{CANDIDATE_PREFIX}{number:010d}"


def name_before(name: str) -> str | None:
    """Return the name that was given out just before this one under the same parent; None before the first.

    When a candidate of that name lives, it *is* the predecessor: no number lies between the two.
    """
    number = candidate_number(name)
    if number is None or number == 0:
        return None
    return candidate_name(number - 1 if number > -(2**31) else 2**31 - 1)


def in_order(children: Iterable[str]) -> list[str]:
    """Return the candidates among the children, the oldest (who leads) first; what is no candidate is left out."""
    return list(map(candidate_name, _numbers_in_order(children)))


def predecessor_of(own: str, children: Iterable[str]) -> str | None:
    """Return the candidate just before ``own``, or None when it is the first. It must be among the children."""
    order, number = _numbers_in_order(children), candidate_number(own)
    assert number is not None, "an own candidate has a candidate's name"
    place = order.index(number)
    return candidate_name(order[place - 1]) if place else None


def _numbers_in_order(children: Iterable[str]) -> list[int]:
    numbers = sorted([number for child in children if (number := candidate_number(child)) is not None])
    if not numbers or numbers[-1] - numbers[0] < _CIRCLE // 2:
        return numbers  # nearly always: the widest gap is the one around the circle
    gaps = [(number - numbers[index - 1]) % _CIRCLE for index, number in enumerate(numbers)]
    first = max(range(len(numbers)), key=gaps.__getitem__)
    return numbers[first:] + numbers[:first]


def strangers(children: Iterable[str]) -> list[str]:
    """Return, sorted, the children that are no part of an election."""
    return sorted(child for child in children if child != DONE and candidate_number(child) is None)


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
    if _ORDINARY_PATH.fullmatch(path) and len(path) <= MAXIMUM_PATH_BYTES and not path.startswith("/zookeeper"):
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
        "/zookeeper and what is below is ZooKeeper's own": segments[0] == "zookeeper",
        "it has a character that ZooKeeper refuses (NUL, control characters, beyond 16 bits)": bool(
            _FORBIDDEN_CHARACTERS.search(path)
        ),
    }
    return next((problem for problem, is_there in problems.items() if is_there), None)

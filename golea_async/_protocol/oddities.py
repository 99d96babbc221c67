"""What an operator should know of, and in which words: one WARNING each. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

from .znodes import CANDIDATE_PREFIX, Supply, strangers, supply_after

# A znode of no session has the owner 0, or, as a container, Long.MIN_VALUE (EphemeralType.java).
OWNERS_OF_LASTING_ZNODES = (0, -(2**63), 2**63)

_MOST_NAMED = 5
_MOST_ELECTIONS = 1024


def lasting_candidate(path: str, ephemeral_owner: int) -> str | None:
    """Say that the candidate that is followed belongs to no session; None when it belongs to one."""
    if ephemeral_owner not in OWNERS_OF_LASTING_ZNODES:
        return None
    return (
        f"the candidate {path} belongs to no session: somebody has made or restored it as a persistent znode, it never "
        f"goes by itself, and nobody behind it ever leads; remove it: `await depose(zk, {path!r}, force=True)`"
    )


def other_recipes(resource: str, children: Iterable[str]) -> str | None:
    """Say that the election node has children that are no part of an election; None when it has none."""
    others = strangers(children)
    if not others:
        return None
    named = ", ".join(each[:100] for each in others[:_MOST_NAMED])
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    is_before = others[0] < CANDIDATE_PREFIX
    golea = f"; GoLea takes what sorts before {CANDIDATE_PREFIX} for a candidate" if is_before else ""
    return (
        f"the election node {resource} has children of something else: {named}{more}. If that elects a leader, too, "
        f"two lead: neither counts the other's candidates{golea}. Give each a path of its own"
    )


def scarce_numbers(path: str) -> str | None:
    """Say that the election node is running out of numbers for candidates; None while it has plenty."""
    resource, _, name = path.rpartition("/")
    if supply_after(name) is Supply.PLENTY:
        return None
    return (
        f"the election node {resource} is running out of numbers ({name}; they end at 2147483647, and nominating is "
        "refused a little before): delete the election and make it anew, by `delete_election` and `create_election`"
    )


def used_up_numbers(resource: str) -> str:
    """Say why nobody may stand any more."""
    return (
        f"the election node {resource} has no numbers left: what comes next might be given to two candidates; delete "
        "the election and make it anew, by `delete_election` and `create_election`"
    )


def smaller_token(path: str, token: int, seen: int) -> str | None:
    """Say that a new candidate's token is not greater than one that was seen before it was nominated; None if it is."""
    if token > seen:
        return None
    return (
        f"the fencing token of {path} is {token}, and this process has seen {seen} in the same election: ZooKeeper's "
        "history went back, as after a restore. Stores that remember the greater one refuse this leader: see "
        "docs/fencing.md on how to lower that safely"
    )


def strange_request(path: str, what: str) -> str:
    """Say that an election node has a child for operators' requests from which nothing follows."""
    return (
        f"{path} is where operators ask candidates to step down, and {what}: nobody follows it. Remove it, unless it "
        "is that of a newer version of golea_async"
    )


class SeenTokens:
    """The greatest token that this process has seen in each election; of the elections seen last, that is."""

    def __init__(self) -> None:
        self._greatest: OrderedDict[Hashable, int] = OrderedDict()

    def greatest(self, election: Hashable) -> int:
        """Return it; -1 when none was seen."""
        return self._greatest.get(election, -1)

    def note(self, election: Hashable, token: int) -> None:
        """Take note of a token."""
        self._greatest[election] = max(token, self.greatest(election))
        self._greatest.move_to_end(election)
        if len(self._greatest) > _MOST_ELECTIONS:
            self._greatest.popitem(last=False)

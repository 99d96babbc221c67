"""What an operator asks of candidates: the child ``step_down`` of an election node, and what it says. Pure.

The child is ephemeral, so that it goes with the operator. Its data is JSON in UTF-8::

    {"candidates": ["le_0000000003"], "to": "le_0000000007", "by": "host:pid", "id": "5f3a..."}
    {"candidates": ["le_0000000003"], "leave": true, "by": "host:pid", "id": "5f3a..."}

``candidates`` are to leave their places: to go to the end of the line, or with ``leave`` to stand no more. ``id`` tells
two requests of one operator apart. GoLea sorts the child behind all candidates, and never follows it.

The child's version says how far a transfer is, and a candidate moves only while it is the one that it has read:

    version 0         the followers before the target are asked (or, with ``leave``, whoever is to leave)
    version 1 and on  the leader is asked: nobody stands between it and the target any more

So what a leader has sent for a request that was given up can be carried out within a later request only where that asks
the same leader for the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Appeal:
    """What the child says.

    :ivar candidates: the names of the znodes that are to leave their places.
    :ivar to: the name of the znode that is to lead next; it must still stand when they do. None: whoever it may be.
    :ivar by: who asks.
    :ivar leave: they are to stand no more.
    :ivar id: tells two requests of one operator apart.
    """

    candidates: tuple[str, ...]
    to: str | None
    by: str
    leave: bool = False
    id: str = ""

    def encode(self) -> bytes:
        """Return the child's data."""
        what = {"leave": True} if self.leave else {"to": self.to}
        return json.dumps({"candidates": list(self.candidates), **what, "by": self.by, "id": self.id}).encode()


@dataclass(frozen=True, slots=True)
class Order:
    """An appeal to one candidate, as that has read it.

    :ivar version: of the child: the candidate moves only while it is this one.
    :ivar target: full path of the znode that must still stand then; None: none must.
    """

    by: str
    version: int
    target: str | None = None
    leaves: bool = False


def read_appeal(data: bytes | None) -> Appeal | None:
    """Return what the child says; None when it is nothing that this version understands."""
    try:
        says = json.loads(data or b"")
    except ValueError:
        return None
    if not isinstance(says, dict):
        return None
    candidates, to, by = says.get("candidates"), says.get("to"), says.get("by")
    is_list = isinstance(candidates, list) and all(isinstance(each, str) for each in candidates)
    if not is_list or not isinstance(by, str) or not isinstance(to, str | None):
        return None
    return Appeal(tuple(candidates or ()), to, by, says.get("leave") is True, str(says.get("id", "")))

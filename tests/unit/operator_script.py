"""What an operator asks of candidates, in the words of `script.py`, and what ZooKeeper replies to that."""

from __future__ import annotations

from typing import Any, TypeVar

import aiozk
from aiozk import exc

from golea_async._protocol.appeal import Appeal
from golea_async._protocol.asking import Asking
from golea_async._protocol.steps import Pause
from golea_async._protocol.transfer import Removal, Transfer
from golea_async._zookeeper.requests import Requests

from .script import (
    NODE_CZXID,
    NOT_THERE,
    OTHER_SESSION,
    RESOURCE,
    SESSION,
    TAKEN,
    listed,
    results,
    short,
    shown,
    there,
)

ZK = Requests("", [aiozk.ACL.make("world", "anyone", read=True)])
BY, ID, DEADLINE = "ops:1", "5f3a", 30.0
A, B, C, D = (f"le_{number:010d}" for number in range(4))
E = "le_0000000005"  # who comes later, or where one stands that has gone to the end of the line
NAMES = {A: b"anna", B: b"bert", C: b"carl", D: b"dora"}
LOOK = ["check /election", "list", "get step_down"]
MEETS = ["get le_1", "check /election", "get le_1", "list", "get step_down"]
FINE, CHECKED, THERE = results(TAKEN), results(None), there()
UNREADABLE = exc.NoAuth()
LASTING = 0  # the owner of a znode that belongs to no session

Line = tuple[Any, Any]
SomeAsking = TypeVar("SomeAsking", bound=Asking)


def transfer(to: str | None = None, *, deadline: float = DEADLINE) -> Transfer:
    return _connected(Transfer(RESOURCE, to, by=BY, request_id=ID, deadline=deadline))


def removal(name: str = B) -> Removal:
    return _connected(Removal(RESOURCE, name, by=BY, request_id=ID, deadline=DEADLINE))


def _connected(asking: SomeAsking) -> SomeAsking:
    asking.now, asking.session_id = 0.0, SESSION
    return asking


# ---------------------------------------------------------------------- what ZooKeeper shows


def says(appeal: Appeal, *, version: int = 0, owner: int = SESSION) -> Any:
    """What `step_down` shows, by default the one that this operator's session has made."""
    return shown(appeal.encode(), 700, owner=owner, version=version)


def asked(*candidates: str, to: str, by: str = BY, id: str = ID) -> Appeal:  # noqa: A002
    """These are to go to the end of the line, so that this one leads next."""
    return Appeal(candidates, to, by, id=id)


def asked_to_leave(candidate: str) -> Appeal:
    return Appeal((candidate,), None, BY, leave=True, id=ID)


def candidate(name: str, *, owner: int = OTHER_SESSION, czxid: int | None = None) -> Any:
    return shown(NAMES[name], 100 + int(name[3:]) if czxid is None else czxid, owner=owner)


# ---------------------------------------------------------------------- what is sent, and the replies


def look(*names: str, child: object = NOT_THERE, czxid: int = NODE_CZXID) -> Line:
    return LOOK, [CHECKED, listed(*names, czxid=czxid), child]


def meets(
    *names: str, shows: object = None, at_once: object = None, child: object = NOT_THERE, czxid: int = NODE_CZXID
) -> Line:
    """The first look of a removal, which reads B, at once and just before the list; something else may be shown."""
    _, seen = look(*names, child=child, czxid=czxid)
    node = candidate(B) if shows is None else shows
    return MEETS, [node if at_once is None else at_once, seen[0], node, *seen[1:]]


def reads(*names: str, shows: object = None) -> Line:
    """It reads these candidates, all of which stand; of the last one something else may be shown."""
    nodes = [candidate(name) for name in names]
    return [f"get {short(name)}" for name in names], nodes if shows is None else [*nodes[:-1], shows]


def writes(operations: str, reply: object = FINE) -> Line:
    """It changes the child."""
    return [f"multi[{operations}]"], [reply]


def watches(*names: str, child: object = THERE, done: object = NOT_THERE, shows: object = None) -> Line:
    """It watches `DONE`, the child and these candidates; of the last one something else may be shown."""
    sent, nodes = reads(*names, shows=shows)
    assert isinstance(sent, list)
    assert isinstance(nodes, list)
    return ["exists DONE (w)", "get step_down (w)", *(f"{get} (w)" for get in sent)], [done, child, *nodes]


def pauses(seconds: float = DEADLINE) -> Line:
    """Until an event, or for so long."""
    return Pause(seconds), False


def takes_back(child: Any, *left: str) -> list[Line]:
    """It deletes the child, and lists behind that."""
    deletion = f"delete step_down at {child.stat.version}"
    return [
        (["check /election", "get step_down"], [CHECKED, child]),
        ([deletion, "list"], [TAKEN, listed(*left)]),
    ]


def nothing_to_delete(*left: str) -> list[Line]:
    """It takes back what has gone with the session, or was deleted by hand."""
    return [(["check /election", "get step_down"], [CHECKED, NOT_THERE]), (["list"], [listed(*left)])]


FOR_B, FOR_C = asked(A, to=B), asked(B, to=C)
"""The leader A is to step down for B, or the follower B, so that C follows the leader."""
ASKS_B = "create step_down: le_1 -> le_2"
ASKS_A = "create step_down: le_0 -> le_1, set step_down at 0: le_0 -> le_1"

"""The words in which unit tests say what a coroutine of the protocol asks, and the replies; those of docs/protocol.md.

    create le_           get le_7 (w)         exists DONE            list
    check le_7           delete step_down at 1                       multi[delete DONE, delete /election]
    create step_down: le_1 le_2 -> le_3                              set step_down at 0: le_3 leaves

Paths are short: a candidate's is ``le_7``, the election node's is whole, any other one is its name.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any

import pytest
from aiozk import exc, protocol

from golea_async import ElectionError
from golea_async._protocol.appeal import read_appeal
from golea_async._protocol.steps import Ask
from golea_async._protocol.teardown import NO_VERSION
from golea_async._protocol.znodes import CANDIDATE_PREFIX, DONE, DONE_DATA, STEP_DOWN
from golea_async._zookeeper.wire import (
    CheckVersion,
    Children,
    Create,
    Delete,
    Exists,
    Found,
    Get,
    Listed,
    Multi,
    SetData,
    Shown,
    Stat,
    kind_of_watch,
)

RESOURCE = "/election"
SESSION, OTHER_SESSION = 0x10, 0x20
NODE_CZXID = 5  # of the election node

NOT_THERE = exc.NoNode()
TAKEN = protocol.DeleteResponse()

Script = Iterable[tuple[object, object]]

_WORDS = {
    Create: "create",
    Get: "get",
    Exists: "exists",
    Children: "list",
    Delete: "delete",
    CheckVersion: "check",
    SetData: "set",
}


def describe(request: Any) -> str:
    """Return a request in these words."""
    if isinstance(request, Multi):
        parts = [describe(each) for each in request.requests]
        is_check = len(parts) == 1 and isinstance(request.requests[0], CheckVersion)
        return parts[0] if is_check else f"multi[{', '.join(parts)}]"
    verb = _WORDS[type(request)]
    if isinstance(request, Children) and request.path == RESOURCE:
        return verb
    version = getattr(request, "version", -1)
    at = {-1: "", NO_VERSION: " never"}.get(version, f" at {version}")
    watch = " (w)" if kind_of_watch(request) is not None else ""
    return f"{verb} {_place(request.path)}{at}{watch}{_asked(request)}"


def _place(path: str) -> str:
    parent, _, name = path.rpartition("/")
    return short(name) if parent == RESOURCE else path


def _asked(request: Any) -> str:
    """Return what an operator's request says."""
    if isinstance(request, Create):
        _check_created(request)
    appeal = read_appeal(request.data) if isinstance(request, Create | SetData) else None
    if appeal is None:
        return ""
    names, to = " ".join(map(short, appeal.candidates)), short(appeal.to or "")
    return f": {names} leaves" if appeal.leave else f": {names} -> {to}"


def _check_created(request: Create) -> None:
    """Assert what is the same in all elections: what goes with its session, what gets a number, what `DONE` says."""
    name = request.path.rpartition("/")[2]
    flags = {CANDIDATE_PREFIX: Create.EPHEMERAL_FLAG | Create.SEQUENTIAL_FLAG, STEP_DOWN: Create.EPHEMERAL_FLAG}
    assert request.flags == flags.get(name, 0)
    if name == DONE:
        assert request.data == DONE_DATA


def short(name: str) -> str:
    """Return ``le_7`` for ``le_0000000007``; any other name as it is."""
    return f"le_{int(name[3:])}" if name.startswith("le_0") else name


def play(steps: Coroutine[Any, Any, None], script: Script) -> None:
    """Drive a coroutine through a script, of which each line is what it is to ask for, and what it is told.

    An error that it is told is thrown in; behind the last line it has to end.
    """
    told = _play_on(steps, script)
    with pytest.raises(StopIteration):
        _resume(steps, told)


def interrupted(steps: Coroutine[Any, Any, None], script: Script) -> None:
    """Drive it through a script until its connection is lost: it is not told the last reply."""
    _play_on(steps, script)
    steps.close()


def behind(steps: Coroutine[Any, Any, None], script: Script) -> Any:
    """Drive it through a script, and return the step behind that, which is the last one."""
    step = _resume(steps, _play_on(steps, script))
    steps.close()
    return step


def _play_on(steps: Coroutine[Any, Any, None], script: Script) -> Any:
    """Return what it is to be told next."""
    told: Any = None
    for expected, reply in script:
        step = _resume(steps, told)
        asked = [describe(each) for each in step.requests] if isinstance(step, Ask) else step
        assert asked == expected
        told = reply
    return told


def _resume(steps: Coroutine[Any, Any, None], told: Any) -> Any:
    return steps.throw(told) if isinstance(told, BaseException) else steps.send(told)


def refused(
    steps: Coroutine[Any, Any, None], script: Script, error: type[ElectionError], match: str | None = None
) -> ElectionError:
    """Play a script behind whose last line the coroutine raises this error; return that."""
    with pytest.raises(error, match=match) as caught:
        play(steps, script)
    assert caught.value.resource == RESOURCE
    return caught.value


def stat(czxid: int = NODE_CZXID, *, owner: int = 0, version: int = 0, children: int = 0, modified: int = 0) -> Stat:
    """Return a znode's stat; `modified` is the zxid of the latest change of its children."""
    return Stat(czxid, czxid, 0, 0, version, 0, 0, owner, 0, children, modified)


def listed(*children: str, czxid: int = NODE_CZXID) -> Listed:
    """Return the reply to a list."""
    return Listed(list(children), stat(czxid))


def results(*each: Any) -> protocol.TransactionResponse:
    """Return the reply to a transaction."""
    reply = protocol.TransactionResponse()
    reply.responses += each
    return reply


def failed(of: int, place: int, error: Exception) -> protocol.TransactionResponse:
    """Return what ZooKeeper answers to a transaction of so many operations of which this one has failed."""
    return results(*[exc.RolledBack()] * place, error, *[exc.RuntimeInconsistency()] * (of - place - 1))


def there(*, owner: int = 0) -> Found:
    """Return what an `exists` shows of a znode that is there."""
    return Found(stat(owner=owner))


def shown(data: bytes | None, czxid: int, *, owner: int = OTHER_SESSION, version: int = 0) -> Shown:
    """Return what a `get` shows."""
    return Shown(data, stat(czxid, owner=owner, version=version))

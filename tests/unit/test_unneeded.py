"""When watches that nobody needs are removed, and which."""

from __future__ import annotations

import math

import aiozk
import pytest
from aiozk import exc, protocol

from golea_async._zookeeper import wire as _requests
from golea_async._zookeeper.stale_watches import QUIET, REMOVED_AT_ONCE, REMOVED_WITHIN, UnneededWatches
from golea_async._zookeeper.wire import WatchKind

NOW = 1000.0
DATA, CHILDREN = WatchKind.DATA, WatchKind.CHILDREN


@pytest.fixture
def unneeded() -> UnneededWatches:
    unneeded = UnneededWatches()
    unneeded.add([("/a", DATA)], NOW)
    return unneeded


def taken(unneeded: UnneededWatches) -> list[tuple[str, int]]:
    return [(removal.path, removal.type) for removal in unneeded.take()]


def test_when_it_is_quiet(unneeded: UnneededWatches) -> None:
    assert unneeded.due(last_traffic=NOW) == NOW + QUIET
    assert unneeded.due(last_traffic=NOW + QUIET) == NOW + 2 * QUIET


def test_or_within_a_bound(unneeded: UnneededWatches) -> None:
    """Of the first one: those that come later go with it."""
    unneeded.add([("/b", DATA)], NOW + REMOVED_WITHIN / 2)
    assert unneeded.due(last_traffic=NOW + REMOVED_WITHIN) == NOW + REMOVED_WITHIN
    assert taken(unneeded) == [("/a", 2), ("/b", 2)]
    assert unneeded.due(last_traffic=NOW) == math.inf
    assert not unneeded


def test_the_bound_begins_anew(unneeded: UnneededWatches) -> None:
    unneeded.take()
    unneeded.add([("/b", DATA)], NOW + 1)
    assert unneeded.due(last_traffic=NOW + 5) == NOW + 1 + REMOVED_WITHIN


SETS_AGAIN = [
    (protocol.ExistsRequest(path="/a", watch=True), DATA),
    (protocol.GetDataRequest(path="/a", watch=True), DATA),
    (protocol.GetChildrenRequest(path="/a", watch=True), CHILDREN),
    (protocol.GetChildren2Request(path="/a", watch=True), CHILDREN),
    (_requests.Exists("/a", watch=True), DATA),
    (_requests.Get("/a", watch=True), DATA),
    (_requests.Children("/a", watch=True), CHILDREN),
]


@pytest.mark.parametrize(("request_again", "kind"), SETS_AGAIN)
def test_set_again(unneeded: UnneededWatches, request_again: object, kind: WatchKind) -> None:
    unneeded.add([("/a", CHILDREN)], NOW)
    unneeded.add([("/b", kind)], NOW)
    unneeded.sent([request_again])
    assert ("/a", kind) not in taken(unneeded)


CHANGED, GONE = protocol.WatchEvent.DATA_CHANGED, protocol.WatchEvent.DELETED
NO_NODE = exc.NoNode()
AGAIN = [
    # request, event before its answer, answer, whether the server has a watch then that nobody may listen to
    (_requests.Exists("/a", watch=True), None, None, False),
    (_requests.Exists("/a", watch=True), None, NO_NODE, False),
    (_requests.Exists("/a", watch=True), CHANGED, None, True),
    (_requests.Exists("/a", watch=True), GONE, NO_NODE, True),
    (_requests.Get("/a", watch=True), None, None, False),
    (_requests.Get("/a", watch=True), None, NO_NODE, True),
    (_requests.Get("/a", watch=True), GONE, NO_NODE, False),
    (_requests.Get("/a", watch=True), CHANGED, None, True),
]


@pytest.mark.parametrize(("again", "event", "answer", "is_left"), AGAIN)
def test_what_is_there_when_it_was_set_again(
    unneeded: UnneededWatches, again: object, event: int | None, answer: object, is_left: bool
) -> None:
    unneeded.sent([again])
    assert not unneeded
    if event is not None:
        unneeded.heard(event, "/a")
    assert unneeded.answered(again, answer) == (("/a", DATA) if is_left else None)
    assert unneeded.answered(again, answer) is None


def test_set_again_behind_the_removal(unneeded: UnneededWatches) -> None:
    """The event comes before both answers: it is that of the former watch."""
    (removal,) = unneeded.take()
    again = _requests.Exists("/a", watch=True)
    unneeded.sent([again])
    unneeded.heard(CHANGED, "/a")
    assert unneeded.answered(removal, exc.NoNode()) is None
    assert unneeded.answered(again, None) == ("/a", DATA)


def test_removed(unneeded: UnneededWatches) -> None:
    (removal,) = unneeded.take()
    assert unneeded.answered(removal, None) is None
    unneeded.heard(CHANGED, "/a")
    again = _requests.Exists("/a", watch=True)
    unneeded.sent([again])
    assert unneeded.answered(again, None) is None


def test_an_event_uses_it_up(unneeded: UnneededWatches) -> None:
    unneeded.add([("/a", CHILDREN)], NOW)
    unneeded.heard(CHANGED, "/a")
    assert taken(unneeded) == [("/a", CHILDREN)]


@pytest.mark.parametrize("other", [*(type(again) for again, _ in SETS_AGAIN)])
def test_looked_at_without_a_watch(unneeded: UnneededWatches, other: type) -> None:
    unneeded.sent([other(path="/a", watch=False)])
    unneeded.sent([other(path="/b", watch=True)])
    unneeded.sent([_requests.Create("/a", b"", [aiozk.ACL.make("world", "anyone")], 0)])
    assert taken(unneeded) == [("/a", DATA)]


def test_many_go_in_parts(unneeded: UnneededWatches) -> None:
    for number in range(2 * REMOVED_AT_ONCE):
        unneeded.add([(f"/{number}", DATA)], NOW)
    sizes = [len(unneeded.take()) for _ in range(3)]
    assert sizes == [REMOVED_AT_ONCE, REMOVED_AT_ONCE, 1]
    assert not unneeded


def test_none(unneeded: UnneededWatches) -> None:
    unneeded.clear()
    assert not unneeded
    assert unneeded.due(NOW) == math.inf
    assert unneeded.take() == []

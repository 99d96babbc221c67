"""The library's own bytes for an election's requests and replies, held to aiozk's."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import aiozk
import pytest
from aiozk import exc, protocol
from hypothesis import given
from hypothesis import strategies as st

from golea_async._zookeeper import wire as _requests
from golea_async._zookeeper.wire import ReadsItsReply

XID = 12
OFFSET = 16  # of a reply's body, behind its header
HEADER = bytes(OFFSET)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
buffers = st.none() | st.binary(max_size=30)
ints = st.integers(-(2**31), 2**31 - 1)
longs = st.integers(-(2**63), 2**63 - 1)
acls = st.lists(st.builds(aiozk.ACL.make, texts, texts, read=st.booleans(), admin=st.booleans()), max_size=3)


def stat(numbers: list[int]) -> bytes:
    return struct.pack("!qqqqiiiqiiq", *numbers)


stats = st.tuples(longs, longs, longs, longs, ints, ints, ints, longs, ints, ints, longs).map(list)


def string(text: str) -> bytes:
    return struct.pack("!i", len(text.encode())) + text.encode()


def buffer(data: bytes | None) -> bytes:
    return struct.pack("!i", -1 if data is None else len(data)) + (data or b"")


@given(path=texts, data=buffers, acl=acls, flags=ints)
def test_create(path: str, data: bytes, acl: list[aiozk.ACL], flags: int) -> None:
    theirs = protocol.Create2Request(path=path, data=data, acl=acl, flags=flags)
    assert _requests.Create(path, data, acl, flags).serialize(XID) == theirs.serialize(XID)


@given(path=texts, watch=st.booleans())
def test_reads(path: str, watch: bool) -> None:
    for ours, theirs in (
        (_requests.Get, protocol.GetDataRequest),
        (_requests.Exists, protocol.ExistsRequest),
        (_requests.Children, protocol.GetChildren2Request),
    ):
        assert ours(path, watch).serialize(XID) == theirs(path=path, watch=watch).serialize(XID)


@given(path=texts, version=ints, data=buffers, acl=acls)
def test_what_changes_something(path: str, version: int, data: bytes, acl: list[aiozk.ACL]) -> None:
    theirs = protocol.DeleteRequest(path=path, version=version)
    assert _requests.Delete(path, version).serialize(XID) == theirs.serialize(XID)
    removal = protocol.RemoveWatchesRequest(path=path, type=2)
    assert _requests.RemoveWatches(path, _requests.WatchKind.DATA).serialize(XID) == removal.serialize(XID)
    transaction = protocol.TransactionRequest()
    for part in (
        protocol.CheckVersionRequest(path=path, version=version),
        protocol.Create2Request(path=path, data=data, acl=acl, flags=0),
        protocol.SetDataRequest(path=path, data=data, version=version),
        theirs,
    ):
        transaction.add(part)
    ours = _requests.Multi(
        [
            _requests.CheckVersion(path, version),
            _requests.Create(path, data, acl, 0),
            _requests.SetData(path, data, version),
            _requests.Delete(path, version),
        ]
    )
    assert ours.serialize(XID) == transaction.serialize(XID)


def read(request: ReadsItsReply, body: bytes) -> tuple[Any, Any]:
    """The reply as it is read here, and as aiozk reads it."""
    return request.read(HEADER + body, OFFSET), protocol.response_xref[request.opcode].deserialize(body)


def assert_same(ours: Any, theirs: Any) -> None:
    """The same values under the names that both have."""
    for name, _ in theirs.parts:
        if name == "stat":
            assert_same(ours.stat, theirs.stat)
        else:
            assert getattr(ours, name) == getattr(theirs, name)


@given(text=texts, data=buffers, children=st.lists(texts, max_size=4), numbers=stats)
def test_replies(text: str, data: bytes | None, children: list[str], numbers: list[int]) -> None:
    names = struct.pack("!i", len(children)) + b"".join(map(string, children))
    for request, body in (
        (_requests.Create("/", b"", [], 0), string(text) + stat(numbers)),
        (_requests.Get("/", watch=False), buffer(data) + stat(numbers)),
        (_requests.Exists("/", watch=False), stat(numbers)),
        (_requests.Children("/", watch=False), names + stat(numbers)),
    ):
        assert_same(*read(request, body))


@given(text=texts, numbers=stats)
def test_the_results_of_a_transaction(text: str, numbers: list[int]) -> None:
    body = b"".join(
        [
            struct.pack("!i?i", 13, False, -1),
            struct.pack("!i?i", 15, False, -1) + string(text) + stat(numbers),
            struct.pack("!i?i", 5, False, -1) + stat(numbers),
            struct.pack("!i?i", 2, False, -1),
            struct.pack("!i?ii", -1, False, -101, -101),
            struct.pack("!i?i", -1, True, -1),
        ]
    )
    ours, theirs = read(_requests.Multi([]), body)
    assert [type(result) for result in ours.responses] == [type(result) for result in theirs.responses]
    assert isinstance(ours.responses[-1], exc.NoNode)
    assert ours.responses[1:3] == theirs.responses[1:3]


@given(kind=ints, state=ints, path=texts)
def test_a_watch_event(kind: int, state: int, path: str) -> None:
    body = struct.pack("!ii", kind, state) + string(path)
    assert_same(_requests.read_watch_event(HEADER + body, OFFSET), protocol.WatchEvent.deserialize(body))


@pytest.mark.parametrize(
    "request_",
    [_requests.Create("/", b"", [], 0), _requests.Get("/", watch=False), _requests.Children("/", watch=False)],
)
@given(body=st.binary(max_size=80))
def test_garbage_ends_by_an_exception_or_a_reply(request_: ReadsItsReply, body: bytes) -> None:
    """Lengths that lead back or beyond the end in particular."""
    with suppress(struct.error, ValueError):  # the connection takes these for garbage
        request_.read(HEADER + body, OFFSET)


def test_an_unknown_error_code_is_kept() -> None:
    assert _requests.response_error(-4711).error_code == -4711

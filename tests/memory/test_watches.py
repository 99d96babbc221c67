"""Watches that ZooKeeper 3.8 handles otherwise than later versions, which the in-memory one follows."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from golea_async.testing import MemoryZooKeeper
from tests.support.lockstep import ADD_WATCH, CHECK_WATCHES, REMOVE_WATCHES, LockstepClient, Scale, Told
from tests.support.wire import OpCode, pack_buffer, pack_text

CHILDREN, DATA, ANY = 1, 2, 3
PERSISTENT, RECURSIVE = 0, 1
FOUND, NO_WATCHER = 0, -121
CREATED, CHANGED = 1, 3


class Client(LockstepClient):
    def find(self, opcode: int, path: str, kind: int) -> int:
        """The error code."""
        code: int = self.request(opcode, pack_text(path) + struct.pack("!i", kind))[-1][2]
        return code

    def add_watch(self, path: str, mode: int) -> None:
        self.request(ADD_WATCH, pack_text(path) + struct.pack("!i", mode))

    def read(self, opcode: OpCode, path: str) -> None:
        self.request(opcode, pack_text(path) + b"\1")

    def create(self, path: str) -> None:
        acl = struct.pack("!ii", 1, 31) + pack_text("world") + pack_text("anyone")
        self.request(OpCode.CREATE, pack_text(path) + pack_buffer(b"") + acl + struct.pack("!i", 0))

    def set(self, path: str) -> None:
        self.request(OpCode.SET_DATA, pack_text(path) + pack_buffer(b"") + struct.pack("!i", -1))

    def events(self) -> list[Told]:
        """Type and path of what has come in."""
        return [(told[1], told[3]) for told in self.ping() if told[0] == "event"]


@pytest.fixture
def clients(zookeeper: MemoryZooKeeper) -> Iterator[tuple[Client, Client]]:
    scale = Scale()
    pair = (Client(zookeeper.servers[0].port, scale), Client(zookeeper.servers[0].port, scale))
    for client in pair:
        client.connect(timeout=6000)
    yield pair
    for client in pair:
        client.drop()


def test_only_ones_own_watches_are_found(clients: tuple[Client, Client]) -> None:
    owner, other = clients
    owner.read(OpCode.EXISTS, "/a")
    assert [owner.find(CHECK_WATCHES, "/a", kind) for kind in (CHILDREN, DATA, ANY)] == [NO_WATCHER, FOUND, FOUND]
    assert other.find(CHECK_WATCHES, "/a", ANY) == NO_WATCHER
    assert other.find(REMOVE_WATCHES, "/a", ANY) == NO_WATCHER
    assert owner.find(REMOVE_WATCHES, "/a", DATA) == FOUND
    assert owner.find(CHECK_WATCHES, "/a", ANY) == NO_WATCHER
    other.create("/a")
    assert owner.events() == []


@pytest.mark.parametrize("mode", [PERSISTENT, RECURSIVE])
def test_a_watch_that_fires_once_does_not_end_one_that_stays(clients: tuple[Client, Client], mode: int) -> None:
    owner, other = clients
    owner.add_watch("/a", mode)
    owner.read(OpCode.EXISTS, "/a")
    other.create("/a")
    other.set("/a")
    assert owner.events() == [(CREATED, "/a"), (CHANGED, "/a")]
    assert owner.find(REMOVE_WATCHES, "/a", ANY) == FOUND
    other.set("/a")
    assert owner.events() == []


def test_a_recursive_watch_hears_of_all_below(clients: tuple[Client, Client]) -> None:
    owner, other = clients
    owner.add_watch("/a", RECURSIVE)
    for path in ("/a", "/a/b", "/a/b/c", "/ab"):
        other.create(path)
    assert owner.events() == [(CREATED, path) for path in ("/a", "/a/b", "/a/b/c")]

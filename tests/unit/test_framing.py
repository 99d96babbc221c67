"""Frames are cut out of what comes in; and what is not worked off yet counts as unread."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from golea_async._zookeeper.framing import Framing

FRAMES = (b"one", b"", b"three")
STREAM = b"".join(len(frame).to_bytes(4, "big") + frame for frame in FRAMES)


class Reader(Framing):
    """Notes each frame, and whether more was unread while it was worked off."""

    def __init__(self) -> None:
        super().__init__("host", 2181)
        self.read: list[tuple[bytes, bool]] = []
        self.connection_made(asyncio.Transport())  # without a socket, in which nothing can lie

    def frame_received(self, frame: bytes) -> None:
        self.read.append((frame, self.has_unread))

    def fail(self, reason: str, tls_refusal: ssl.SSLError | None = None) -> None:
        self.failure = reason if tls_refusal is None else str(tls_refusal)


async def test_what_came_behind_a_frame_is_unread_until_that_is_worked_off() -> None:
    """A deletion's event may be in it, which whoever deletes by path has to have read (design.md, rule 3.11)."""
    reader = Reader()
    reader.data_received(STREAM)
    assert reader.read == [(b"one", True), (b"", True), (b"three", False)]
    assert not reader.has_unread


@pytest.mark.parametrize("size", [1, 2, 5, 9, 13])
async def test_frames_come_whole_however_they_are_cut(size: int) -> None:
    reader = Reader()
    for start in range(0, len(STREAM), size):
        reader.data_received(STREAM[start : start + size])
    assert [frame for frame, _ in reader.read] == list(FRAMES)
    assert not reader.has_unread


async def test_a_part_of_a_frame_is_unread() -> None:
    reader = Reader()
    reader.data_received(STREAM[:-1])
    assert reader.has_unread
    reader.data_received(STREAM[-1:])
    assert not reader.has_unread


async def test_a_frame_that_is_too_long_ends_the_connection() -> None:
    reader = Reader()
    reader.data_received(b"HTTP/1.1 400 Bad Request")
    assert reader.failure == "it speaks HTTP: this is no ZooKeeper port"

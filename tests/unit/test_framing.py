"""Frames are cut out of what comes in, and go out together; what is not worked off yet counts as unread."""

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


class Written(asyncio.Transport):
    """Keeps what is written, a piece for each write."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))


class Answering(Reader):
    """Answers each frame with ``size`` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.transport = Written()
        self.connection_made(self.transport)
        self._answer = b"." * size

    def frame_received(self, frame: bytes) -> None:
        super().frame_received(frame)
        self._write(self._answer)

    def tell(self, *payloads: bytes) -> None:
        self._write(*payloads)


async def test_what_is_written_while_frames_are_worked_off_goes_out_in_two_pieces() -> None:
    """The first at once: who waits for one thing waits for nothing else."""
    reader = Answering(2)
    reader.data_received(STREAM)
    assert reader.transport.pieces == [b"\0\0\0\x02..", b"\0\0\0\x02.." * 2]
    reader.tell(b"a", b"b")
    assert reader.transport.pieces[2:] == [b"\0\0\0\x01a\0\0\0\x01b"], "and everything else at once"


async def test_a_server_does_not_wait_for_the_last_of_thousands_of_requests() -> None:
    reader = Answering(1500)
    reader.data_received(STREAM * 2)
    assert [len(piece) for piece in reader.transport.pieces] == [1504, 4512, 3008]


async def test_nothing_is_written_on_a_connection_that_has_failed() -> None:
    reader = Answering(2)
    reader.data_received(STREAM + b"HTTP")
    assert reader.failure is not None
    assert len(reader.transport.pieces) == 1, "what was written before"

"""What a client has sent, cut into frames. No I/O."""

from __future__ import annotations

import struct

from ._wire import MalformedError

MAX_FRAME = 0xFFFFF  # jute.maxbuffer's default; longer frames are refused
LENGTH_SIZE = 4


class FrameBuffer:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._has_begun = False

    def feed(self, data: bytes) -> None:
        self._data += data

    def first(self) -> bytes | None:
        """The first complete frame, which stays; None while there is none.

        :raises MalformedError: a length that no frame has
        """
        if len(self._data) < LENGTH_SIZE:
            return None
        (length,) = struct.unpack_from("!i", self._data)
        if not 0 <= length <= MAX_FRAME:
            raise MalformedError(f"a frame of {length} bytes")
        end = LENGTH_SIZE + length
        return bytes(self._data[LENGTH_SIZE:end]) if len(self._data) >= end else None

    def remove(self, frame: bytes) -> None:
        """Drop the first frame."""
        del self._data[: LENGTH_SIZE + len(frame)]
        self._has_begun = True

    def four_letter_word(self) -> str | None:
        """The word, if the connection began with four letters where a length would be."""
        word = bytes(self._data[:LENGTH_SIZE])
        if self._has_begun or len(word) < LENGTH_SIZE or not word.isalpha():
            return None
        return word.decode()

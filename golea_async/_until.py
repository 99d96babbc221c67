"""Something that goes on until a block ends."""

from __future__ import annotations

from collections.abc import Callable


class Until:
    """A context whose end calls something; what it ends has begun when this was made.

    Candidates are inside one for as long as they stand: contextlib's would keep a generator and its frame for each.
    """

    __slots__ = ("_arguments", "_end")

    def __init__(self, end: Callable[..., object], *arguments: object) -> None:
        self._end = end
        self._arguments = arguments

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End it without a block."""
        self._end(*self._arguments)

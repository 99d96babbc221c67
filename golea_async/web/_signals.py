"""Hearing of SIGTERM beside the server, which goes on handling it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Signals:
    """Tells of SIGTERM and SIGINT as soon as they come; whoever handled them before handles them all the same.

    A server of which the signal is nobody's business (it runs in a thread, or has no handler) is left alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, told: Callable[[], None]) -> None:
        self._loop = loop
        self._told = told
        self._former: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            former = signal.getsignal(number)
            if callable(former):
                self._former[number] = former
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._told)
        self._former[number](number, frame)

    def restore(self) -> None:
        """Listen no longer; where somebody else has come to listen since, this stays in between."""
        self._told = _nothing
        for number, former in self._former.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, former)


def _nothing() -> None:
    """Have nothing to tell any more."""

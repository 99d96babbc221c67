"""Simulated time: one queue of what is going to happen, and the clocks by which everybody tells the time.

Nothing waits here. Time jumps from one event to the next, so that an hour takes seconds; and as every choice is drawn
from one seed, the same seed is the same hour.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class World:
    """True time, in seconds, and all that is going to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, time: float, callback: Callable[..., None], *arguments: Any) -> None:
        """Call at this time; never before now, and in the order of the calls among events of one instant."""
        time = max(time, self.now)
        heapq.heappush(self._queue, (time, next(self._order), callback, arguments))

    def after(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + seconds, callback, *arguments)

    def run_until(self, time: float) -> None:
        """Let everything happen that is due by then."""
        queue = self._queue
        while queue and queue[0][0] <= time:
            self.now, _, callback, arguments = heapq.heappop(queue)
            callback(*arguments)
        self.now = time


class Clock:
    """One machine's clock: it shows its own time and runs at its own rate, but never jumps."""

    def __init__(self, world: World, rate: float, offset: float) -> None:
        self._world = world
        self.rate = rate
        self._offset = offset

    def time(self) -> float:
        return self._offset + self._world.now * self.rate

    def true_time(self, time: float) -> float:
        """When this clock shows, or has shown, that time."""
        return (time - self._offset) / self.rate

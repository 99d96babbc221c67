"""A machine of the ensemble: it handles one thing after the other, by its own clock, unless it is frozen or dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .world import Clock, World


class Machine:
    """:ivar life: how often it was started; what is left of an earlier life is of no effect."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.world = world
        self.clock = clock
        self.is_dead = False
        self.is_frozen = False
        self.life = 0
        self._inbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    @property
    def is_running(self) -> bool:
        return not self.is_dead and not self.is_frozen

    def receive(self, handler: Callable[..., None], *arguments: Any) -> None:
        """Handle something now, or when it is thawed."""
        if self.is_dead:
            return
        if self.is_frozen:
            self._inbox.append((handler, arguments))
        else:
            handler(*arguments)

    def set_timer(self, seconds: float, handler: Callable[..., None], *arguments: Any) -> None:
        """Call after so many seconds of this machine's clock, unless it has died meanwhile."""
        self.world.after(seconds / self.clock.rate, self._timer_strikes, self.life, handler, arguments)

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        inbox, self._inbox = self._inbox, []
        for handler, arguments in inbox:
            self.receive(handler, *arguments)

    def die(self) -> None:
        self.is_dead = True
        self.is_frozen = False
        self.life += 1
        self._inbox.clear()

    def live(self) -> None:
        self.is_dead = False

    def _timer_strikes(self, life: int, handler: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if life == self.life:
            self.receive(self._of_this_life, life, handler, arguments)

    def _of_this_life(self, life: int, handler: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if life == self.life:
            handler(*arguments)

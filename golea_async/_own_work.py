"""The work of a leader that ends its own election."""

from __future__ import annotations

import asyncio
from typing import Self

import aiozk

from .leadership import Body, current_bodies


class OwnWork:
    """The work of leaders from which their own election is ended: it goes on until the ending is through.

    ``with OwnWork.here(zk, resource) as work: ...`` is around the ending.
    """

    def __init__(self, bodies: list[Body]) -> None:
        self._bodies = bodies
        self._caller = asyncio.current_task()

    @classmethod
    def here(cls, zk: aiozk.ZKClient, resource: str) -> Self:
        """Return the work within which this is called."""
        absolute_path = str(zk.normalize_path(resource))
        return cls([body for body in current_bodies.get() if body.stands_in(absolute_path)])

    def __enter__(self) -> Self:
        for body in self._bodies:
            body.hold()
        return self

    def __exit__(self, *_: object) -> None:
        self._caller = None  # which may have given up waiting: then its body is to be waited for as any other
        # In the next turn: a time limit of the caller's becomes a TimeoutError first, and work that returns is done.
        for body in self._bodies:
            asyncio.get_running_loop().call_soon(body.unhold)

    @property
    def candidates(self) -> list[str]:
        """The names of the leaders' znodes."""
        return [body.candidate for body in self._bodies]

    def let_go(self) -> None:
        """Have these leaders leave, since all others have: a body that ends its election in its own task goes on."""
        for body in self._bodies:
            body.let_go(self._caller)

"""What a coroutine of the protocol may wait for: the only things that it yields.

The protocol is sans-I/O: ``await ask(...)`` suspends with a step, and whoever drives the coroutine (the runner, the
simulation, a unit test) resumes it with ``send()`` or ``throw()``.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from types import coroutine
from typing import Any, TypeAlias

from golea_async._zookeeper.requests import Request

Reply: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Ask:
    """Send these requests together. Resumed with their replies, in order; a lost connection is thrown in."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class NextEvent:
    """Wait for a watch's event, or a change of connection, session or lease."""


@dataclass(frozen=True, slots=True)
class WorkStopped:
    """Wait until all work within leadership has ended."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Step: TypeAlias = Ask | NextEvent | WorkStopped | Pause


@coroutine
def ask(*requests: Request) -> Generator[Ask, list[Reply], list[Reply]]:
    """Send requests together and return their replies in order; one that ZooKeeper refused is its error."""
    return (yield Ask(requests))


@coroutine
def next_event() -> Generator[NextEvent, Any, Any]:
    """Wait for the next event, and return what the driver says of it."""
    return (yield NextEvent())


@coroutine
def work_stopped() -> Generator[WorkStopped, None, None]:
    """Wait until all work within leadership has ended."""
    yield WorkStopped()


@coroutine
def pause(seconds: float) -> Generator[Pause, None, None]:
    """Wait so many seconds."""
    yield Pause(seconds)

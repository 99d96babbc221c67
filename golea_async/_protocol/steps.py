"""What a coroutine of the protocol may wait for: the only things that it yields.

The protocol is sans-I/O: ``await ask(...)`` suspends with a step, and whoever drives the coroutine (``_driver.py``,
a unit test) resumes it with ``send()`` or ``throw()``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from types import coroutine
from typing import Any, TypeAlias

from golea_async._zookeeper.requests import Request

Reply: TypeAlias = Any


class ConnectionLostError(Exception):
    """The connection ended before the reply: what was asked may have happened, or may still happen.

    :ivar requests: those that were sent together, where they are known.
    """

    requests: Sequence[Any] = ()


@dataclass(slots=True)
class Ask:
    """Send requests together. Resumed with the replies to the first ones, in order; a lost connection is thrown in.

    :ivar requests: those whose replies the coroutine waits for.
    :ivar behind: those that travel behind them; what they show is news, as an event is.
    """

    requests: tuple[Request, ...]
    behind: tuple[Request, ...] = ()


@dataclass(slots=True)
class NextEvent:
    """Wait for news: a watch's event or answer, a change of connection, session or lease, a resignation."""


@dataclass(slots=True)
class WorkStopped:
    """Wait until all work within leadership has ended.

    :ivar or_news: or until there is news.
    """

    or_news: bool = False


@dataclass(slots=True)
class Pause:
    """Wait so many seconds, or until there is news."""

    seconds: float


@dataclass(slots=True)
class CatchUp:
    """Read all that has come by now."""


_NEXT_EVENT, _CATCH_UP = NextEvent(), CatchUp()

Step: TypeAlias = Ask | NextEvent | WorkStopped | Pause | CatchUp


@dataclass(slots=True)
class Known:
    """In place of a reply: another candidate of this client watches this znode, on the same connection.

    :ivar is_there: what that watch says; None when it says nothing (its request was refused, or it has fired).
    """

    is_there: bool | None


@coroutine
def ask(*requests: Request, behind: tuple[Request, ...] = ()) -> Generator[Ask, list[Reply], list[Reply]]:
    """Send requests together and return their replies in order; one that ZooKeeper refused is its error.

    :raises ConnectionLostError: when the connection ended before the last of these replies.
    """
    return (yield Ask(requests, behind))


@coroutine
def next_event() -> Generator[NextEvent, None, None]:
    """Wait for news. What they change is known before the coroutine goes on."""
    yield _NEXT_EVENT


@coroutine
def work_stopped(*, or_news: bool = False) -> Generator[WorkStopped, bool, bool]:
    """Wait until all work within leadership has ended, or until there is news; return whether it has ended."""
    return (yield WorkStopped(or_news))


@coroutine
def pause(seconds: float) -> Generator[Pause, bool, bool]:
    """Wait so many seconds, or until there is news; return whether the time is over."""
    return (yield Pause(seconds))


@coroutine
def catch_up() -> Generator[CatchUp, bool, bool]:
    """Read all that has come by now; return whether an answer came so recently that silent watches count as a look.

    After a blocked event loop an event may lie in the socket. After a pause of the whole machine it may not have come.
    """
    return (yield _CATCH_UP)

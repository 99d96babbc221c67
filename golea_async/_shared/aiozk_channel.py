"""What a plain aiozk client does without end, bounded while something of this library runs on it.

aiozk 0.32's repair loop is the one task that makes connections, and two of its steps can hold it up for ever:

- ``make_connection`` reads the answer to ``srvr`` without a time limit; a frozen server accepts and never answers.
- ``set_existing_watches``, on a new connection, waits for its answer. When that connection ends before, aiozk waits for
  the next one to ask again: for a connection that only the repair loop, which is waiting, can make. It takes one entry
  in ``watch_callbacks``: the application's own watch, or one that aiozk makes for an event that nobody waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiozk
from aiozk.session import Session
from aiozk.states import States

from golea_async._zookeeper.unread import has_unread

_LEFT = (States.SUSPENDED, States.LOST)


class BoundedSteps:
    """Gives these two steps of one client's repair loop an end. To a :class:`golea_async.ZKClient` it does nothing."""

    def __init__(self, client: aiozk.ZKClient) -> None:
        self._session = client.session
        self._former: dict[str, Any] = {}  # what the session itself had under these names; None: its class's

    def put_in_place(self) -> None:
        """Have the repair loop take the bounded steps."""
        if not isinstance(self._session, Session):
            return
        self._make_connection = self._session.make_connection
        self._set_existing_watches = self._session.set_existing_watches
        self._replace("make_connection", self._connect)
        self._replace("set_existing_watches", self._set_watches)

    def take_out(self) -> None:
        """Leave the session as it was."""
        for name, former in self._former.items():
            if former is None:
                delattr(self._session, name)
            else:
                setattr(self._session, name, former)
        self._former.clear()

    def _replace(self, name: str, step: Any) -> None:
        self._former[name] = vars(self._session).get(name)
        setattr(self._session, name, step)

    async def _connect(self, host: str, port: int) -> Any:
        """Give a server as long as aiozk gives it for the ConnectRequest; None, as aiozk has it: try the next one."""
        try:
            async with asyncio.timeout(self._session.timeout):
                return await self._make_connection(host, port)
        except TimeoutError:
            return None

    async def _set_watches(self) -> None:
        """Wait for the answer no longer than the connection lives: it is asked again on the next one."""
        state = self._session.state
        left = state.wait_for(*_LEFT)
        setting = asyncio.ensure_future(self._set_existing_watches())
        try:
            await asyncio.wait({setting, left}, return_when=asyncio.FIRST_COMPLETED)
            if setting.done():
                await setting
        finally:
            setting.cancel()
            for each in _LEFT:
                state.futures[each].discard(left)


def hear_events(session: Any, wire: Any, hear: Callable[[int, str], None]) -> Callable[[], bool]:
    """Have ``hear`` called with each watch event on this connection; aiozk is told of those that somebody waits for.

    It makes an entry for each event that nobody waits for. Such events are normal: ours are for nobody else, and one
    comes when a watch was set again by a request that was already under way when its event fired.

    An event is heard in its turn, behind the replies before it: who waits for those is called back by the event loop,
    and since Python 3.12 aiozk reads all that has come before the loop goes on.

    Return a function that says whether something has come that was not heard.
    """
    loop = asyncio.get_running_loop()
    read_not_heard = 0

    def hear_in_turn(event_type: int, path: str) -> None:
        nonlocal read_not_heard
        read_not_heard -= 1
        hear(event_type, path)

    def dispatch(event: Any) -> None:
        nonlocal read_not_heard
        read_not_heard += 1
        loop.call_soon(hear_in_turn, event.type, event.path)
        if not event.type or session.watch_callbacks.get((event.type, event.path)):
            session.event_dispatch(event)

    def has_unheard() -> bool:
        buffered = getattr(wire.reader, "_buffer", b"")  # asyncio's stream has no other way to look at it
        return bool(read_not_heard or buffered) or has_unread(wire.writer.transport)

    wire.watch_handler = dispatch
    return has_unheard

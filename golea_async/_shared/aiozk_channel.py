"""A plain aiozk client: its connections, and what it does without end, bounded while this library runs on it.

aiozk 0.32's repair loop is the one task that makes connections, and two of its steps can hold it up for ever:

- ``make_connection`` reads the answer to ``srvr`` without a time limit; a frozen server accepts and never answers.
- ``set_existing_watches``, on a new connection, waits for its answer. When that connection ends before, aiozk waits for
  the next one to ask again: for a connection that only the repair loop, which is waiting, can make. It takes one entry
  in ``watch_callbacks``: the application's own watch, or one that aiozk makes for an event that nobody waits for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiozk import exc
from aiozk.states import States

from golea_async._zookeeper.acknowledgements import Acknowledgements
from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.process import this_process
from golea_async._zookeeper.replies import Reply
from golea_async._zookeeper.requests import Request
from golea_async._zookeeper.touch import is_touch
from golea_async._zookeeper.unread import has_unread
from golea_async._zookeeper.wire import RemoveWatches, WatchKind

from .batch import Batch
from .channel import Channel

_LEFT = (States.SUSPENDED, States.LOST)


class BoundedSteps:
    """Gives these two steps of one session's repair loop an end."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._former: dict[str, Any] = {}  # what the session itself had under these names; None: its class's

    def put_in_place(self) -> None:
        """Have the repair loop take the bounded steps."""
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


class AiozkChannel(Channel):
    """One connection of a plain aiozk client.

    aiozk 0.32's ``Session.send`` sends a create again after a lost reply, waits for ever when there is no connection,
    and hears of a dead one after a whole session timeout: so requests are written to its connection, and end with it.
    """

    # What aiozk's reader has taken out of its stream it hands on from task to task.
    _quiet_turns = 8

    def _begin(self) -> None:
        # aiozk matches the replies to its pings last in, first out: of its requests only ours can be timed.
        self._process = this_process()
        self._connect_sent_at = None
        self._acknowledgements = Acknowledgements(self.lease.timeout)
        self._unanswered: dict[Batch, None] = {}
        # aiozk's reader ends silently at the end of the stream, and its session learns of that by its next ping.
        self._reader = getattr(self._wire, "read_loop_task", None)
        if self._reader is not None:
            self._reader.add_done_callback(self._reader_ended)
        self._hear_events()

    @property
    def is_current(self) -> bool:
        """The same; never in a forked child, since aiozk's connection knows no processes."""
        return self._process == this_process() and super().is_current

    def _heard_at(self) -> float:
        return boottime()

    def _has_unread(self) -> bool:
        buffered = getattr(self._wire.reader, "_buffer", b"")  # asyncio's stream has no other way to look at it
        return bool(buffered) or has_unread(self._wire.writer.transport)

    def _hear_events(self) -> None:
        """Hear each watch event on this connection; have aiozk told of those that somebody waits for.

        It makes an entry for each event that nobody waits for. Such events are normal: ours are for nobody else, and
        one comes when a watch was set again by a request that was already under way when its event fired.

        An event is heard in its turn, behind the replies before it: who waits for those is called back by the event
        loop, and since Python 3.12 aiozk reads all that has come before the loop goes on.
        """
        loop, session, hear = asyncio.get_running_loop(), self._session, self.hear

        def dispatch(event: Any) -> None:
            loop.call_soon(hear, event.type, event.path)
            if not event.type or session.watch_callbacks.get((event.type, event.path)):
                session.event_dispatch(event)

        self._wire.watch_handler = dispatch

    def _reader_ended(self, _reader: asyncio.Task[None]) -> None:
        self.abandon()

    def _end(self) -> None:
        if self._reader is not None:
            self._reader.remove_done_callback(self._reader_ended)
        for batch in self._unanswered:
            batch.unanswered()

    def _post(self, requests: Sequence[Request], batch: Batch) -> None:
        """Write requests to aiozk's connection, whose futures end with ZooKeeper's error, or are cancelled."""
        session, sent, come = self._session, deque[asyncio.Future[Any]](), set[asyncio.Future[Any]]()

        def pass_on(answered: asyncio.Future[Any]) -> None:
            come.add(answered)  # not all that are done: an event may be due between them
            while sent and sent[0] in come:  # in order, also where one before is missing: aiozk goes by their numbers
                _pass_on(sent.popleft(), batch)
            if not sent:
                self._unanswered.pop(batch, None)

        self._unanswered[batch] = None
        for request in requests:
            session.xid = session.xid + 1 if session.xid < 0x7FFFFFFF else 1
            sent.append(self._wire.send(request, xid=session.xid))
        for answered in tuple(sent):
            answered.add_done_callback(pass_on)

    def _read_answer(self, batch: Batch, request: Request, zxid: int, result: Any) -> Reply:
        reply = super()._read_answer(batch, request, zxid, result)
        if zxid > 0:
            self._session.last_zxid = zxid
        if is_touch(request.opcode, getattr(result, "error_code", 0)):
            self._acknowledgements.record(batch.sent_at, self.answered_at)
        return reply

    def touch(self, path: str) -> None:
        """Send a read: aiozk's own pings cannot be timed."""
        self.ask(self.exists(path))

    def _forget_watches(self, watches: list[tuple[str, WatchKind]]) -> None:
        for absolute_path, kind in watches:  # at once: who comes next sets the watch again, behind that
            self.ask(RemoveWatches(absolute_path, kind))


def _pass_on(answered: asyncio.Future[Any], batch: Batch) -> None:
    """Tell a batch what has become of a request to aiozk."""
    error = asyncio.CancelledError() if answered.cancelled() else answered.exception()
    if error is None:
        batch.answered(*answered.result())
    elif isinstance(error, exc.ResponseError):
        batch.answered(0, error)
    else:
        batch.unanswered()

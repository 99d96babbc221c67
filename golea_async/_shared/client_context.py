"""What the users of one client share: its current connection, its transitions, and their background tasks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import aiozk
from aiozk.states import States

from golea_async._protocol.refusals import NotDoneError, pause_before
from golea_async._protocol.steps import ConnectionLostError
from golea_async._zookeeper.loops import check_loop, running_loop
from golea_async._zookeeper.process import other_process, this_process
from golea_async._zookeeper.session import Session
from golea_async.exceptions import ElectionError

from .aiozk_channel import AiozkChannel, BoundedSteps
from .background import Background
from .channel import Channel, check_client
from .keepalive import KeepAlive
from .lease import Lease
from .survey import Survey

_Result = TypeVar("_Result")
_STATES = (States.CONNECTED, States.SUSPENDED, States.READ_ONLY, States.LOST)


class ClientContext:
    """What the users (elections, functions) of one client share: its current connection, and their tasks.

    It exists while it has users: afterwards nothing of this library is left on the client.
    """

    def __init__(self, client: aiozk.ZKClient) -> None:
        self._client = client
        self._session = client.session
        self._repair_task = client.session.repair_loop_task
        is_plain = not isinstance(client.session, Session)
        self._bounded_steps = BoundedSteps(client.session) if is_plain else None
        self._channel_class = AiozkChannel if is_plain else Channel
        self.loop = asyncio.get_running_loop()
        self._process = this_process()
        self._channel: Channel | None = None
        self._users = 0
        self._listeners: dict[Callable[[], None], None] = {}  # in order: a schedule can be played again exactly
        self._transition: asyncio.Future[None] | None = None
        self.lease: Lease | None = None

    @classmethod
    def attach(cls, client: aiozk.ZKClient) -> ClientContext:
        """Become a user of the client's context; to be ended with :meth:`detach`.

        :raises TypeError: when it is no aiozk client.
        :raises ValueError: when it was never started, or is closed.
        :raises ElectionError: when it was started in another process, from which this one was forked.
        :raises RuntimeError: when it was started in another event loop, or none of asyncio's runs.
        """
        check_client(client)
        loop, session, context = running_loop(), client.session, _contexts.get(client)
        if session.started:
            # aiozk's session does not say where it was started; a context that it had there does.
            process = getattr(session, "process", None if context is None else context._process)
            if process is not None and (refusal := other_process("the ZooKeeper client", process)):
                raise ElectionError(refusal)
            check_loop(session.repair_loop_task.get_loop(), "the ZooKeeper client")
        if not session.started or session.closing:
            raise ValueError("the ZooKeeper client is not running: call `await zk.start()` first, and close it last")
        if context is None or context.loop is not loop:
            context = _contexts[client] = cls(client)
        context._users += 1
        return context

    # Made when they are needed: nothing of that has to be done before a nomination is sent.

    @cached_property
    def keep_alive(self) -> KeepAlive:
        """What keeps the lease alive for all candidates together."""
        return KeepAlive(lambda: self.channel, self.notify, self._survey.take_turn)

    @cached_property
    def _survey(self) -> Survey:
        return Survey(
            lambda: self.channel,
            lambda: self.session_timeout,
            has_turns=lambda: self.keep_alive.renews,
            answered=lambda: self.keep_alive.look(),  # noqa: PLW0108  # each of the two needs the other
        )

    @cached_property
    def _background(self) -> Background:
        return Background(self.keep_alive.run)

    def detach(self) -> None:
        """Stop being a user; the last one leaves nothing behind."""
        self._users -= 1
        if self._users:
            return
        if self._transition is not None:
            self._unfollow()
        if self._channel is not None:
            self._channel.lose()
        if _contexts.get(self._client) is self:
            del _contexts[self._client]

    @property
    def is_closed(self) -> bool:
        """Whether the application has closed the client, or the client's own task has ended."""
        session = self._session
        return bool(not session.started or session.closing or session.repair_loop_task.done())

    @property
    def is_closing(self) -> bool:
        """Whether the client is being closed, and ZooKeeper has not answered that yet."""
        return bool(self._session.closing and self._session.state != States.LOST)

    @property
    def is_closed_in_order(self) -> bool:
        """Whether the client was closed, and its session with it."""
        session = self._session
        is_closed = (session.closing or not session.started) and session.state == States.LOST
        # Ours is closed within a second, also out of touch, when its session lives on; aiozk's raises then.
        return bool(is_closed and getattr(session, "has_ended", True))

    @property
    def session_timeout(self) -> float:
        """T in seconds."""
        return float(self._session.timeout)

    @property
    def channel(self) -> Channel | None:
        """The live connection, or None while there is none, and in a forked child, whose parent has it."""
        if self._process != this_process():
            return None
        if self._channel is not None and not self._channel.is_current:
            lost, self._channel = self._channel, None
            lost.lose()
        if self._channel is None and self._session.state == States.CONNECTED:
            fresh = self._channel_class(self._client, self._lease_of_session())
            if fresh.is_current:
                self._channel = fresh
            else:
                fresh.lose()
        return self._channel

    def _lease_of_session(self) -> Lease:
        """Return the lease of the client's session; another session begins another one."""
        session_id, timeout = self._session.session_id, self._session.timeout
        if self.lease is None or self.lease.session_id != session_id:
            self.lease = Lease(session_id, timeout, self._notice_lease)
        if self.lease.limit(timeout):
            self.keep_alive.look()
        return self.lease

    def has_lost(self, session_id: int) -> bool:
        """Whether this session is over for the client (ZooKeeper may end it later, when the client gave it up)."""
        return bool(self._session.state == States.LOST or self._session.session_id != session_id)

    async def connected(self) -> Channel:
        """Wait for a live connection.

        :raises ElectionError: when the client is closed meanwhile.
        """
        changed = asyncio.Event()
        with self.listening(changed.set):
            while (channel := self.channel) is None:
                if self.is_closed:
                    raise ElectionError("the ZooKeeper client was closed before it had answered")
                changed.clear()
                await changed.wait()
            return channel

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called whenever the connection, the session or the lease comes or goes."""
        if self._transition is None:
            self._follow()
        self._listeners[listener] = None

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Have it called no more."""
        self._listeners.pop(listener, None)

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have it called in a block."""
        self.listen(listener)
        try:
            yield
        finally:
            self.unlisten(listener)

    def spawn(
        self, work: Coroutine[Any, Any, None], name: str, on_end: Callable[[asyncio.Task[None]], None] | None = None
    ) -> asyncio.Task[None]:
        """Run work in the background of this client: see :meth:`Background.spawn`."""
        return self._background.spawn(work, name, on_end)

    async def closed(self) -> None:
        """When the last user has gone, wait until nothing runs in the background any more. Else return at once."""
        if not self._users:
            await self._background.ended()

    def _follow(self) -> None:
        """Hear of the next transition of the session, and of the end of the client's own task."""
        if self._bounded_steps is not None:
            self._bounded_steps.put_in_place()
        self._survey.start()
        self._repair_task.add_done_callback(self._notice)
        self._transition = self._session.state.wait_for(*self._other_states())
        self._transition.add_done_callback(self._notice_transition)

    def _unfollow(self) -> None:
        if self._bounded_steps is not None:
            self._bounded_steps.take_out()
        self._survey.stop()
        self._repair_task.remove_done_callback(self._notice)
        self._forget_transition()

    def _other_states(self) -> list[str]:
        return [state for state in _STATES if self._session.state != state]

    def _forget_transition(self) -> None:
        """aiozk keeps a future in the set of each state that it waits for, until that state comes."""
        if self._transition is not None:
            self._transition.remove_done_callback(self._notice_transition)
            for state in _STATES:
                self._session.state.futures[state].discard(self._transition)
            self._transition = None

    def _notice_transition(self, transition: asyncio.Future[None]) -> None:
        if transition is not self._transition:
            return  # the last user has gone while this was on its way through the event loop
        self._forget_transition()
        self._transition = self._session.state.wait_for(*self._other_states())
        self._transition.add_done_callback(self._notice_transition)
        self._notice()

    def _notice(self, _task: object = None) -> None:
        _ = self.channel  # ends a lost one: its requests and watches
        self.notify()

    def _notice_lease(self) -> None:
        """Tell those that wait for a lease that one has begun: soon, since whose request began it has more to send."""
        if self.keep_alive.renews:
            self.loop.call_soon(self.notify)

    def notify(self) -> None:
        """Tell the listeners that the connection, the session or the lease has come or gone."""
        self.keep_alive.look()
        for listener in list(self._listeners):
            listener()


def waiting_noted(client: aiozk.ZKClient) -> AbstractContextManager[None]:
    """Have a time limit that strikes in the block say what the client waits for; a plain aiozk client does not know."""
    waiting: AbstractContextManager[None] | None = getattr(client.session, "waiting", None)
    return waiting or nullcontext()


def _refuse_hopeless(client: aiozk.ZKClient, requests: Sequence[Any]) -> None:
    """Give up what has ended the connection each time that it was sent; a plain aiozk client does not notice that.

    :raises ElectionError: when one of these requests has.
    """
    if not isinstance(client.session, Session):
        return
    suspects = client.session.suspects
    for request in requests:
        if (verdict := suspects.verdict(request)) is not None:
            suspects.answered(request)  # whoever sends it again later may try as often
            raise ElectionError(verdict)


_contexts: WeakKeyDictionary[aiozk.ZKClient, ClientContext] = WeakKeyDictionary()


async def on_connection(client: aiozk.ZKClient, work: Callable[[Channel], Awaitable[_Result]]) -> _Result:
    """Run ``work`` on a live connection, from its start on each new one until it came through whole.

    What ZooKeeper had too much to do for is begun again as well, a little later.
    """
    context = ClientContext.attach(client)
    tries = 0
    try:
        with waiting_noted(client):
            while True:
                channel = await context.connected()
                try:
                    return await work(channel)
                except ConnectionLostError as error:
                    _refuse_hopeless(client, error.requests)
                except NotDoneError:
                    tries += 1
                    await asyncio.sleep(pause_before(tries) * random.uniform(0.5, 1))
    finally:
        context.detach()

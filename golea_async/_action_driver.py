"""Carrying through what an operator does in many steps, in the background of a client: endings, transfers, removals.

What `_protocol/teardown.py` and `_protocol/transfer.py` ask for is done here.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

import aiozk

from ._own_work import OwnWork
from ._protocol.refusals import NotDoneError, pause_before
from ._protocol.steps import Ask, ConnectionLostError, Pause, Step, WorkStopped
from ._protocol.teardown import Teardown
from ._shared.before_close import finish_before_close
from ._shared.channel import Channel
from ._shared.client_context import ClientContext, waiting_noted
from ._shared.shielded import completion
from ._shared.watch_table import Event
from ._zookeeper.log import Log
from ._zookeeper.wire import WatchKind, kind_of_watch
from .exceptions import ElectionError

_logger = Log(logging.getLogger("golea_async.admin"))


class Action(Protocol):
    """What an operator does in many steps.

    :ivar resource: the election node.
    :ivar has_begun: whether candidates may have been told.
    :ivar now: seconds by the event loop's clock.
    :ivar session_id: of the connection on which it runs.
    """

    resource: str
    has_begun: bool
    now: float
    session_id: int

    def run(self, zk: Channel) -> Coroutine[Step, Any, None]:
        """Return all steps, from the first on; begun anew on each connection."""

    def given_up(self) -> ElectionError:
        """Say that it ends early, since its client is closed or its caller was cancelled."""


async def end(
    zk: aiozk.ZKClient, resource: str, work: OwnWork, *, deletes_election: bool, force_after: float | None = None
) -> None:
    """End an election in a background task: half an ending would leave an election that is over for ever.

    Cancelled before anybody was told: nothing has happened. Cancelled later: it is carried through in the background.
    """
    teardown = Teardown(resource, deletes_election=deletes_election, force_after=force_after, own=work.candidates)
    await carry_through(zk, teardown, work.let_go)


async def carry_through(
    zk: aiozk.ZKClient,
    action: Action,
    let_go: Callable[[], None] | None = None,
    *,
    take_back: Callable[[], None] | None = None,
) -> None:
    """Carry an operator's action through, in a background task.

    Cancelled before anybody was told: nothing has happened. Cancelled later: it goes on in the background.

    :param let_go: called where the action waits for the caller's own work to have ended.
    :param take_back: called when it is cancelled, to have only what was asked for taken back in the background.
    """
    context = ClientContext.attach(zk)
    driver = ActionDriver(context, action, let_go)
    try:
        driver.task = context.spawn(
            driver.run(), f"golea_async {type(action).__name__} {action.resource}", driver.has_ended
        )
    except BaseException:
        context.detach()
        raise
    finish_before_close(zk, driver.task, driver.give_up)
    try:
        with waiting_noted(zk):
            await asyncio.shield(driver.outcome)
    except asyncio.CancelledError:
        if not action.has_begun:
            driver.task.cancel()
            await completion(driver.task, None)
        elif take_back is not None:
            take_back()
            driver.look_again()
        driver.outcome.add_done_callback(_log_failure if take_back is None else _forget_failure)
        raise
    finally:
        if driver.outcome.done():
            await context.closed()


class ActionDriver:
    """Steps an action over one connection after the other.

    :ivar task: the background task.
    :ivar outcome: is done when it is through, or has failed.
    """

    task: asyncio.Task[None]

    def __init__(self, context: ClientContext, action: Action, let_go: Callable[[], None] | None) -> None:
        self.outcome: asyncio.Future[None] = context.loop.create_future()
        self._context = context
        self._action = action
        self._let_go = let_go
        self._event = asyncio.Event()
        self._is_given_up = False

    async def run(self) -> None:
        """Carry it through; to be run in the background task."""
        tries = 0
        try:
            while not self.outcome.done():
                channel = await self._context.connected()
                try:
                    await self._run_on(channel)
                except ConnectionLostError:
                    if self._is_given_up:
                        raise self._action.given_up() from None
                except NotDoneError:
                    tries += 1
                    await asyncio.sleep(pause_before(tries) * random.uniform(0.5, 1))
                else:
                    self.outcome.set_result(None)
        except Exception as error:  # noqa: BLE001  # raised where the outcome is awaited
            self.outcome.set_exception(error)

    def has_ended(self, _task: asyncio.Task[None]) -> None:
        """Take leave of the client; to be called at the end of the background task."""
        self._context.detach()
        self.outcome.cancel()  # the task was cancelled, unless it has an outcome

    def give_up(self) -> None:
        """Take back what can be taken back, and end; out of touch it ends with the client."""
        self._is_given_up = True
        self.look_again()

    def look_again(self) -> None:
        """End a pause."""
        self._event.set()

    async def _run_on(self, channel: Channel) -> None:
        """Step it from its beginning to its end.

        :raises ConnectionLostError: when the connection ended before that.
        """
        self._action.session_id, self._action.now = channel.session_id, self._context.loop.time()
        steps, watches = self._action.run(channel), _Watches(channel, self._action.resource, self._event)
        try:
            step: Step = steps.send(None)
            while True:
                if self._is_given_up and isinstance(step, Pause):
                    step = steps.throw(self._action.given_up())
                    continue
                told = await self._do(step, channel, watches)
                self._action.now = self._context.loop.time()
                step = steps.send(told)
        except StopIteration:
            return
        finally:
            steps.close()
            watches.remove()

    async def _do(self, step: Step, channel: Channel, watches: _Watches) -> Any:
        """Do what it waits for, and return what it is to be told."""
        match step:
            case Ask(requests):
                watches.listen(requests)
                return await channel.send(*requests)
            case Pause(seconds):
                await self._pause(channel, seconds)
            case WorkStopped():
                if self._let_go is not None:
                    self._let_go()
                return True
        return None

    async def _pause(self, channel: Channel, seconds: float) -> None:
        """Wait so many seconds, or until a watch's event."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
        if not channel.is_current:
            raise ConnectionLostError


class _Watches:
    """The watches that an action has asked for on one connection."""

    def __init__(self, channel: Channel, resource: str, event: asyncio.Event) -> None:
        self._channel = channel
        self._resource = resource
        self._event = event
        self._keys: set[tuple[str, WatchKind]] = set()

    def listen(self, requests: tuple[Any, ...]) -> None:
        """Listen to the watches that requests are to set; to be called before they are sent."""
        for request in requests:
            kind = kind_of_watch(request)
            if kind is not None:
                key = (f"{self._resource}/{request.path.rpartition('/')[2]}", kind)
                self._channel.watches.listen(*key, self.on_event)
                self._keys.add(key)

    def on_event(self, _event: Event, path: str) -> None:
        """Hear of an event; to be called by the channel."""
        self._keys -= {(path, kind) for kind in WatchKind}
        self._event.set()

    def remove(self) -> None:
        """Have none left."""
        self._channel.unwatch(self.on_event, *self._keys)


def _log_failure(outcome: asyncio.Future[None]) -> None:
    """Say what nobody waits for any more."""
    if not outcome.cancelled() and (error := outcome.exception()) is not None:
        _logger.warning("what went on in the background, since its caller was cancelled, failed: %s", error)


def _forget_failure(outcome: asyncio.Future[None]) -> None:
    """Nobody waits for it any more, and it was given up."""
    if not outcome.cancelled():
        outcome.exception()

"""Driving a candidate's coroutine over one client: it is stepped where things come in, and what it asks is sent.

The coroutine (:mod:`golea_async._protocol.candidacy`) is stepped in the very call that brings what it waits for: the
call that reads the last answer of a batch, or an event; a change of connection, session or lease; ``resign()``. So
nothing costs a turn of the event loop, and what ends belief ends it in that call:

    what comes in               changes the view, ends belief     steps a coroutine that waits for
    the awaited answers         of watches                        Ask
    later answers, an event     yes                               NextEvent, Pause, WorkStopped(or_news)
    connection, session, lease  yes                               the same
    resign(), step_down(), end  yes                               the same
    work of before has ended    no                                the same
    time                        no                                Pause
    everything was read         no                                CatchUp
    the background task         no                                WorkStopped

Invariant: while the coroutine runs (`_is_stepping`) it is not stepped again. What comes in then is news for later.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from functools import partial
from operator import attrgetter
from types import NoneType
from typing import Any

from ._protocol.candidate import Candidate
from ._protocol.steps import Ask, CatchUp, ConnectionLostError, NextEvent, Pause, Reply, Step, WorkStopped
from ._publication import Publication
from ._shared.background import OnEnd
from ._shared.channel import Channel
from ._shared.client_context import ClientContext
from ._shared.question import Answer, Question
from ._shared.watch_table import Event
from ._zookeeper.clock import boottime
from ._zookeeper.log import Log
from ._zookeeper.wire import WatchKind

_logger = Log(logging.getLogger("golea_async.election"))


class Driver:
    """Drives one coroutine of a candidate to its end.

    :ivar context: of the client; used from :meth:`begin` to :meth:`stop`.
    :ivar uses_client: whether :meth:`leave_client` is still to be called.
    """

    def __init__(
        self, context: ClientContext, me: Candidate, public: Publication, life: Coroutine[Step, Any, None]
    ) -> None:
        self.context = context
        self.uses_client = True
        self._me = me
        self._public = public
        self._life: Coroutine[Step, Any, None] | None = life
        self._step: Step | None = None  # what the coroutine waits for; None while it runs, and when it has ended
        self._is_stepping = False
        self._has_news = False  # since the coroutine was last resumed
        self._signal: asyncio.Future[None] | None = None  # what the background task waits for
        self._channel: Channel | None = None  # the one that the view is about
        self._question: Question | None = None  # whose answers the coroutine waits for
        self._timer: asyncio.TimerHandle | None = None  # of a pause
        self._watched: dict[str, None] = {}  # whose events are to come, on this channel; in order
        self._held: str | None = None  # path for which the lease is kept alive
        public.on_work_ended = self._changed

    def begin(self, name: str, on_end: OnEnd) -> asyncio.Task[None]:
        """Step the coroutine for the first time; return the background task, of this name, that holds it then."""
        self._look_around()
        began = boottime()
        self._resume()  # first: ZooKeeper works while the rest is being set up
        task = self.context.spawn(self._stand_by(), name, on_end)
        self.context.listen(self._changed)
        self.context.keep_alive.stand(self._me.resource, began)
        return task

    async def _stand_by(self) -> None:
        """Do what takes a task, until the coroutine has ended: wait for work to stop."""
        while self._life is not None:
            if isinstance(self._step, WorkStopped):
                step = self._step
                await self._public.work_stopped()
                if self._step is step:  # no news have come before
                    self._resume(True)
            else:
                self._signal = self.context.loop.create_future()
                await self._signal

    def stop(self) -> None:
        """Drive the coroutine no longer, and leave nothing of it on the channel. Idempotent."""
        self._stop_timer()
        if self._life is not None:
            self._life.close()
        self._life = self._step = self._question = None
        self._unwatch(*self._watched)
        self.context.unlisten(self._changed)
        if self._public.on_work_ended == self._changed:  # else another driver has begun
            self._public.on_work_ended = None
        if self._held is not None:
            self.context.keep_alive.release(self._held)
            self._held = None

    def leave_client(self) -> None:
        """Use the client no longer; to be called once, at the end of the background task, when this was stopped."""
        self.uses_client = False
        self.context.keep_alive.stand_no_more(self._me.resource)
        self.context.detach()

    # ------------------------------------------------------------------ stepping the coroutine

    def _resume(self, value: Any = None, error: Exception | None = None) -> None:
        """Step the coroutine until it waits for what has not come."""
        life = self._life
        if life is None:
            return
        belief = self._me.belief
        self._is_stepping = True
        try:
            self._look_at_lease()
            while value is not _PENDING:
                self._step, self._has_news = None, False
                self._step = life.send(value) if error is None else life.throw(error)
                if belief.changes or belief.held != self._held or self._me.unneeded:
                    self.tell()
                error = None
                try:
                    value = self._perform(self._step)
                except ConnectionLostError as lost:
                    self._look_around()
                    value, error = None, lost
                except Exception as failure:  # noqa: BLE001  # the coroutine is to end in order
                    value, error = None, failure
        except StopIteration:
            self._life = self._step = None
        except Exception as crash:
            identity, fields = self._me.identity, self._me.identity.fields(self._me.belief.latest.role, "crashed", None)
            _logger.exception("%s", identity.about("has crashed: this is a bug in golea_async"), extra=fields)
            self._life = self._step = None
            self._me.withdrawal_error = self._me.identity.crashed(crash)
        finally:
            self._is_stepping = False
        if self._life is None:
            self.tell()
        signal = self._signal
        if signal is not None and not signal.done() and isinstance(self._step, _FOR_THE_TASK):
            signal.set_result(None)  # unless the task was cancelled just now

    def _look_around(self) -> None:
        """Tell the candidate how its client stands with ZooKeeper."""
        context, me = self.context, self._me
        view, channel = me.view, context.channel
        if channel is not None and channel is not self._channel:
            self._public.history.connected(again=self._channel is not None)
            self._channel, me.session_id = channel, channel.session_id
            self._watched.clear()
            view.reconnected()
        view.in_touch = channel is not None
        view.is_session_lost = me.claims is not None and context.has_lost(me.claims.session_id)
        view.is_closed = context.is_closed
        if view.is_closed:
            me.is_closing, me.is_closed_in_order = context.is_closing, context.is_closed_in_order
            me.session_timeout = context.session_timeout
        me.is_working, view.is_held_back = self._public.has_work, bool(self._public.unfinished)

    def _look_at_lease(self) -> None:
        """Tell the candidate how its lease stands; belief ends here where that, or the view, says so."""
        lease, me, view = self.context.lease, self._me, self._me.view
        view.lease = lease.stretch if lease is not None and lease.is_valid else None
        if me.belief.stretch is not None:
            me.reconsider()
        if me.belief.stretch is None and view.lease is not None and view.may_be_first and self._channel is not None:
            view.is_lease_short = not self.context.keep_alive.will_last(self._channel)

    def hear_news(self) -> None:
        """End belief where the news say so, and have the coroutine look again: now, if it waits for news."""
        self._has_news = True
        if self._is_stepping or self._life is None:
            self.tell()
        elif isinstance(self._step, NextEvent):
            self._resume()
        elif isinstance(self._step, Pause):
            self._stop_timer()
            self._resume(False)
        elif isinstance(self._step, WorkStopped) and self._step.or_news:
            self._resume(False)
        else:
            if self._me.belief.stretch is not None:
                self._look_at_lease()
            self.tell()

    def _changed(self) -> None:
        """Hear that the connection, the session or the lease has come or gone; to be called by the context.

        A candidate that knows of that already does not look again.
        """
        channel, known = self._channel, _TOLD(self._me)
        self._look_around()
        self._look_at_lease()
        if channel is not self._channel or known != _TOLD(self._me) or self._me.belief.changes:
            self.hear_news()

    def _event(self, event: Event, path: str) -> None:
        """Hear the event of a watch; to be called by the channel."""
        self._watched.pop(path, None)
        if event is not Event.LOST:  # the context tells of that
            self._me.hear(event, path)
            self.hear_news()

    def _keep_alive_refused(self, reply: Reply) -> None:
        """Hear that the own znode is gone, or must not be read any more; to be called by the keep-alive."""
        self._me.hear_refusal(reply)
        self.hear_news()

    # ------------------------------------------------------------------ performing its steps

    def _perform(self, step: Step) -> Any:
        """Do what the coroutine has asked for; return what comes of it, or `_PENDING`.

        :raises ConnectionLostError: when there is no connection to ask on.
        """
        match step:
            case Ask():
                return self._ask(step)
            case NextEvent():
                return None if self._has_news else _PENDING
            case WorkStopped(or_news):
                is_over = not self._public.has_work
                return is_over if is_over or (or_news and self._has_news) else _PENDING
            case Pause(seconds):
                if self._has_news:
                    return False
                # Not all that were turned away come back at once.
                self._timer = self.context.loop.call_later(seconds * random.uniform(0.5, 1), self._pause_is_over)
                return _PENDING
            case CatchUp():
                return self._catch_up()

    def _catch_up(self) -> Any:
        channel = self._channel
        assert channel is not None, "something was asked on it"
        if channel.is_up_to_date:
            return True
        channel.when_caught_up(lambda: self._resume(channel.has_recent_answer))
        return _PENDING

    def _pause_is_over(self) -> None:
        self._timer = None
        self._resume(True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self, step: Ask) -> Any:
        """Send a batch; return the replies when nothing has to be waited for, else `_PENDING`."""
        channel, own = self._channel, self._me.own
        if channel is None or not self._me.view.in_touch:
            raise ConnectionLostError
        question = Question(channel, step, None if own is None else own.path, self._event)
        self._watched.update(question.watched)
        self._read(channel, question.send())
        question.when_answered(partial(self._answered, question))
        if question.is_awaited:
            self._question = question
            return _PENDING
        return question.replies

    def _answered(self, question: Question) -> None:
        """Read the answers that have come, in the very call that reads the last of them."""
        if self._life is None:
            return
        is_awaited, error = self._question is question, None
        if is_awaited:
            self._question = None
        try:
            self._read(question.channel, question.take())
        except ConnectionLostError as lost:
            self._look_around()
            error = lost.with_traceback(None)
        else:
            question.when_answered(partial(self._answered, question))
        if is_awaited:
            self._resume(question.replies, error)
        else:
            self.hear_news()

    def _read(self, channel: Channel, answers: list[Answer]) -> None:
        """Have the candidate read what was shown of its watches; those that were not set are watched no longer."""
        for path, reply, is_watch in answers:
            if channel is not self._channel or (is_watch and path not in self._watched):
                continue  # its event has come
            if not self._me.read(path, reply) and is_watch:
                self._unwatch(path)

    def _unwatch(self, *paths: str) -> None:
        for path in paths:
            self._watched.pop(path, None)
        if paths and self._channel is not None:
            self._channel.unwatch(self._event, *[(path, WatchKind.DATA) for path in paths])

    def tell(self) -> None:
        """Tell what has changed in what the candidate believes, in order."""
        belief = self._me.belief
        while belief.changes:
            self._public.tell(belief.changes.pop(0), self.context)
        self._me.view.is_held_back = bool(self._public.unfinished)
        if self._me.unneeded:
            self._unwatch(*self._me.unneeded)
            self._me.unneeded.clear()
        if belief.held != self._held:
            self._public.history.first(is_first=belief.held is not None)
            keep_alive = self.context.keep_alive
            if self._held is not None:
                keep_alive.release(self._held)
            self._held = belief.held
            if self._held is not None:
                keep_alive.hold(self._held, self._keep_alive_refused)


_FOR_THE_TASK = (WorkStopped, NoneType)
"""What the background task has to do something about: these steps, and the end of the coroutine."""

_TOLD = attrgetter(
    "is_working",
    "is_closing",
    "is_closed_in_order",
    "view.in_touch",
    "view.lease",
    "view.is_lease_short",
    "view.is_session_lost",
    "view.is_closed",
    "view.is_held_back",
)
"""What a candidate is told of its client."""

_PENDING = object()
"""What a step comes to that has to be waited for."""

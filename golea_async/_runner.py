"""The asyncio half of a candidate: it steps the protocol's coroutine, sends what that asks, and tells what it believes.

The coroutine (:mod:`golea_async._protocol.candidacy`) is stepped in the very call that brings what it waits for: the
call that reads the last answer of a batch, or an event; a change of connection, session or lease; ``resign()``. So
nothing costs a turn of the event loop, and what ends belief ends it in that call:

    what comes in               changes the view, ends belief     steps a coroutine that waits for
    the awaited answers         of watches                        Ask
    later answers, an event     yes                               NextEvent, Pause, WorkStopped(or_news)
    connection, session, lease  yes                               the same
    resign(), an end            yes                               the same
    step_down()                 yes                               the same
    time                        no                                Pause
    the background task         no                                WorkStopped, CatchUp

Invariant: while the coroutine runs (`_is_stepping`) it is not stepped again. What comes in then is news for later.

A background task in the client context holds the candidate. It waits until the last body has ended, and until all has
been read that has come; when it is cancelled, which nobody does but the end of the event loop, belief ends and the
coroutine with it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import warnings
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary, ref

import aiozk

from ._protocol.candidacy import live
from ._protocol.candidate import Candidate
from ._protocol.claims import ClientClaims
from ._protocol.departure import withdraw
from ._protocol.identity import Identity
from ._protocol.role import Ceased, Change, Ended, Moved
from ._protocol.steps import Ask, CatchUp, ConnectionLostError, NextEvent, Pause, Reply, Step, WorkStopped
from ._publication import Publication
from ._shared.channel import Channel
from ._shared.client_context import ClientContext
from ._shared.question import Answer, Question
from ._shared.said import SEEN_TOKENS, election_key
from ._shared.watch_table import Event
from ._zookeeper.requests import Requests
from ._zookeeper.wire import WatchKind
from .exceptions import ElectionError, HandedOverError, NotStandingError
from .leadership import Body

_logger = logging.getLogger("golea_async.election")


class Runner:
    """One candidate in one election, from its start until nothing of it is left in ZooKeeper.

    :ivar identity: whose candidacy it is.
    :ivar public: what others see of it.
    :ivar task: the background task; None before the start.
    :ivar is_leaving: whether it resigns or has resigned.
    """

    def __init__(self, zk: aiozk.ZKClient, resource: str, name: str, data: bytes, *, rejoin: bool) -> None:
        self.client = zk
        self.identity = Identity(resource, name)
        self.public = Publication(zk, self.identity, self._unnoticed_loss)
        self.task: asyncio.Task[None] | None = None
        self.is_leaving = False
        self._data = data
        self._rejoin = rejoin
        self._me: Candidate | None = None
        self._context: ClientContext | None = None
        self._life: Coroutine[Step, Any, None] | None = None
        self._step: Step | None = None  # what the coroutine waits for; None while it runs, and when it has ended
        self._is_stepping = False
        self._has_news = False  # since the coroutine was last resumed
        self._signal: asyncio.Future[None] | None = None  # what the background task waits for
        self._channel: Channel | None = None  # the one that the view is about
        self._question: Question | None = None  # whose answers the coroutine waits for
        self._timer: asyncio.TimerHandle | None = None  # of a pause
        self._watched: set[str] = set()  # whose events are to come, on this channel
        self._moves: list[asyncio.Future[None]] = []  # of those who wait for it to have stepped down
        self._unfinished: set[Body] = set()  # work of leaderships that it has given away
        self._held: str | None = None  # path for which the lease is kept alive

    # ------------------------------------------------------------------ what the election calls

    def start(self) -> None:
        """Begin to stand.

        :raises ValueError: when the client is not running.
        """
        claims = _claims_of(self.client)
        self._context = ClientContext.attach(self.client)
        self._me = Candidate(self.identity, self._data, claims, rejoins=self._rejoin)
        self._me.belief.join()
        self._run(live(self._me), f"golea_async {self.identity.resource} {self.identity.name[:100]}")

    def leave(self) -> None:
        """Believe in nothing any more, and take the candidate out of ZooKeeper: the deletion is sent in this call."""
        if self.is_leaving:
            return
        self.is_leaving = True
        if self._me is None:
            self.public.board.end(None)
            return
        self._me.leave()
        self._news()

    def step_down(self, bodies: Iterable[Body]) -> asyncio.Future[None]:
        """Believe in leading no more, and go to the end of the line; return what is done when it has.

        :param bodies: the work within leadership; before that has ended it does not lead again.
        """
        moved: asyncio.Future[None] = self._linked.loop.create_future()
        self._moves.append(moved)
        self._hold_back(bodies)
        self._candidate.step_down()
        self._news()
        return moved

    def _hold_back(self, bodies: Iterable[Body]) -> None:
        for body in bodies:
            self._unfinished.add(body)
            body.when_left(self._body_left)
        self._candidate.view.is_held_back = bool(self._unfinished)

    def _body_left(self, body: Body) -> None:
        self._unfinished.discard(body)
        self._candidate.view.is_held_back = bool(self._unfinished)
        self._news()

    def end(self) -> None:
        """Stand no longer, since the election was ended by this process."""
        if self._me is not None:
            self._me.hear_of_end()
            self._news()

    @property
    def is_withdrawn(self) -> bool:
        """Whether nothing of this candidate can be in ZooKeeper."""
        return self._me is None or self._me.is_withdrawn

    @property
    def withdrawal_error(self) -> ElectionError | None:
        """Why deleting it was given up, or None."""
        return None if self._me is None else self._me.withdrawal_error

    @property
    def has_ended_for_good(self) -> bool:
        """Whether it stands no more, and never will; its znode may still be there."""
        return self.public.board.has_ended

    def withdraw_again(self) -> bool:
        """Take the candidate out of ZooKeeper after the background task was cancelled, or refused.

        Return whether there is a background task that does it.
        """
        if self.is_withdrawn or self.task is None or self._me is None or self._context is None:
            return False
        if not self.task.done():
            return True  # another resign() has begun to
        self._me.withdrawal_error = None
        if self._context.is_closed_in_order:
            self._me.is_withdrawn = True
            return False
        if self._context.is_closed:
            self._me.withdrawal_error = self.identity.closed_too_early()
            return False
        self._context = ClientContext.attach(self.client)
        self._run(withdraw(self._me), f"golea_async resign {self.identity.resource}")
        return True

    async def closed(self) -> None:
        """Wait until nothing is left on the client, if this was the last that used it."""
        if self._context is not None and self.task is not None and self.task.done():
            await self._context.closed()

    @property
    def is_client_closed(self) -> bool:
        """Whether the application has closed the client, or is about to."""
        return self._context is None or self._context.is_closed

    def _unnoticed_loss(self) -> ElectionError | None:
        if self.is_leaving:
            return self.identity.error(NotStandingError, "has resigned")
        return self.identity.client_closed() if self.is_client_closed else None

    # ------------------------------------------------------------------ the background task

    def _run(self, life: Coroutine[Step, Any, None], name: str) -> None:
        """Drive a coroutine to its end, with a task that holds it."""
        context = self._linked
        self._stop()  # what a background task that was cancelled has left
        self._life, self._channel = life, None
        try:
            self.task = context.spawn(self._stand_by(), name, self.has_ended)
        except BaseException:  # a task factory's
            life.close()
            self._life = None
            context.detach()
            raise
        self._look_around()
        self._resume()  # first: ZooKeeper works while the rest is being set up
        context.listen(self.on_change)
        context.keep_alive.stand(self.identity.resource)

    async def _stand_by(self) -> None:
        """Wait for work to stop where the coroutine waits for that, until the coroutine has ended."""
        while self._life is not None:
            if isinstance(step := self._step, WorkStopped):
                await self.public.work_stopped()
                if self._step is step:  # no news have come before
                    self._resume(True)
            elif isinstance(self._step, CatchUp) and self._channel is not None:
                channel = self._channel
                await channel.catch_up()
                self._resume(channel.has_recent_answer)
            else:
                self._signal = self._linked.loop.create_future()
                await self._signal

    def has_ended(self, task: asyncio.Task[None]) -> None:
        """Take leave of the client; to be called at the end of the background task."""
        if task is self.task:  # else resign() was faster, and has begun to withdraw again
            self._stop()
            self._candidate.belief.end(None)
            self._candidate.belief.explain(None)
            self._tell()
            self._linked.unlisten(self.on_change)
        self._linked.keep_alive.stand_no_more(self.identity.resource)
        self._linked.detach()
        if task.cancelled() and not self.is_leaving:  # last: where warnings are errors it raises
            what = self.identity.about("was cancelled and has not resigned")
            warnings.warn(what, ResourceWarning, stacklevel=1)

    def _stop(self) -> None:
        """Drive the coroutine no longer, and leave nothing of it on the channel."""
        self._stop_timer()
        if self._life is not None:
            self._life.close()
        self._life = self._step = self._question = None
        self._unwatch(*self._watched)

    # ------------------------------------------------------------------ stepping the coroutine

    def _resume(self, value: Any = None, error: ConnectionLostError | None = None) -> None:
        """Step the coroutine until it waits for what has not come."""
        life = self._life
        if life is None:
            return
        self._is_stepping = True
        try:
            while value is not _PENDING:
                self._look_at_lease()
                self._step, self._has_news = None, False
                self._step = life.send(value) if error is None else life.throw(error)
                self._tell()
                error = None
                try:
                    value = self._perform(self._step)
                except ConnectionLostError as lost:
                    self._look_around()
                    value, error = None, lost
        except StopIteration:
            self._life = self._step = None
        except Exception as crash:
            _logger.exception("%s", self.identity.about("has crashed: this is a bug in golea_async"))
            self._life = self._step = None
            self._candidate.withdrawal_error = self.identity.crashed(crash)
        finally:
            self._is_stepping = False
        self._tell()
        if (
            self._signal is not None
            and not self._signal.done()
            and isinstance(self._step, WorkStopped | CatchUp | None)
        ):
            self._signal.set_result(None)

    def _look_around(self) -> None:
        """Tell the candidate how its client stands with ZooKeeper."""
        context, me = self._linked, self._candidate
        view, channel = me.view, context.channel
        if channel is not None and channel is not self._channel:
            self._channel, me.session_id = channel, channel.session_id
            self._watched.clear()
            view.reconnected()
        view.in_touch = channel is not None
        view.is_session_lost = me.claims is not None and context.has_lost(me.claims.session_id)
        view.is_closed = context.is_closed
        if view.is_closed:
            me.is_closing, me.is_closed_in_order = context.is_closing, context.is_closed_in_order
            me.session_timeout = context.session_timeout
        me.is_working = self.public.has_work

    def _look_at_lease(self) -> None:
        lease, me = self._linked.lease, self._candidate
        me.view.lease = lease.stretch if lease is not None and lease.is_valid else None
        me.reconsider()

    def _news(self) -> None:
        """End belief where the news say so, and have the coroutine look again: now, if it waits for news."""
        self._has_news = True
        if self._is_stepping or self._life is None:
            self._tell()
        elif isinstance(self._step, NextEvent):
            self._resume()
        elif isinstance(self._step, Pause):
            self._stop_timer()
            self._resume(False)
        elif isinstance(self._step, WorkStopped) and self._step.or_news:
            self._resume(False)
        else:
            self._look_at_lease()
            self._tell()

    def on_change(self) -> None:
        """Hear that the connection, the session or the lease has come or gone; to be called by the context."""
        self._look_around()
        self._news()

    def on_event(self, event: Event, path: str) -> None:
        """Hear the event of a watch; to be called by the channel."""
        self._watched.discard(path)
        if event is not Event.LOST:  # the context tells of that
            self._candidate.hear(event, path)
            self._news()

    def _keep_alive_refused(self, reply: Reply) -> None:
        """Hear that the own znode is gone, or must not be read any more; to be called by the keep-alive."""
        self._candidate.hear_refusal(reply)
        self._news()

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
                is_over = not self.public.has_work
                return is_over if is_over or (or_news and self._has_news) else _PENDING
            case Pause(seconds):
                if self._has_news:
                    return False
                # Not all that were turned away come back at once.
                self._timer = self._linked.loop.call_later(seconds * random.uniform(0.5, 1), self._pause_is_over)
                return _PENDING
            case CatchUp():
                channel = self._channel
                return True if channel is not None and channel.is_up_to_date else _PENDING

    def _pause_is_over(self) -> None:
        self._timer = None
        self._resume(True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self, step: Ask) -> Any:
        """Send a batch; return the replies when nothing has to be waited for, else `_PENDING`."""
        channel, own = self._channel, self._candidate.own
        if channel is None or not self._candidate.view.in_touch:
            raise ConnectionLostError
        question = Question(channel, step, None if own is None else own.path)
        self._watched.update(question.watched)
        self._read(channel, question.send(self.on_event))
        question.when_answered(partial(self._answered, question))
        if question.is_awaited:
            self._question = question
            return _PENDING
        return question.replies

    def _answered(self, question: Question) -> None:
        """Read the answers that have come, in the very call that reads the last of them."""
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
            self._news()

    def _read(self, channel: Channel, answers: list[Answer]) -> None:
        """Have the candidate read what was shown of its watches; those that were not set are watched no longer."""
        for path, reply, is_watch in answers:
            if channel is not self._channel or (is_watch and path not in self._watched):
                continue  # its event has come
            if not self._candidate.read(path, reply) and is_watch:
                self._unwatch(path)

    def _unwatch(self, *paths: str) -> None:
        self._watched.difference_update(paths)
        if self._channel is not None:
            self._channel.unwatch(self.on_event, *[(path, WatchKind.DATA) for path in paths])

    def _tell(self) -> None:
        """Tell what has changed in what the candidate believes, in order."""
        belief, unneeded = self._candidate.belief, self._candidate.unneeded
        while belief.changes:
            self._tell_change(belief.changes.pop(0))
        if unneeded:
            self._unwatch(*unneeded)
            unneeded.clear()
        if belief.held != self._held:
            keep_alive = self._linked.keep_alive
            if self._held is not None:
                keep_alive.release(self._held)
            self._held = belief.held
            if self._held is not None:
                keep_alive.hold(self._held, self._keep_alive_refused)

    def _tell_change(self, change: Change) -> None:
        match change:
            case Ceased(HandedOverError()):
                self._hold_back(self.public.bodies)
            case Moved(refusal):
                self._have_moved(refusal)
            case Ended(error):
                self._have_moved(error or self.identity.error(NotStandingError, "has resigned"))
        self.public.tell(change, self._linked.lease)

    def _have_moved(self, error: ElectionError | None) -> None:
        """Tell those who wait for it to have stepped down."""
        moves, self._moves = self._moves, []
        for moved in moves:
            if moved.done():
                continue
            if error is None:
                moved.set_result(None)
            else:
                moved.set_exception(error)
                moved.exception()  # nobody may wait for it any more

    # ------------------------------------------------------------------ small things

    @property
    def _linked(self) -> ClientContext:
        assert self._context is not None, "it was started"
        return self._context

    @property
    def _candidate(self) -> Candidate:
        assert self._me is not None, "it was started"
        return self._me


_PENDING = object()
"""What a step comes to that has to be waited for."""

_claims: WeakKeyDictionary[aiozk.ZKClient, ClientClaims] = WeakKeyDictionary()


def _claims_of(client: aiozk.ZKClient) -> ClientClaims:
    """Return the claims of a client's candidates: they live as long as the client, and longer than any candidate."""
    claims = _claims.get(client)
    if claims is None:
        requests = Requests("" if client.chroot in (None, "/") else str(client.chroot), client.default_acl)
        requests.create("/", b"").serialize(0)  # a default_acl that cannot be written fails here
        reference = ref(client)  # what is held by the client must not hold the client
        claims = _claims[client] = ClientClaims(
            requests, SEEN_TOKENS, lambda resource: election_key(cast(aiozk.ZKClient, reference()), resource)
        )
    return claims

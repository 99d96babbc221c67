"""What a candidate lets others see: its statuses, its leadership with the work inside, and its log lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import aiozk

from ._history import History, explanation, reason_of
from ._protocol.claims import Nomination
from ._protocol.identity import Identity
from ._protocol.role import Ceased, Change, Ended, Explained, Gained, Moved, Notice
from ._shared.client_context import ClientContext
from ._shared.keepalive import KeepAlive
from ._shared.said import warn_once
from ._shared.stall import NO_STALL, Stall
from ._status_board import StatusBoard
from ._zookeeper.log import Log
from .exceptions import ElectionError, HandedOverError, LeaseExpiredError, NotStandingError
from .leadership import Body, Leadership
from .report import LeadershipLoss, Reason
from .status import Role, Status

_logger = Log(logging.getLogger("golea_async.election"))


class Publication:
    """What one candidate believes, as others see it. What that is, is decided in :mod:`golea_async._protocol.role`.

    :ivar board: the statuses.
    :ivar leadership: the present stretch of leading; it may have ended by the clock.
    :ivar unfinished: work of leaderships that were given away; while some goes on the candidate does not lead again.
    :ivar on_work_ended: called when the work of leaderships that were given away has ended.

    :param history: what became of the candidate, for reports.
    """

    def __init__(self, client: aiozk.ZKClient, identity: Identity, history: History) -> None:
        self.board = StatusBoard()
        self.history = history
        self.leadership: Leadership | None = None
        self._client = client
        self._identity = identity
        self._leaderships: tuple[Leadership, ...] = ()  # the newest, and past ones whose bodies may be stopping
        self._unexplained: _Loss | None = None  # why it was lost is in doubt
        self._moves: tuple[asyncio.Future[None], ...] = ()  # of those who wait for it to have stepped down
        self.unfinished: dict[Body, None] = {}
        self.on_work_ended: Callable[[], None] | None = None

    def tell(self, change: Change, context: ClientContext) -> None:
        """Publish a change of what the candidate believes.

        :param context: of its client.
        """
        match change:
            case Status():
                self._publish(change)
            case Gained(own):
                self._gain(own, context)
            case Ceased(cause, is_in_doubt):
                if isinstance(cause, HandedOverError):
                    self._hold_back(self.bodies)
                self._cease(cause, context.keep_alive, is_in_doubt=is_in_doubt)
            case Explained(cause):
                self._explain(cause)
            case Ended(error):
                self._end(error)
                if self._moves:
                    self._have_moved(error or self._identity.error(NotStandingError, "has resigned"))
            case Moved(refusal):
                self._have_moved(refusal)
            case Notice(text, about):
                warn_once(self._client, text, about)

    def move(self, bodies: Iterable[Body]) -> asyncio.Future[None]:
        """Return what is done when the candidate has stepped down.

        :param bodies: before these have ended it does not lead again.
        """
        moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moves = (*self._moves, moved)
        self._hold_back(bodies)
        return moved

    def _hold_back(self, bodies: Iterable[Body]) -> None:
        for body in bodies:
            self.unfinished[body] = None
            body.when_left(self._body_left)

    def _body_left(self, body: Body) -> None:
        self.unfinished.pop(body, None)
        if not self.unfinished and self.on_work_ended is not None:
            self.on_work_ended()

    def _have_moved(self, error: ElectionError | None) -> None:
        """Tell those who wait for it to have stepped down."""
        moves, self._moves = self._moves, ()
        for moved in moves:
            if moved.done():
                continue
            if error is None:
                moved.set_result(None)
            else:
                moved.set_exception(error)
                moved.exception()  # nobody may wait for it any more

    @property
    def bodies(self) -> list[Body]:
        """The work within leadership that has not ended."""
        return [body for leadership in self._leaderships for body in leadership.bodies]

    @property
    def has_work(self) -> bool:
        """Whether work within leadership has not ended."""
        return bool(self._leaderships and self.bodies)

    async def work_stopped(self) -> None:
        """Wait until all work within leadership has ended, but for what resigns itself."""
        for leadership in self._leaderships:
            await leadership.stopped()

    def _gain(self, own: Nomination, context: ClientContext) -> None:
        self.history.gain()
        lease = context.lease
        assert lease is not None, "a verdict to lead rests on one"
        self.leadership = Leadership(
            self._client, lease, own.path, own.czxid, self._identity, lambda: context.is_closed
        )
        self._leaderships = (*(each for each in self._leaderships if each.bodies), self.leadership)

    def _cease(self, cause: ElectionError | None, keep_alive: KeepAlive, *, is_in_doubt: bool) -> None:
        leadership, self.leadership = self.leadership, None
        if leadership is None:
            return
        leadership.lose(cause, is_in_doubt=is_in_doubt)
        is_still_first = isinstance(cause, LeaseExpiredError)  # as far as is known
        led_for = self.history.cease(is_still_first=is_still_first)
        stall = keep_alive.stall() if is_still_first else NO_STALL
        lost = _Loss(leadership, stall, datetime.now(UTC), led_for)
        if is_in_doubt:
            self._unexplained = lost
        else:
            self._tell_of_loss(lost, cause)

    def _explain(self, cause: ElectionError | None) -> None:
        lost, self._unexplained = self._unexplained, None
        if lost is not None:
            lost.leadership.explain(cause)
            self._tell_of_loss(lost, cause or lost.leadership.cause)

    def _tell_of_loss(self, lost: _Loss, cause: ElectionError | None) -> None:
        reason, why, blocked_for = explanation(cause, lost.stall)
        token = lost.leadership.fencing_token
        self.history.lose(LeadershipLoss(lost.when, reason, why, lost.led_for, token, blocked_for))
        level = logging.INFO if cause is None or isinstance(cause, HandedOverError) else logging.WARNING
        if _logger.isEnabledFor(level):
            led = f"after {_duration(lost.led_for)} (token {token})"
            extra = self._fields(Role.LEADER, reason, token)  # which it is no longer
            _logger.log(level, "lost leadership of %s %s: %s", self._identity.resource, led, why, extra=extra)

    def _fields(self, role: Role, reason: Reason | None, fencing_token: int | None) -> dict[str, object]:
        return self._identity.fields(role.value, None if reason is None else reason.value, fencing_token)

    def _publish(self, status: Status) -> None:
        before = self.board.latest.role
        self.board.publish(status)
        reason = None if status.error is None else reason_of(status.error)[0]
        if status.role is not before:
            self.history.change(status.role, reason)
        if before is Role.NONE:
            return  # joining says nothing of the outcome
        # Why leadership was lost has a line of its own.
        is_to_be_explained = status.error is not None and before is not Role.LEADER
        is_loud = is_to_be_explained and not isinstance(status.error, HandedOverError)
        level = logging.WARNING if is_loud else logging.INFO
        if _logger.isEnabledFor(level):
            following = f", following {status.now_following}" if status.now_following else ""
            why = f": {self._identity.reason(status.error)}" if status.error is not None and is_to_be_explained else ""
            what = self._identity.about(f"is {status.role} (was {before}){following}{why}")
            _logger.log(level, "%s", what, extra=self._fields(status.role, reason, status.fencing_token))

    def _end(self, error: ElectionError | None) -> None:
        has_stood = self.board.latest.role is not Role.NONE
        self.board.end(error)
        if not has_stood and error is None:
            return
        reason, _ = reason_of(error)
        self.history.change(Role.NONE, reason)
        if _logger.isEnabledFor(logging.INFO):
            what = self._identity.about("resigns") if error is None else error
            _logger.info("%s", what, extra=self._fields(Role.NONE, reason, None))


class _Loss(NamedTuple):
    """A loss of leadership that was not told of yet."""

    leadership: Leadership
    stall: Stall
    when: datetime
    led_for: float


def _duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

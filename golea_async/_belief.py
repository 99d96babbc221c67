"""What one candidate believes of itself, and tells: its role, its statuses, and its leadership."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ._identity import Identity
from ._nomination import Nomination
from ._shared.lease import Lease
from .exceptions import ElectionError
from .leadership import Body, Leadership
from .status import Role, Status, StatusBoard

if TYPE_CHECKING:
    from ._candidacy import Candidacy

_logger = logging.getLogger("golea_async.election")
_JOINING = Status(Role.CANDIDATE)


class Belief:
    """What one candidate believes, and tells. Who it is that leads is decided elsewhere.

    :ivar board: the statuses.
    :ivar leadership: the present stretch of leading; it may have ended by the clock.
    """

    def __init__(self, identity: Identity) -> None:
        self.board = StatusBoard()
        self.leadership: Leadership | None = None
        self._identity = identity
        self._leaderships: tuple[Leadership, ...] = ()  # the newest, and past ones whose bodies may be stopping
        self._led_since = 0.0
        self._unexplained: Leadership | None = None  # was lost, and why is in doubt

    def join(self) -> None:
        """Stand from now on; the outcome is not known."""
        self.board.publish(_JOINING)

    def rejoin(self, lost: ElectionError) -> None:
        """Stand anew, since the session is lost, and its candidate with it."""
        self._publish(Status(Role.CANDIDATE, was_following=self.board.latest.now_following, error=lost))

    def follow(self, own: Nomination, followed: str) -> None:
        """Follow the candidate at that path. Idempotent."""
        before = self.board.latest
        if (before.role, before.candidate_id, before.now_following) != (Role.FOLLOWER, own.path, followed):
            self._publish(Status(Role.FOLLOWER, own.path, followed, before.now_following))

    def lead(self, candidacy: Candidacy, own: Nomination, lease: Lease) -> None:
        """Lead, as soon as the lease is valid: the first place alone is not enough. Idempotent."""
        self.notice_lapse()
        if self.leadership is not None or not lease.is_valid:
            return
        if self.board.latest.role is Role.LEADER:  # two stretches are never read as one
            self._publish(Status(Role.CANDIDATE, own.path))
        self.explain(None)
        self._led_since = time.monotonic()
        self.leadership = Leadership(candidacy, lease, own.path, own.czxid)
        self._leaderships = (*(each for each in self._leaderships if each.bodies), self.leadership)
        self._publish(Status(Role.LEADER, own.path, None, self.board.latest.now_following, own.czxid))

    def notice_lapse(self) -> None:
        """See whether the lease has lapsed since; the clock has told everybody who asked."""
        if self.leadership is not None and not self.leadership.is_leased:
            error = self._identity.lapse()
            self.lose(error)
            self._publish(Status(Role.CANDIDATE, self._identity.candidate_id, error=error))

    def lose(self, cause: ElectionError | None, *, is_in_doubt: bool = False) -> None:
        """Believe in leading no longer, and cancel what runs within it. No cause: it resigns.

        :param is_in_doubt: whether the cause is a guess; then this is called again when it is known.
        """
        lost, self.leadership = self.leadership, None
        if lost is None:
            if cause is not None and not is_in_doubt:
                self.explain(cause)
            return
        lost.lose(cause, is_in_doubt=is_in_doubt)
        if is_in_doubt:
            self._unexplained = lost
        else:
            self._log_loss(lost, cause)

    def explain(self, cause: ElectionError | None) -> None:
        """Say why leadership was lost, where that was in doubt. No cause: nothing better than the guess is known."""
        lost, self._unexplained = self._unexplained, None
        if lost is not None:
            lost.explain(cause)
            self._log_loss(lost, cause or lost.cause)

    def _log_loss(self, lost: Leadership, cause: ElectionError | None) -> None:
        level = logging.INFO if cause is None else logging.WARNING
        if _logger.isEnabledFor(level):
            why = "it resigns" if cause is None else self._identity.reason(cause)
            led = f"lost leadership after {_duration(time.monotonic() - self._led_since)}"
            _logger.log(level, "%s", self._identity.about(f"{led} (fencing token {lost.fencing_token}): {why}"))

    def end(self, error: ElectionError | None) -> None:
        """End the statuses, with a last one if there is an error. Idempotent."""
        if self.board.has_ended:
            return
        has_stood = self.board.latest.role is not Role.NONE
        self.board.end(error)
        if error is not None:
            _logger.info("%s", error)
        elif has_stood and _logger.isEnabledFor(logging.INFO):
            _logger.info("%s", self._identity.about("resigns"))

    @property
    def bodies(self) -> list[Body]:
        """The work within leadership that has not ended."""
        return [body for leadership in self._leaderships for body in leadership.bodies]

    @property
    def has_work(self) -> bool:
        """Whether work within leadership has not ended."""
        return bool(self.bodies)

    async def work_stopped(self) -> None:
        """Wait until all work within leadership has ended, but for what resigns itself."""
        for leadership in self._leaderships:
            await leadership.stopped()

    def _publish(self, status: Status) -> None:
        if self.board.has_ended:
            return
        before = self.board.latest.role
        self.board.publish(status)
        # Why leadership was lost has a line of its own.
        is_to_be_explained = status.error is not None and before is not Role.LEADER
        level = logging.WARNING if is_to_be_explained else logging.INFO
        if _logger.isEnabledFor(level):
            following = f", following {status.now_following}" if status.now_following else ""
            why = f": {self._identity.reason(status.error)}" if status.error is not None and is_to_be_explained else ""
            _logger.log(level, "%s", self._identity.about(f"is {status.role} (was {before}){following}{why}"))


def _duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

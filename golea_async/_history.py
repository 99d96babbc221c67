"""What became of a candidate so far: counted when something happens, put into words when somebody looks.

Nothing here has a timer or a task. One object lives as long as its `AsyncElection`, through all of its candidacies.
A report may be asked for in another thread (metrics are): it reads attributes, and changes nothing.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import MappingProxyType

from ._shared.stall import Stall
from ._zookeeper.clock import boottime
from .exceptions import (
    CandidateDeletedError,
    ClientClosedError,
    CrashedError,
    ElectionError,
    ElectionOverError,
    HandedOverError,
    LeaseExpiredError,
    NotStandingError,
    SessionExpiredError,
)
from .report import LeadershipLoss, Reason, RoleChange
from .status import Role

_RECENT = 10

# The first that fits: subclasses stand before their parents.
_REASONS: dict[type[ElectionError], tuple[Reason, str]] = {
    ClientClosedError: (Reason.CLIENT_CLOSED, "the ZooKeeper client was closed; resign before closing it"),
    SessionExpiredError: (Reason.SESSION_LOST, "the ZooKeeper session is lost, and the znode with it"),
    LeaseExpiredError: (Reason.LEASE_LAPSED, "lease expired"),
    CandidateDeletedError: (Reason.DEPOSED, "somebody deleted its znode; start() it to stand anew"),
    HandedOverError: (Reason.HANDED_OVER, "it stepped down, and stands on at the end of the line"),
    ElectionOverError: (Reason.ENDED, "the election was ended or deleted"),
    CrashedError: (Reason.CRASHED, "it crashed"),
    NotStandingError: (Reason.CANCELLED, "the event loop ended before it had resigned"),
    ElectionError: (Reason.REFUSED, "ZooKeeper refused what it needs"),
}

_MADE_WAY = "it made way for {}, and stands on at the end of the line"
_WAS_DEPOSED = "it was deposed by {}; start() it to stand anew"


def reason_of(cause: ElectionError | None) -> tuple[Reason, str]:
    """Return why a candidate lost its role, for machines and in words; no cause: it resigned."""
    if cause is None:
        return Reason.RESIGNED, "it resigned"
    return next(reason for kind, reason in _REASONS.items() if isinstance(cause, kind))


def explanation(cause: ElectionError | None, stall: Stall) -> tuple[Reason, str, float | None]:
    """Return why leadership was lost, for machines and in words, and how long the loop was blocked if that was it."""
    reason, words = reason_of(cause)
    if reason is Reason.LEASE_LAPSED:
        if stall.is_the_loop:
            return reason, f"{words}, the event loop was blocked for {stall.blocked:.1f} s", stall.blocked
        return reason, f"{words}, ZooKeeper's quorum was silent for {stall.silent:.1f} s", None
    if isinstance(cause, HandedOverError) and cause.by is not None:
        words = f"{words if cause.to is None else _MADE_WAY.format(cause.to)}, as {cause.by} had asked"
    elif isinstance(cause, CandidateDeletedError) and cause.by is not None:
        words = _WAS_DEPOSED.format(cause.by)
    elif reason is Reason.CRASHED and cause is not None:
        words = f"{words}: {cause.__cause__!r}; please report it"
    elif reason is Reason.REFUSED:
        words = f"{words}: {cause}"
    return reason, words, None


class History:
    """What became of one `AsyncElection` so far.

    :ivar changes: how often its role changed, by the new role and the reason.
    :ivar dead_work: what the work of ``run()`` raised, since it last began; else None.
    """

    __slots__ = (
        "_connected_at", "_first_since", "_led_since", "_recent", "_resigns_since", "_since", "_standing_since",
        "changes", "dead_work", "last_loss", "leaderless_time", "leaderships", "losses", "reconnects",
        "resignation_time", "resignations", "time_to_lead",
    )  # fmt: skip

    def __init__(self) -> None:
        self.changes: dict[tuple[Role, Reason | None], int] = {}
        self.losses: dict[Reason, int] = {}
        self.last_loss: LeadershipLoss | None = None
        self.leaderships = self.reconnects = self.resignations = 0
        self.time_to_lead = self.leaderless_time = self.resignation_time = 0.0
        self.dead_work: BaseException | None = None
        self._recent: tuple[tuple[float, Role, Reason | None], ...] = ()
        self._since = time.time()
        self._connected_at = 0.0
        self._standing_since = self._first_since = self._led_since = self._resigns_since = None  # type: float | None

    # ------------------------------------------------------------------ what happens

    def begins(self) -> None:
        """Take note that a candidacy begins."""
        self.dead_work = self._resigns_since = self._first_since = None
        self._standing_since = boottime()

    def change(self, role: Role, reason: Reason | None) -> None:
        """Count a change of role."""
        self._since = time.time()
        self.changes[role, reason] = self.changes.get((role, reason), 0) + 1
        self._recent = (*self._recent[1 - _RECENT :], (self._since, role, reason))
        if role is Role.NONE:
            self._first_since = None

    def connected(self, *, again: bool) -> None:
        """Take note of a new connection."""
        self._connected_at = boottime()
        self.reconnects += again

    def first(self, *, is_first: bool) -> None:
        """Take note whether the candidate is the first in line from now on."""
        self._first_since = boottime() if is_first and self._led_since is None else None

    def gain(self) -> None:
        """Take note that it leads from now on."""
        now = boottime()
        self.leaderships += 1
        self.time_to_lead += now - (self._standing_since or now)
        self.leaderless_time += now - (self._first_since or now)
        self._standing_since, self._first_since, self._led_since = None, None, now

    def cease(self, *, is_still_first: bool) -> float:
        """Take note that it leads no longer; return for how many seconds it has led."""
        now = boottime()
        led_since, self._led_since, self._standing_since = self._led_since, None, now
        self._first_since = now if is_still_first else None
        return now - (led_since or now)

    def lose(self, loss: LeadershipLoss) -> None:
        """Count a loss of leadership, when its cause is known."""
        self.losses[loss.reason] = self.losses.get(loss.reason, 0) + 1
        self.last_loss = loss

    def resigns(self) -> None:
        """Take note that it is about to resign."""
        self._resigns_since = boottime()

    def withdrawn(self) -> None:
        """Take note that nothing of it is in ZooKeeper any more."""
        if self._resigns_since is not None:
            self.resignations += 1
            self.resignation_time += boottime() - self._resigns_since
            self._resigns_since = None

    # ------------------------------------------------------------------ what is asked

    @property
    def since(self) -> datetime:
        """Since when it has the present role."""
        return datetime.fromtimestamp(self._since, UTC)

    @property
    def recent_changes(self) -> tuple[RoleChange, ...]:
        """The last changes of its role."""
        return tuple(RoleChange(datetime.fromtimestamp(when, UTC), role, reason) for when, role, reason in self._recent)

    @property
    def counts(self) -> tuple[MappingProxyType[tuple[Role, Reason | None], int], MappingProxyType[Reason, int]]:
        """The changes of its role, and its losses of leadership, by reason."""
        return MappingProxyType(self.changes.copy()), MappingProxyType(self.losses.copy())

    def seconds_without_lease(self) -> float:
        """Return for how long it was the first in line and in touch with ZooKeeper, and got no lease all the same."""
        first_since = self._first_since
        return 0.0 if first_since is None else boottime() - max(first_since, self._connected_at)

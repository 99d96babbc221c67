"""What `election.report()` returns: one snapshot of a candidate, for people and machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .status import Role


class Reason(StrEnum):
    """Why a candidate lost leadership, or why its role changed."""

    RESIGNED = "resigned"
    """The application resigned."""
    HANDED_OVER = "handed_over"
    """The candidate went to the end of the line: its own program, or an operator, wanted that."""
    DEPOSED = "deposed"
    """Somebody deleted the candidate's znode."""
    ENDED = "ended"
    """The election was ended or deleted."""
    LEASE_LAPSED = "lease_lapsed"
    """The lease was not renewed in time: the event loop was blocked, or ZooKeeper was silent."""
    SESSION_LOST = "session_lost"
    """ZooKeeper ended the session."""
    CLIENT_CLOSED = "client_closed"
    """The application closed the client first."""
    CRASHED = "crashed"
    """A bug in golea_async."""
    REFUSED = "refused"
    """ZooKeeper refused what the candidate needs; mostly its access control list."""
    CANCELLED = "cancelled"
    """The event loop ended before the application had resigned."""


@dataclass(frozen=True, slots=True)
class LeadershipLoss:
    """One loss of leadership.

    :ivar when: when this candidate ceased to believe that it leads (UTC).
    :ivar reason: why, for machines.
    :ivar why: why, in words.
    :ivar led_for: seconds for which it had led.
    :ivar fencing_token: of the leadership that was lost.
    :ivar blocked_for: seconds for which the event loop had been blocked, where that was the cause; else None.
    """

    when: datetime
    reason: Reason
    why: str
    led_for: float
    fencing_token: int
    blocked_for: float | None = None


@dataclass(frozen=True, slots=True)
class RoleChange:
    """One change of role.

    :ivar when: in UTC.
    :ivar reason: why, where there is more to say than that the election went on.
    """

    when: datetime
    role: Role
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class ElectionReport:
    """A snapshot of one candidate. Counts and sums go back to when its :class:`AsyncElection` was made.

    :ivar role: the role of the latest status. Only ``is_leader`` has read the clock.
    :ivar following: full path of the znode that is followed.
    :ivar lease_remaining: seconds for which it leads if ZooKeeper is not heard of again; 0 for who does not lead.
    :ivar connected: whether its client is connected to a server.
    :ivar server: ``host:port`` of that server.
    :ivar session_timeout: seconds that were granted; those that are asked for until then.
    :ivar since: since when it has the present role (UTC).
    :ivar role_changes: how many there were.
    :ivar changes: how many there were, by the new role and the reason.
    :ivar recent_changes: the last ones, the newest last.
    :ivar losses: how often it lost leadership, by reason.
    :ivar leaderships: how often it began to lead.
    :ivar time_to_lead: seconds from standing, or from the loss before, to leading: the sum of all of them.
    :ivar leaderless_time: seconds for which it was the first in line and did not lead, so that nobody did.
    :ivar reconnects: how often its client found a server again.
    :ivar session_losses: how often it lost its session.
    :ivar resignations: how often it has resigned, its znode seen to be gone.
    :ivar resignation_time: seconds that its resignations took, the stopping of work included: the sum of all.
    :ivar crashed: whether it needs a restart, by a bug in golea_async.
    :ivar healthy: False when somebody should look at it; out of touch with ZooKeeper, resigned or ended is healthy.
    :ivar problem: what is wrong, in words.
    """

    resource: str
    name: str
    role: Role
    is_leader: bool
    candidate_id: str | None
    fencing_token: int | None
    following: str | None
    lease_remaining: float
    connected: bool
    server: str | None
    session_timeout: float
    since: datetime
    role_changes: int
    changes: Mapping[tuple[Role, Reason | None], int]
    recent_changes: tuple[RoleChange, ...]
    losses: Mapping[Reason, int]
    last_loss: LeadershipLoss | None
    leaderships: int
    time_to_lead: float
    leaderless_time: float
    reconnects: int
    session_losses: int
    resignations: int
    resignation_time: float
    crashed: bool
    healthy: bool
    problem: str | None

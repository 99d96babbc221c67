"""What a candidate is told: its role, and each status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .exceptions import ElectionError


class Role(StrEnum):
    """What a candidate is in its election."""

    NONE = "none"
    """Not standing: before the start, or after the end."""
    CANDIDATE = "candidate"
    """Standing, outcome not known: joining, or out of touch."""
    FOLLOWER = "follower"
    """Standing behind another candidate."""
    LEADER = "leader"
    """The first of the candidates."""


@dataclass(frozen=True, slots=True)
class Status:
    """One state of a candidate. It is history: only ``AsyncElection.is_leader`` tells about now.

    :ivar role: the role since this status.
    :ivar candidate_id: the own znode's full path; None before the nomination.
    :ivar now_following: full path of the znode that is followed; None for a leader.
    :ivar was_following: full path of the znode that was followed before this change.
    :ivar fencing_token: the own znode's ``czxid``, set if and only if the role is LEADER.
    :ivar error: why the role changed, when something went wrong.
    """

    role: Role
    candidate_id: str | None = None
    now_following: str | None = None
    was_following: str | None = None
    fencing_token: int | None = None
    error: ElectionError | None = None

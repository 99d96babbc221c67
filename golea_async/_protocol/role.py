"""What one candidate believes of itself: what follows from a verdict for its role, its leadership and its statuses.

Who leads is decided in :mod:`.standing`.

Pure: nobody is told here. What changes is noted in :attr:`Belief.changes`, in order, and whoever drives the candidate
tells it in the same call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from golea_async.exceptions import CandidateDeletedError, ElectionError, HandedOverError, NotStandingError
from golea_async.status import Role, Status

from .claims import Nomination
from .identity import Identity
from .standing import Loss, loss
from .view import View


@dataclass(slots=True)
class Gained:
    """The candidate leads from now on, by this znode; a status says so next."""

    own: Nomination


@dataclass(slots=True)
class Ceased:
    """The candidate leads no longer. No cause: it resigns.

    :ivar is_in_doubt: whether the cause is a guess; :class:`Explained` follows.
    """

    cause: ElectionError | None
    is_in_doubt: bool = False


@dataclass(slots=True)
class Explained:
    """Why the candidate had ceased to lead. No cause: nothing better than the guess is known."""

    cause: ElectionError | None


@dataclass(slots=True)
class Ended:
    """The candidate stands no longer. No error: it has resigned."""

    error: ElectionError | None


@dataclass(slots=True)
class Moved:
    """The candidate has gone to the end of the line, as its application wanted.

    :ivar refusal: why ZooKeeper does not let it; then it stands where it stood.
    """

    refusal: ElectionError | None = None


@dataclass(slots=True)
class Notice:
    """Something that operators should know of, to be logged once a client.

    :ivar about: what makes it the same notice; empty: the text does.
    """

    text: str
    about: str = ""


Change: TypeAlias = Gained | Ceased | Explained | Status | Moved | Ended | Notice

_NOT_STANDING, _JOINING = Status(Role.NONE), Status(Role.CANDIDATE)


class Belief:
    """The role of one candidate.

    :ivar latest: the latest status.
    :ivar changes: what was not told yet.
    :ivar stretch: of the lease, within which it leads; None: it does not.
    :ivar held: the own path while the candidate is the first, so that the lease is kept alive for it; else None.
    """

    def __init__(self, identity: Identity, *, rejoins: bool) -> None:
        self.latest = _NOT_STANDING
        self.changes: list[Change] = []
        self.held: str | None = None
        self.has_ended = False
        self._identity = identity
        self._rejoins = rejoins
        self._is_in_doubt = False  # why it ceased to lead
        self.stretch: int | None = None

    def join(self) -> None:
        """Stand from now on; the outcome is not known."""
        self._publish(_JOINING)

    def rejoin(self, lost: ElectionError) -> None:
        """Stand anew, since the session is lost, and its candidate with it."""
        self.held = None
        self.cease(lost)
        self._publish(Status(Role.CANDIDATE, was_following=self.latest.now_following, error=lost))

    def follow(self, own: Nomination, predecessor: str) -> None:
        """Follow the candidate at that path. Idempotent."""
        self.held = None
        before = self.latest
        if (before.role, before.candidate_id, before.now_following) != (Role.FOLLOWER, own.path, predecessor):
            self._publish(Status(Role.FOLLOWER, own.path, predecessor, before.now_following))

    def be_first(self, own: Nomination) -> None:
        """Keep the lease alive: whoever is the first needs one."""
        self.held = own.path

    def lead(self, own: Nomination, stretch: int) -> None:
        """Lead within this stretch of the lease. Idempotent."""
        self.be_first(own)
        if self.stretch is not None:
            return
        if self.latest.role is Role.LEADER:  # two stretches are never read as one
            self._publish(Status(Role.CANDIDATE, own.path))
        self.explain(None)
        self.stretch = stretch
        self.changes.append(Gained(own))
        self._publish(Status(Role.LEADER, own.path, None, self.latest.now_following, own.czxid))

    def reconsider(self, view: View) -> None:
        """Believe in leading no longer where the view says so; to be asked before anything else is done about it."""
        if self.stretch is None:
            return
        reason = loss(view, self.stretch)
        if reason is None:
            return
        cause = self._cause(reason, view)
        self.cease(cause, is_in_doubt=reason is Loss.DELETED)  # the quorum, or the end of the session, tells why
        if reason is Loss.LAPSED:
            self._publish(Status(Role.CANDIDATE, self._identity.candidate_id, error=cause))
            return
        self.held = None
        if isinstance(cause, HandedOverError):
            self._publish(_given_way(self.latest, cause))

    def give_way(self, why: HandedOverError) -> None:
        """Be about to go to the end of the line. Idempotent."""
        self.held = None
        if self.latest.role in (Role.LEADER, Role.FOLLOWER):
            self._publish(_given_way(self.latest, why))

    def _cause(self, reason: Loss, view: View) -> ElectionError | None:  # noqa: PLR0911  # one case for each
        identity, before = self._identity, view.before
        match reason:
            case Loss.RESIGNED:
                return None
            case Loss.OVER:
                return identity.over()
            case Loss.CLOSED:
                return identity.client_closed()
            case Loss.SESSION_LOST:
                return identity.session_lost(rejoins=self._rejoins)
            case Loss.DELETED:
                return identity.gone()
            case Loss.HANDED_OVER:
                return self._handed_over(view)
            case Loss.OVERTAKEN:
                return identity.error(CandidateDeletedError, f"has found {before and before.path} before it")
            case Loss.LAPSED:
                return identity.lapse()

    def _handed_over(self, view: View) -> ElectionError:
        identity, order = self._identity, view.order
        if order is not None and order.leaves:
            return identity.deposed(order.by)
        return identity.handed_over(order)

    def cease(self, cause: ElectionError | None, *, is_in_doubt: bool = False) -> None:
        """Believe in leading no longer, or say why that ended. Idempotent."""
        if self.stretch is not None:
            self.stretch, self._is_in_doubt = None, is_in_doubt
            self.changes.append(Ceased(cause, is_in_doubt))
        elif cause is not None:
            self.explain(cause)

    def explain(self, cause: ElectionError | None) -> None:
        """Say why leading ended, where that was in doubt."""
        if self._is_in_doubt:
            self._is_in_doubt = False
            self.changes.append(Explained(cause))

    def notice(self, text: str | None, about: str = "") -> None:
        """Have operators know of something; None: there is nothing to say."""
        if text is not None:
            self.changes.append(Notice(text, about))

    def end(self, error: ElectionError | None) -> None:
        """Stand no longer: belief ends first, then the statuses. Idempotent."""
        if self.has_ended:
            return
        if self.stretch is not None:
            self.cease(error or self._identity.error(NotStandingError, "was cancelled"))
        elif error is not None:
            self.explain(error)
        self.held = None
        self.has_ended = True
        before = self.latest
        self.latest = Status(Role.NONE, before.candidate_id, was_following=before.now_following, error=error)
        self.changes.append(Ended(error))

    def _publish(self, status: Status) -> None:
        if not self.has_ended:
            self.latest = status
            self.changes.append(status)


def _given_way(before: Status, why: HandedOverError) -> Status:
    """Say that the candidate goes to the end of the line, and why, where somebody else has asked for that."""
    return Status(
        Role.CANDIDATE,
        before.candidate_id,
        was_following=before.now_following,
        error=None if why.by is None else why,
    )

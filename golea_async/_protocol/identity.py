"""Who a candidate is, and what is said of it: every error names the candidate, its election and the way out."""

from __future__ import annotations

from typing import TypeVar

from golea_async.exceptions import (
    CandidateDeletedError,
    ClientClosedError,
    CrashedError,
    ElectionError,
    ElectionOverError,
    HandedOverError,
    LeaseExpiredError,
    ResignError,
    SessionExpiredError,
)

from .appeal import Order

_Error = TypeVar("_Error", bound=ElectionError)


class Identity:
    """One candidate of one election.

    :ivar candidate_id: full path of its znode, also when that is gone; None before the nomination.
    """

    def __init__(self, resource: str, name: str) -> None:
        self.resource = resource
        self.name = name
        self.candidate_id: str | None = None

    @property
    def names(self) -> dict[str, str | None]:
        """What an error says of whom it is about."""
        return {"resource": self.resource, "candidate_id": self.candidate_id}

    def fields(self, role: str | None, reason: str | None, fencing_token: int | None) -> dict[str, object]:
        """Return what a log line about this candidate carries for machines, as ``extra=``."""
        return {
            "election": self.resource,
            "candidate": self.name[:100],
            "role": role,
            "reason": reason,
            "fencing_token": fencing_token,
        }

    def about(self, what: str) -> str:
        """Say something of this candidate."""
        return f"candidate {self.name[:100]!r} ({self.candidate_id or self.resource}) {what}"

    def reason(self, error: ElectionError) -> str:
        """Say what an error says of this candidate, without naming it."""
        return str(error).removeprefix(self.about(""))

    def error(self, kind: type[_Error], what: str) -> _Error:
        """Make an error that says something of this candidate."""
        return kind(self.about(what), **self.names)

    def over(self) -> ElectionOverError:
        """Say that the election was ended or deleted."""
        return self.error(
            ElectionOverError, f"must leave: the election {self.resource} is over, no new candidates are allowed"
        )

    def lapse(self) -> LeaseExpiredError:
        """Say that the lease was not renewed in time."""
        return self.error(
            LeaseExpiredError, "was out of touch with ZooKeeper's quorum for too long: its lease has expired"
        )

    def client_closed(self) -> ClientClosedError:
        """Say that the application has closed the client."""
        return self.error(ClientClosedError, "ended with its session: the client was closed; resign before closing it")

    def gone(self) -> CandidateDeletedError:
        """Say that the znode is gone, before it is known why: the end of its session deletes it, too."""
        return self.error(
            CandidateDeletedError, "is gone from ZooKeeper: somebody has deleted it, unless its session has ended"
        )

    def deleted(self) -> CandidateDeletedError:
        """Say that somebody else has deleted the znode."""
        return self.error(CandidateDeletedError, "was deleted by somebody: start() it again to stand anew")

    def deposed(self, by: str) -> CandidateDeletedError:
        """Say that an operator has it leave."""
        error = self.error(CandidateDeletedError, f"was deposed by {by}: start() it again to stand anew")
        error.by = by
        return error

    def handed_over(self, order: Order | None) -> HandedOverError:
        """Say that it goes to the end of the line. None: its own program wants that."""
        by, to, why = None, None, "has stepped down"
        if order is not None:
            by, to = order.by, order.target
            why = f"was asked by {by} to " + ("step down" if to is None else f"make way for {to}")
        return HandedOverError(self.about(f"{why}; it stands on at the end of the line"), by=by, to=to, **self.names)

    def not_stepped_down(self, why: str) -> ResignError:
        """Say that it cannot be known that it has gone to the end of the line."""
        return self.error(ResignError, f"{why}; that goes on: step_down() again to wait for it")

    def session_lost(self, *, rejoins: bool) -> SessionExpiredError:
        """Say that ZooKeeper has ended the session."""
        way_out = "it stands again as soon as ZooKeeper is back" if rejoins else "start() it again to stand anew"
        return self.error(SessionExpiredError, f"lost its ZooKeeper session, and its znode with it; {way_out}")

    def not_withdrawn(self, why: str) -> ResignError:
        """Say that it cannot be known that the znode is gone."""
        return self.error(ResignError, f"{why} goes at the latest with its session: resign() again to wait for it")

    def closed_too_early(self) -> ResignError:
        """Say that the client's own tasks ended before the znode was deleted."""
        return self.not_withdrawn("cannot be deleted, the client's own tasks have ended, and")

    def crashed(self, crash: Exception) -> CrashedError:
        """Say that there is a bug."""
        error = self.error(CrashedError, f"has crashed: {crash!r}; please report it")
        error.__cause__ = crash
        return error

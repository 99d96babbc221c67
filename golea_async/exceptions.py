"""What can go wrong in an election, each with its own class.

Every error says what happened, to which election and candidate, and what to do about it.
Bad arguments are not here: they raise :class:`ValueError` or :class:`TypeError` before anything is sent.
"""

from __future__ import annotations


class ElectionError(Exception):
    """The root of all errors of this library.

    :ivar resource: the election node's path, where one is concerned.
    :ivar candidate_id: the full path of the candidate's znode, where one is concerned.
    """

    def __init__(
        self,
        message: str,
        *,
        resource: str | None = None,
        candidate_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.resource = resource
        self.candidate_id = candidate_id


class ElectionNotFoundError(ElectionError):
    """The election node does not exist. Make it with :func:`golea_async.create_election`."""


class ElectionOverError(ElectionError):
    """The election is being ended or deleted: its child ``DONE`` is there, or was.

    Nobody new may stand, and all candidates leave.
    """


class CandidateDeletedError(ElectionError):
    """Somebody else deleted this candidate's znode, or had the candidate leave.

    That is final for this candidacy; ``start()`` begins another.

    :ivar by: the operator who had it leave, by :func:`golea_async.depose`; None: the znode was deleted by whomever.
    """

    by: str | None = None


class SessionExpiredError(ElectionError):
    """The ZooKeeper session is lost, and the candidate's znode with it."""


class ClientClosedError(SessionExpiredError):
    """The application closed the client, and its session ended with that."""


class CrashedError(ElectionError):
    """The candidate's background task has crashed, by a bug in golea_async; ``__cause__`` is what it raised."""


class LeaseExpiredError(ElectionError):
    """The lease was not renewed in time: from now on somebody else may lead.

    The candidate leads again, with the same fencing token, if its session turns out to have survived.
    """


class LeadershipLostError(ElectionError):
    """This stretch of leading is over; its cause (``__cause__``) says why.

    A task group puts it into a group. ``leadership()``, ``run()`` and :func:`golea_async.web.leading` take a group of
    nothing but this for the error itself, nested ones too. A group with anything else in it goes on as it is.
    """


class NotStandingError(ElectionError):
    """The call needs a candidate that stands. This one was not started yet, or it has resigned."""


class ResignError(ElectionError):
    """Nobody can know yet whether the candidate's znode is gone.

    Deleting goes on in the background until the znode or the session is gone; another ``resign()`` waits for that.
    """


class HandedOverError(ElectionError):
    """The candidate has given its place away, and stands on, at the end of the line.

    :ivar by: the operator who asked for that; None: the application itself, by ``step_down()``.
    :ivar to: the full path of the candidate that the operator has lead next; None: whoever is next.
    """

    def __init__(
        self,
        message: str,
        *,
        by: str | None = None,
        to: str | None = None,
        resource: str | None = None,
        candidate_id: str | None = None,
    ) -> None:
        super().__init__(message, resource=resource, candidate_id=candidate_id)
        self.by = by
        self.to = to


class TransferError(ElectionError):
    """A candidate was asked to step down or to leave, and has not. By this request it never will.

    Leadership has not moved by it. Followers that were asked first may have gone to the end of the line.
    """


class NotAuthorizedError(ElectionError):
    """ZooKeeper refused an operation by the access control list of ``path``.

    :ivar path: the znode that the operation was about.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        resource: str | None = None,
        candidate_id: str | None = None,
    ) -> None:
        super().__init__(message, resource=resource, candidate_id=candidate_id)
        self.path = path


def election_not_found(resource: str) -> ElectionNotFoundError:
    """Say that there is no such election."""
    return ElectionNotFoundError(
        f"there is no election node {resource}: make it with `await create_election(zk, ...)`",
        resource=resource,
    )

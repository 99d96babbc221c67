"""What ZooKeeper's refusals mean: one table of its error codes. Pure: replies come in, errors go out.

A reply that carries an error is one of three kinds:

- *not done, try again*: the server did not carry the request out, and the same request may succeed a little later;
- *not on this server*: this server does not serve the session, or not in this state; another one may;
- *final*: the same request would be refused again, on every server.

Where servers send each code was looked up in ZooKeeper's sources (3.9, ``zookeeper-server``); the comments name the
places. What no server sends is sorted by what its documentation says. An unknown code is final.

A request that was not done leaves no trace, but the requests that were sent with it may have been done. So the whole
step is repeated, never the one request: a barrier that is sent again comes too late for the list that it precedes.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from aiozk import exc

from golea_async._zookeeper.replies import Reply, is_missing, refusal
from golea_async.exceptions import ElectionError, NotAuthorizedError

ResponseError: TypeAlias = exc.ResponseError


class Refusal(Enum):
    """What follows from an error code."""

    TRY_AGAIN = "not done, try again"
    ELSEWHERE = "not on this server"
    FINAL = "final"


class NotDoneError(Exception):
    """ZooKeeper has not carried out a request, and says that the same one may succeed a little later."""


THROTTLED = -127
AUTHENTICATION_REQUIRED = -124
_QUOTA_EXCEEDED = -125
_REQUEST_TIMEOUT = -122
_RECONFIGURATION_DISABLED = -123

REFUSALS: dict[int, Refusal] = {
    # FinalRequestProcessor:209, for what has waited for too long in RequestThrottler: "not executed at all".
    THROTTLED: Refusal.TRY_AGAIN,
    # SessionTrackerImpl:313, of a session that this server does not know: the next handshake tells what became of it.
    exc.UnknownSession.error_code: Refusal.ELSEWHERE,
    # SessionTrackerImpl:317, LearnerSessionTracker:174, LeaderSessionTracker:171: the session ends; the same.
    exc.SessionExpired.error_code: Refusal.ELSEWHERE,
    # FinalRequestProcessor:262: it is served by another connection. Servers close this one.
    exc.SessionMoved.error_code: Refusal.ELSEWHERE,
    # ReadOnlyRequestProcessor:114: a write, and this server has lost the quorum.
    exc.NotReadOnly.error_code: Refusal.ELSEWHERE,
    # Of clients, for requests without an answer: their outcome is unknown. No server sends these.
    exc.ConnectionLoss.error_code: Refusal.ELSEWHERE,
    exc.OperationTimeout.error_code: Refusal.ELSEWHERE,
    _REQUEST_TIMEOUT: Refusal.ELSEWHERE,
    # What an election asks and may hear: the tree, its permissions and its quotas are the same on every server.
    exc.NoNode.error_code: Refusal.FINAL,
    exc.NoAuth.error_code: Refusal.FINAL,
    exc.BadVersion.error_code: Refusal.FINAL,
    exc.NoChildrenForEphemerals.error_code: Refusal.FINAL,
    exc.NodeExists.error_code: Refusal.FINAL,
    exc.NotEmpty.error_code: Refusal.FINAL,
    exc.InvalidACL.error_code: Refusal.FINAL,  # PrepRequestProcessor:995
    exc.BadArguments.error_code: Refusal.FINAL,  # PrepRequestProcessor:966, a path or a flag
    _QUOTA_EXCEEDED: Refusal.FINAL,  # ZooKeeperServer:2201, where enforceQuota is set
    exc.EphemeralOnLocalSession.error_code: Refusal.FINAL,  # QuorumZooKeeperServer:105, local sessions that stay local
    exc.NoWatcher.error_code: Refusal.FINAL,  # FinalRequestProcessor:548, of a watch that has gone: as was asked
    # AuthenticationHelper:125 and ZooKeeperServer:1732: whom the server does not let in.
    exc.AuthFailed.error_code: Refusal.FINAL,
    AUTHENTICATION_REQUIRED: Refusal.FINAL,
    # PrepRequestProcessor:939, FinalRequestProcessor:612: the server failed at it, before or after it was done.
    exc.MarshallingError.error_code: Refusal.FINAL,
    exc.Unimplemented.error_code: Refusal.FINAL,  # PrepRequestProcessor:961
    exc.RuntimeInconsistency.error_code: Refusal.FINAL,  # within a transaction, behind the operation that failed it
    # Of reconfigurations, which no election asks for.
    exc.NewConfigNoQuorum.error_code: Refusal.FINAL,
    exc.ReconfigInProcess.error_code: Refusal.FINAL,
    _RECONFIGURATION_DISABLED: Refusal.FINAL,
    # Bounds of ranges, and of clients. No server sends these.
    exc.ZKSystemError.error_code: Refusal.FINAL,
    exc.DataInconsistency.error_code: Refusal.FINAL,
    exc.APIError.error_code: Refusal.FINAL,
    exc.InvalidCallback.error_code: Refusal.FINAL,
}

_NOT_AUTHORIZED = (exc.NoAuth.error_code, exc.AuthFailed.error_code, AUTHENTICATION_REQUIRED)
_WAYS_OUT = {
    _QUOTA_EXCEEDED: "its quota, or that of a parent, is used up: raise it with setquota",
    exc.EphemeralOnLocalSession.error_code: "the session is a local one: set localSessionsUpgradingEnabled=true",
    exc.Unimplemented.error_code: "the server does not know such a request: ZooKeeper 3.5 or later is needed",
    exc.InvalidACL.error_code: "the access control list is not valid: authenticate the client, or change default_acl",
}

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


def kind_of(error: ResponseError) -> Refusal:
    """Return what follows from an error."""
    return REFUSALS.get(error.error_code, Refusal.FINAL)


def leaves_doubt(error: ResponseError) -> bool:
    """Whether a write that was refused so may have been done: the server failed at it, or the code is unknown."""
    return error.error_code == exc.MarshallingError.error_code or error.error_code not in REFUSALS


def is_elsewhere(error: object) -> bool:
    """Whether an error says that the session is not served on this connection, or not in this state."""
    return isinstance(error, exc.ResponseError) and kind_of(error) is Refusal.ELSEWHERE


def pause_before(attempt: int) -> float:
    """Return how many seconds to wait before the next try, the first of which is number 1: doubled, up to a second."""
    return min(_FIRST_PAUSE * 2.0 ** min(attempt - 1, 16), _LONGEST_PAUSE)


def require_done(*replies: Reply) -> None:
    """Refuse to go on where one of the requests, whatever else became of it, was not carried out.

    :raises NotDoneError: when that is to be tried again.
    """
    for reply in replies:
        error = refusal(reply)
        if error is not None and kind_of(error) is Refusal.TRY_AGAIN:
            raise NotDoneError


def accept(reply: Reply, *tolerated: type[ResponseError], path: str, **about: str | None) -> Reply:
    """Return the reply unless ZooKeeper refused the request otherwise than tolerated.

    :raises NotDoneError: when the whole step is to be tried again.
    :raises NotAuthorizedError: when the access control list of ``path`` (or of its parent) did not allow it.
    :raises ElectionError: when it was refused for another reason.
    """
    error = refusal(reply)
    if error is None or isinstance(error, tolerated):
        return reply
    require_done(reply)
    code = error.error_code
    if code == AUTHENTICATION_REQUIRED:
        raise NotAuthorizedError(f"ZooKeeper refused a request on {path}: {error}", path=path, **about)
    if code in _NOT_AUTHORIZED:
        raise NotAuthorizedError(
            f"ZooKeeper does not let this client work on {path}: its access control list, or its parent's, says no; "
            "authenticate the client (golea_async.ZKClient has auth=) or have the permissions changed",
            path=path,
            **about,
        )
    way_out = f"; {_WAYS_OUT[code]}" if code in _WAYS_OUT else ""
    raise ElectionError(f"ZooKeeper refused a request on {path}: {error} (code {code}){way_out}", **about)


def is_present(reply: Reply, *, path: str, **about: str | None) -> bool:
    """Whether an ``exists`` has found its znode; since ZooKeeper 3.8.4 and 3.9.2 NoAuth says so of an unreadable one.

    :raises NotDoneError: when the whole step is to be tried again.
    :raises ElectionError: when it was refused for another reason.
    """
    return not is_missing(accept(reply, exc.NoNode, exc.NoAuth, path=path, **about))

"""What ZooKeeper's replies say: carried out, refused, missing."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

from aiozk import exc, protocol

from golea_async.exceptions import ElectionError, NotAuthorizedError

from .wire import AuthenticationRequiredError, Created

Reply: TypeAlias = Any
ResponseError: TypeAlias = exc.ResponseError

_WRITTEN = (Created, protocol.Create2Response, protocol.DeleteResponse, protocol.SetDataResponse)
_ROLLED_BACK = (exc.RolledBack.error_code, exc.RuntimeInconsistency.error_code)


def is_refused(reply: Reply) -> TypeGuard[ResponseError]:
    """Whether the reply is ZooKeeper's refusal."""
    return isinstance(reply, exc.ResponseError)


def is_missing(reply: Reply) -> bool:
    """Whether the reply says that the znode is not there."""
    return isinstance(reply, exc.NoNode) or (is_multi(reply) and isinstance(first_failure(reply), exc.NoNode))


def is_multi(reply: Reply) -> bool:
    """Whether the reply is a transaction's."""
    return isinstance(reply, protocol.TransactionResponse)


def is_quorum_write(reply: Reply) -> bool:
    """Whether the reply says that a write was carried out."""
    return isinstance(reply, _WRITTEN) or (is_multi(reply) and first_failure(reply) is None)


def first_failure(reply: Reply) -> ResponseError | None:
    """Return what failed a transaction, or None when it was carried out.

    The header of a failed one says nothing: its results do. The operations before the failed one read "rolled back",
    those behind it "runtime inconsistency".
    """
    if is_refused(reply):
        return reply
    failures = [result for result in reply.responses if is_refused(result)]
    causes = [failure for failure in failures if failure.error_code not in _ROLLED_BACK]
    return next(iter(causes or failures), None)


def refusal(reply: Reply) -> ResponseError | None:
    """Return the error in a reply, of a plain request or a transaction; None when it was carried out."""
    return first_failure(reply) if is_multi(reply) or is_refused(reply) else None


def is_present(reply: Reply, *, path: str, **about: str | None) -> bool:
    """Whether an ``exists`` has found its znode; since ZooKeeper 3.8.4 and 3.9.2 NoAuth says so of an unreadable one.

    :raises ElectionError: when it was refused for another reason.
    """
    return not is_missing(accept(reply, exc.NoNode, exc.NoAuth, path=path, **about))


def accept(reply: Reply, *tolerated: type[ResponseError], path: str, **about: str | None) -> Reply:
    """Return the reply unless ZooKeeper refused the request otherwise than tolerated.

    :raises NotAuthorizedError: when the access control list of ``path`` (or of its parent) did not allow it.
    :raises ElectionError: when it was refused for another reason.
    """
    error = refusal(reply)
    if error is None or isinstance(error, tolerated):
        return reply
    if isinstance(error, AuthenticationRequiredError):
        raise NotAuthorizedError(f"ZooKeeper refused a request on {path}: {error}", path=path, **about)
    if isinstance(error, (exc.NoAuth, exc.AuthFailed)):
        raise NotAuthorizedError(
            f"ZooKeeper does not let this client work on {path}: its access control list, or its parent's, says no; "
            "authenticate the client (golea_async.ZKClient has auth=) or have the permissions changed",
            path=path,
            **about,
        )
    raise ElectionError(f"ZooKeeper refused a request on {path}: {error} (code {error.error_code})", **about)

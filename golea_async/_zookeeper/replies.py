"""What ZooKeeper's replies say: carried out, refused, missing."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

from aiozk import exc, protocol

from .wire import Created

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


def failed_operation(reply: Reply) -> tuple[int, ResponseError] | None:
    """Return the place and the error of the operation that failed a transaction; None when there is none."""
    if not is_multi(reply):
        return None
    results = enumerate(reply.responses)
    failures = [(place, each) for place, each in results if is_refused(each) and each.error_code not in _ROLLED_BACK]
    return failures[0] if failures else None


def refusal(reply: Reply) -> ResponseError | None:
    """Return the error in a reply, of a plain request or a transaction; None when it was carried out."""
    return first_failure(reply) if is_multi(reply) or is_refused(reply) else None

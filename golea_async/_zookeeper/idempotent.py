"""Which requests may be sent again when it is not known whether they were carried out.

Those that only read, and deletes: a znode that the second one does not find is gone, which is what was asked for. What
somebody else has made at the path in between goes with it, as it would with a delete that was sent a little later.
"""

from __future__ import annotations

from typing import Any, Protocol

from aiozk import RetryPolicy, exc, protocol

from .connection import Connection
from .errors import NotSentError, OutcomeUnknownError
from .session_record import hexadecimal
from .suspects import Suspects

_READS = (
    protocol.ExistsRequest,
    protocol.GetDataRequest,
    protocol.GetChildrenRequest,
    protocol.GetChildren2Request,
    protocol.GetACLRequest,
    protocol.SyncRequest,
    protocol.CheckVersionRequest,
    protocol.CheckWatchesRequest,
    protocol.SetWatchesRequest,
)


def only_reads(request: Any) -> bool:
    """Whether it changes nothing."""
    if isinstance(request, protocol.TransactionRequest):
        return all(isinstance(part, protocol.CheckVersionRequest) for part in request.requests)
    return isinstance(request, _READS)


def may_be_repeated(request: Any) -> bool:
    """Whether it may be sent again within the session."""
    return isinstance(request, protocol.DeleteRequest) or only_reads(request)


class Sender(Protocol):
    """What requests are sent through: a session, on whatever connection it has."""

    retry_policy: RetryPolicy
    conn: Connection | None
    closing: bool
    suspects: Suspects

    @property
    def session_id(self) -> int: ...
    def raise_if_unusable(self) -> None: ...
    async def ensure_safe_state(self, writing: bool = False) -> None: ...


async def send_until_answered(sender: Sender, request: Any) -> Any:
    """Send a request, again where that does no harm, and return the response: see ``Session.send``."""
    sent_in, doubt = 0, None
    try:
        while True:
            try:
                await _ready(sender, request, sent_in)
            except (exc.FailedRetry, exc.SessionLost, NotSentError):
                if doubt is None or only_reads(request):
                    raise
                raise doubt from None
            sent_in = sender.session_id
            assert sender.conn is not None
            try:
                _, response = await sender.conn.send(request)
                return response
            except exc.NoNode:
                if doubt is None or only_reads(request):
                    raise
                return protocol.DeleteResponse()
            except OutcomeUnknownError as error:
                doubt = _doubt(sender, request, error)
    finally:
        sender.retry_policy.clear(request)


async def _ready(sender: Sender, request: Any, sent_in: int) -> None:
    """Wait until a request can be sent, for the first time or again in the session in which it was sent."""
    sender.raise_if_unusable()
    await sender.retry_policy.enforce(request)
    await sender.ensure_safe_state(writing=not only_reads(request))
    if sent_in not in (0, sender.session_id):
        raise exc.SessionLost(f"session {hexadecimal(sent_in)} is lost")


def _doubt(sender: Sender, request: Any, error: OutcomeUnknownError) -> OutcomeUnknownError:
    """Return what is to be raised if the request cannot be sent again.

    :raises OutcomeUnknownError: when it must not be.
    """
    if (verdict := sender.suspects.verdict(request)) is not None:
        sender.suspects.answered(request)  # whoever sends it again later may try as often
        raise OutcomeUnknownError(error.host, error.port, verdict, is_final=True) from None
    if not may_be_repeated(request) or sender.closing:
        raise error
    return error

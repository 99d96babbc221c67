"""The writes that wait at a server for their commit, found again as ZooKeeper's `CommitProcessor` does it.

A commit names its request by session id and number (cxid) alone (CommitProcessor.java:326). A server compares it with
the write that waits longest there. So the outcome of a write that a session sent through another server, and left
behind, is given to a new request of that session which has the same number.
"""

from __future__ import annotations

from collections import deque

from golea_async.testing._changes import Applied
from golea_async.testing._model import ErrorCode, Multi, OpCode
from golea_async.testing._results import failed_multi_result, multi_result, result_of

from .history import CloseSession, Proposal, Transaction


class WaitingWrites:
    """Of one server, from when it takes its post until it leaves it."""

    def __init__(self) -> None:
        self._waiting: deque[Proposal] = deque()

    def add(self, proposal: Proposal) -> None:
        """Wait for the commit of what a client of this server asked for, or, at the leader, of anything."""
        self._waiting.append(proposal)

    def take(self, committed: Proposal) -> Proposal | None:
        """Return what is taken for the request that was committed; None where it came through another server."""
        if self._waiting and self._waiting[0].key == committed.key:
            return self._waiting.popleft()
        return None


def outcome(opcode: OpCode, transaction: Transaction, applied: list[Applied]) -> tuple[int, bytes]:
    """Code and body of the reply to such a request, for which this transaction is taken (FinalRequestProcessor)."""
    request = transaction.proposal.request
    if transaction.code or opcode is OpCode.CLOSE_SESSION:
        return transaction.code, b""
    if isinstance(request, Multi) != (opcode is OpCode.MULTI) or isinstance(request, CloseSession):
        return ErrorCode.MARSHALLING_ERROR, b""  # the outcome of another request, which this one's reply cannot hold
    if not isinstance(request, Multi):
        return ErrorCode.OK, result_of(opcode, applied[0])
    failure = transaction.failure
    return ErrorCode.OK, multi_result(request, applied) if failure is None else failed_multi_result(request, failure)

"""History as the servers keep it: a log of transactions, in one order, of which each server has applied a beginning.

A transaction is decided on by the ensemble's leader, against the znodes as they will be when all before it is applied
(ZooKeeper's `PrepRequestProcessor`), so that to apply it is the same on every server, and cannot fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from golea_async.testing._changes import Author, Change, Deletion, Moment, MultiError
from golea_async.testing._model import ErrorCode, Multi
from golea_async.testing._tree import Tree

SESSION_EXPIRED = -112
SESSION_MOVED = -118


@dataclass(frozen=True, slots=True)
class OpenSession:
    """What a ConnectRequest for a new session asks the ensemble for; the timeout is in milliseconds."""

    timeout: int


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Asked for by its client, or by the ensemble's leader, for whom its time is over."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to be written, for whom, and whose reply that is (`origin`; None: the leader's own).

    `cxid` is the number that the client gave the request; 0 for sessions that begin or expire.
    """

    session_id: int
    author: Author
    request: Any
    origin: Any
    cxid: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """All that a commit says of the request that it belongs to."""
        return self.session_id, self.cxid


@dataclass(frozen=True, slots=True, eq=False)
class Transaction:
    """`code` and `failure` say why nothing is changed: a write that fails has its place in history too."""

    moment: Moment
    proposal: Proposal
    changes: tuple[Change, ...]
    code: int = ErrorCode.OK
    failure: MultiError | None = None


class History:
    """A log, the znodes at its end, and the sessions that live there."""

    def __init__(self) -> None:
        self.log: list[Transaction] = []
        self.tree = Tree()
        self.sessions: dict[int, int] = {}

    @property
    def last_zxid(self) -> int:
        return self.log[-1].moment.zxid if self.log else 0

    def decide(self, proposal: Proposal, moment: Moment, *, is_moved: bool = False) -> Transaction:
        """What the proposal comes to, here at the end; it is appended.

        :param is_moved: whether it came through a server that the session has left: then it is refused.
        """
        refused = Transaction(moment, proposal, (), SESSION_MOVED)
        transaction = refused if is_moved else self._decide(proposal, moment)
        self.log.append(transaction)
        self._note_session(transaction)
        return transaction

    def append(self, transaction: Transaction) -> None:
        """What the leader has decided."""
        self.log.append(transaction)
        for change in transaction.changes:
            self.tree.apply(change, transaction.moment)
        self._note_session(transaction)

    def take_over(self, other: History) -> None:
        """Become as another server's: what that one does not have is forgotten."""
        shared = min(len(self.log), len(other.log))
        while shared and self.log[shared - 1] is not other.log[shared - 1]:
            shared -= 1
        if shared < len(self.log):
            kept, self.log, self.tree, self.sessions = self.log[:shared], [], Tree(), {}
            for transaction in kept:
                self.append(transaction)
        for transaction in other.log[shared:]:
            self.append(transaction)

    def _decide(self, proposal: Proposal, moment: Moment) -> Transaction:
        request, tree = proposal.request, self.tree
        match request:
            case OpenSession():
                return Transaction(moment, proposal, ())
            case CloseSession():
                deletions = tuple(Deletion(path) for path in tree.ephemerals_of(proposal.session_id))
                for deletion in deletions:
                    tree.apply(deletion, moment)
                return Transaction(moment, proposal, deletions)
            case _ if proposal.session_id not in self.sessions:
                return Transaction(moment, proposal, (), SESSION_EXPIRED)
        try:
            writes = request.writes if isinstance(request, Multi) else (request,)
            applied = tree.write_all(writes, proposal.author, moment)
        except MultiError as failure:
            if isinstance(request, Multi):
                return Transaction(moment, proposal, (), ErrorCode.OK, failure)
            return Transaction(moment, proposal, (), failure.code)
        return Transaction(moment, proposal, tuple(each.change for each in applied))

    def _note_session(self, transaction: Transaction) -> None:
        proposal = transaction.proposal
        if transaction.code == SESSION_MOVED:
            return
        if isinstance(proposal.request, OpenSession):
            self.sessions[proposal.session_id] = proposal.request.timeout
        elif isinstance(proposal.request, CloseSession):
            self.sessions.pop(proposal.session_id, None)

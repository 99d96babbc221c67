"""What must hold at every step of an episode, and what at the end of each of its rounds (design.md, section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golea_async import AsyncElection, Leadership, Role
from golea_async._protocol.znodes import STEP_DOWN
from golea_async.testing._changes import Creation, Deletion, NewData
from golea_async.testing._model import OpCode
from golea_async.testing._tree import Znode

from .history import CloseSession, Transaction
from .member import RESOURCE, STORE, Member
from .process import Process

if TYPE_CHECKING:
    from .episode import Episode

CANDIDATE = f"{RESOURCE}/le_"


class ViolationError(AssertionError):
    """An invariant does not hold."""


class Invariants:
    """Watches over one episode."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._newest_token = 0
        self._newest_write = 0
        self._candidates: dict[str, int] = {}
        self._deposed: set[int] = set()
        self.changes_of_leader = 0

    def look_at(self, process: Process) -> None:
        """After each step of a process: belief begins nowhere else.

        :raises ViolationError: two lead, a token went down, or a candidate is deaf
        """
        member = next(each for each in self._episode.members if each.process is process)
        if deaf := member.deaf_to():
            raise ViolationError(f"{member} counts as watched what it would hear nothing of: {deaf}")
        for election, leadership in self._believing(member):
            token = leadership.fencing_token
            for other in self._episode.members:
                for another, its in self._believing(other):
                    if another is not election:
                        raise ViolationError(
                            f"two lead: {member} with token {token}, {other} with token {its.fencing_token}"
                        )
            if token < self._newest_token:
                raise ViolationError(f"{member} leads with token {token}, after {self._newest_token}")
            self.changes_of_leader += token != self._newest_token
            self._newest_token = token

    def _believing(self, member: Member) -> list[tuple[AsyncElection, Leadership]]:
        """Who believes to lead; but not whose znode was deleted by hand or by force, which is beyond the lease.

        Endings delete none, so they are held to the rule: two must not lead, whoever ends the election, and how.
        """
        believing = member.believing()
        if not self._deposed:
            return believing
        return [each for each in believing if each[1].fencing_token not in self._deposed]

    def look_at_history(self, transaction: Transaction) -> None:
        """With each transaction.

        :raises ViolationError: a session has expired within its lease, a znode went before its work had stopped, or a
            leader of the past has written
        """
        if transaction.proposal.origin is None and isinstance(transaction.proposal.request, CloseSession):
            self._look_at_expiry(transaction.proposal.session_id)
        for change in transaction.changes:
            match change:
                case Creation(path=path):
                    self._candidates[path] = transaction.moment.zxid
                case Deletion(path) if path.startswith(CANDIDATE):
                    self._look_at_deletion(path, self._candidates.pop(path), transaction)
                case NewData(path=path, data=data) if path == STORE:
                    self._look_at_write(int(data or b"0"))

    def _look_at_expiry(self, session_id: int) -> None:
        """Whoever had nobody to take over from it in that time would lead beside another one in another run."""
        for member in self._episode.members:
            if (left := member.lease_ends_at(session_id) - self._episode.world.now) > 0:
                raise ViolationError(f"the session of {member} has expired, and its lease lasts for {left:.3f} s")

    def _look_at_write(self, token: int) -> None:
        """A transaction's check ends where the path was issued again: when the election was deleted and made anew."""
        if token < self._newest_write and token not in self._deposed:
            raise ViolationError(f"token {token} has written after {self._newest_write}")
        self._newest_write = max(token, self._newest_write)

    def _look_at_deletion(self, path: str, token: int, transaction: Transaction) -> None:
        if transaction.proposal.origin is None:
            return  # its session is over
        visitor, pending = transaction.proposal.origin
        administrator = self._episode.administrator
        if visitor.transport.process is administrator.process and administrator.deletes:
            self._deposed.add(token)
        for member in self._episode.members:
            is_its_own = visitor.transport.process is member.process
            if is_its_own and (path, token) in member.working and pending.opcode in (OpCode.DELETE, OpCode.MULTI):
                raise ViolationError(f"{member} has deleted {path}, and its work goes on")

    def look_at_peace(self, since: float) -> None:
        """At the end of each time of peace.

        :raises ViolationError: nobody leads, somebody follows the wrong one, a call hangs, a znode is nobody's, or a
            process was told of an error
        """
        leader = self._episode.ensemble.leader
        assert leader is not None, "the simulated ensemble has no leader: the simulation is at fault"
        for member in self._episode.members:
            self._look_at_member(member, since)
        standing = self._look_at_znodes(leader.history.tree.get(RESOURCE))
        believing = [found for member in self._episode.members for found in member.believing()]
        if len(believing) != 1:
            raise ViolationError(f"{len(believing)} lead at the end of peace, and these stand: {standing}")
        self._look_at_line(standing)
        ((_, leadership),) = believing
        if leadership._path != f"{RESOURCE}/{standing[0]}":
            raise ViolationError(f"{leadership} is not the first of {standing}")

    def leading(self) -> tuple[Member, Leadership, object]:
        """The only one that leads, and its client's connection.

        :raises ViolationError: nobody leads, or more than one
        """
        believing = [(each, its) for each in self._episode.members for _, its in each.believing()]
        if len(believing) != 1:
            raise ViolationError(f"{len(believing)} lead while writes are slow: {believing}")
        ((member, leadership),) = believing
        return member, leadership, member.connection

    def look_at_slowness(self, member: Member, leadership: Leadership, connection: object) -> None:
        """At the end of a time in which writes were slow.

        :raises ViolationError: that has cost the lead, or a connection
        """
        if not any(its is leadership for _, its in member.believing()):
            raise ViolationError(f"{member} has lost its lead while writes were slow")
        if member.connection is not connection:
            raise ViolationError(f"{member} has left its server while writes were slow")

    def _look_at_member(self, member: Member, since: float) -> None:
        assert member.process is not None
        if member.process.faults:
            raise ViolationError(f"in {member}: {member.process.faults[0]}")
        for what, began in member.pending.values():
            if began <= since:
                raise ViolationError(f"{what}() of {member} hangs since {began:.3f}")
        if member.is_retired and (left := member.leftovers()):
            raise ViolationError(f"{member} has resigned, and this is left on its client: {left}")
        stands = any(election.status.role in (Role.LEADER, Role.FOLLOWER) for election in member.elections)
        if not stands and not member.is_retired:
            roles = [election.status for election in member.elections]
            raise ViolationError(f"{member} does not stand at the end of peace: {roles}")

    def _look_at_line(self, standing: list[str]) -> None:
        """Each follows the one just before it: else it would not hear when its turn has come."""
        candidates = [f"{RESOURCE}/{name}" for name in standing if name != STEP_DOWN]
        before = dict(zip(candidates[1:], candidates, strict=False))
        for member in self._episode.members:
            for status in (election.status for election in member.elections):
                right = before.get(status.candidate_id or "")
                if status.role is Role.FOLLOWER and status.now_following != right:
                    raise ViolationError(f"{member} follows {status.now_following}, and {right} is just before it")

    def _look_at_znodes(self, election_node: Znode) -> list[str]:
        """Every znode must be one candidate's, and every candidate must have its znode; returns them, in order."""
        is_asking = self._episode.administrator.asks > 0
        standing = sorted(name for name in election_node.children if name != STEP_DOWN or not is_asking)
        known = [
            election.status.candidate_id
            for member in self._episode.members
            for election in member.elections
            if election.status.role in (Role.LEADER, Role.FOLLOWER)
        ]
        if sorted(known, key=str) != [f"{RESOURCE}/{name}" for name in standing]:
            raise ViolationError(f"these znodes stand: {standing}, and these are known to who stands: {known}")
        return standing

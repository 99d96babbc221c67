"""Ending an election for everybody, and deleting it: probe, make `DONE`, wait for the candidates, remove `DONE`.

An ending must not make two leaders. So it deletes no candidate: each one that hears of `DONE` believes no more, stops
its work and deletes its own znode; one that is cut off goes with its session; nobody new is nominated. The ending waits
for that, and then removes `DONE`, and the election node if that is wanted, in one transaction. Only ``force_after``
deletes candidates. What a candidate does that hears of `DONE` is decided in :mod:`.standing`.

The steps may be interrupted anywhere and begun anew on the next connection: each of them may have been taken by
somebody else, or by this ending on a connection that was lost.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence

from aiozk import exc

from golea_async._zookeeper.log import Log
from golea_async._zookeeper.replies import Reply, first_failure, is_missing, is_refused
from golea_async._zookeeper.requests import Request, Requests
from golea_async.exceptions import ElectionError, election_not_found

from .refusals import accept
from .steps import ask, pause, work_stopped
from .znodes import DONE, DONE_DATA, STEP_DOWN, in_order, strangers

_logger = Log(logging.getLogger("golea_async.admin"))

WARNING_INTERVAL = 10.0
"""Seconds between two warnings that name who is left."""

# A transaction is one packet, and packets are limited to jute.maxbuffer (1048575 bytes by default).
MOST_DELETES = 500
MOST_BYTES = 500_000
_BYTES_BESIDE_THE_PATH = 17  # of a deletion in a transaction: opcode, "done", error; the path's length; version

# Versions count from 0 on, and -1 means any: with this one a check always fails, and its transaction with it.
NO_VERSION = -(2**31)

_UNREADABLE_INTERVAL = 1.0

_NAMED = 5  # of those that an error or a warning is about


class Teardown:
    """One ending of an election, on one connection after the other.

    :ivar resource: the election node.
    :ivar has_begun: whether candidates may have been told.
    :ivar now: seconds on some clock; to be kept up to date by whoever steps this, as is ``session_id``.
    """

    def __init__(
        self,
        resource: str,
        *,
        deletes_election: bool,
        force_after: float | None = None,
        own: Iterable[str] = (),
    ) -> None:
        """Nothing is sent yet.

        :param force_after: seconds after `DONE` was made from which on candidates that are left are deleted.
        :param own: names of the candidates from whose work this ending was called: they leave last.
        """
        self.resource = resource
        self.has_begun = False
        self.now = 0.0
        self.session_id = 0  # nothing depends on it
        self._deletes_election = deletes_election
        self._done = f"{resource}/{DONE}"
        self._own = frozenset(own)
        self._own_may_leave = not self._own
        self._czxid: int | None = None  # of the election node that is meant
        self._done_was_there = False  # so when it is missing, another ending has finished
        self._force_after = math.inf if force_after is None else force_after
        self._request_is_there = False  # an operator's, to candidates
        self._force_at = self._warn_at = math.inf  # known when `DONE` is there

    async def run(self, zk: Requests) -> None:
        """Carry the ending through, from its first step on; after a lost connection again, on the next one.

        :raises ElectionError: when it is refused. If it had begun it has taken `DONE` away again.
        """
        try:
            while await self._begin(zk):
                if await self._see_off(zk) and await self._close(zk):
                    return
        except ElectionError as error:
            if self.has_begun:
                await self._take_done_away(zk, error)
            raise

    def given_up(self) -> ElectionError:
        """Say that it ends early: its client is to be closed."""
        return ElectionError(
            f"the ending of {self.resource} was given up, since its client was closed before all candidates had left: "
            "those that are left stand on; end it again",
            resource=self.resource,
        )

    # ------------------------------------------------------------------ DONE

    async def _begin(self, zk: Requests) -> bool:
        """Make `DONE`, when all that follows is allowed; return False when there is nothing to end any more."""
        while True:
            # The barrier, since a request on a lost connection may be under way; without permission or node it is none.
            _, node, done, listed, below_done = await ask(
                zk.check(self.resource),
                zk.exists(self.resource),
                zk.exists(self._done),
                zk.children(self.resource),
                zk.children(self._done),
            )
            if self._is_finished(node, done):
                return False
            if is_missing(accept(listed, exc.NoNode, path=self.resource, resource=self.resource)):
                continue  # deleted between the two reads
            self._refuse(self._foreign(listed, below_done))
            if not await self._may(zk, in_order(listed.children), done_is_there=not is_missing(done)):
                continue  # changed since
            self._czxid = node.stat.created_zxid
            self.has_begun = True
            (made,) = await ask(zk.create(self._done, DONE_DATA))
            accept(made, exc.NodeExists, exc.NoNode, path=self._done, resource=self.resource)
            if not is_missing(made):
                self._note_done()
                return True

    def _is_finished(self, node: Reply, done: Reply) -> bool:
        if is_missing(accept(node, exc.NoNode, path=self.resource, resource=self.resource)):
            if not self._deletes_election and not self.has_begun:
                raise election_not_found(self.resource)
            return True
        if self._czxid is not None and node.stat.created_zxid != self._czxid:
            return True  # deleted, and made anew: that one is not meant
        # Ended, by this run or by another: who has joined since is not meant.
        return not self._deletes_election and self._done_was_there and is_missing(done)

    def _foreign(self, listed: Reply, below_done: Reply) -> list[str]:
        """Return the children that keep this from being carried through; ending alone leaves foreign ones in peace."""
        foreign = strangers(listed.children) if self._deletes_election else []
        return foreign + ([] if is_refused(below_done) else [f"{DONE}/{child}" for child in below_done.children])

    async def _may(self, zk: Requests, candidates: list[str], *, done_is_there: bool) -> bool:
        """Probe the permissions and look at the candidates; return False when the election has changed meanwhile.

        :raises ElectionError: when something stands in the way.
        """
        operations = self._probe(zk, done_is_there=done_is_there)
        probed, *nodes = await ask(
            zk.multi(*operations), *(zk.exists(f"{self.resource}/{name}") for name in candidates)
        )
        self._refuse_lasting(candidates, nodes)
        return self._is_allowed(probed, operations)

    def _probe(self, zk: Requests, *, done_is_there: bool) -> list[Request]:
        """Return a transaction of all that an ending does, whose last operation always fails.

        A refusal at the last operation alone proves the permissions. Nothing is applied, and no watch fires: GoLea
        takes any event on `DONE` for the end.
        """
        make_done = [] if done_is_there else [zk.create(self._done, DONE_DATA)]
        delete_node = [zk.delete(self.resource)] if self._deletes_election else []
        return [*make_done, zk.delete(self._done), *delete_node, zk.check_operation(self.resource, NO_VERSION)]

    def _is_allowed(self, probed: Reply, operations: Sequence[Request]) -> bool:
        """Read the probe's reply: ZooKeeper looks at permissions before it looks at children and versions."""
        failure = first_failure(probed)
        position = 0 if failure is probed or failure is None else probed.responses.index(failure)
        is_last = position == len(operations) - 1
        deletes_node = self._deletes_election and position == len(operations) - 2
        match failure:
            case exc.BadVersion() | exc.NoNode() if is_last:
                return True
            case exc.NotEmpty() if deletes_node:
                return True  # its candidates
            case exc.NotEmpty():
                self._refuse([f"{DONE}/..."])
        path = self.resource if is_last or deletes_node else self._done
        accept(probed, exc.NoNode, exc.NodeExists, path=path, resource=self.resource)
        return False

    def _note_done(self) -> None:
        self._done_was_there = True
        if self._warn_at == math.inf:
            self._force_at, self._warn_at = self.now + self._force_after, self.now + WARNING_INTERVAL

    # ------------------------------------------------------------------ the candidates

    async def _see_off(self, zk: Requests) -> bool:
        """Wait until no candidate is left; return False when somebody else has finished meanwhile."""
        while True:
            (listed,) = await ask(zk.children(self.resource))
            if is_missing(accept(listed, exc.NoNode, path=self.resource, resource=self.resource)):
                return False
            if DONE not in listed.children or listed.stat.created_zxid != self._czxid:
                return False
            self._refuse(strangers(listed.children) if self._deletes_election else [])
            self._request_is_there = STEP_DOWN in listed.children
            candidates = in_order(listed.children)
            if not candidates:
                return True
            left = candidates if self._own_may_leave else [name for name in candidates if name not in self._own]
            if not left:
                self._own_may_leave = True
                await work_stopped()  # tells the driver that the work which has called this may stop now
            elif self.now >= self._force_at:
                await self._delete(zk, left)
            else:
                await self._wait_for(zk, left)

    async def _wait_for(self, zk: Requests, left: list[str]) -> None:
        """Wait until the first of those that are left has gone, or `DONE` has, or it is time for something else."""
        if self.now >= self._warn_at:
            self._warn_at = self.now + WARNING_INTERVAL
            _logger.warning("%s", await self._who_is_left(zk, left))
        first = f"{self.resource}/{left[0]}"
        # Not `exists`: behind the event of one's own earlier watch it leaves another one on what is gone, for good.
        node, done = await ask(zk.get(first, watch=True), zk.get(self._done, watch=True))
        accept(done, exc.NoNode, exc.NoAuth, path=self._done, resource=self.resource)
        if isinstance(node, exc.NoAuth):
            await pause(_UNREADABLE_INTERVAL)  # it stands, as a list tells, and who may not read it hears no event
            return
        self._refuse_lasting(left[:1], [node])
        if not is_missing(node) and not is_missing(done):
            await pause(max(0.0, min(self._warn_at, self._force_at) - self.now))  # or until one of them is gone

    async def _who_is_left(self, zk: Requests, left: list[str]) -> str:
        paths = [f"{self.resource}/{name}" for name in left[:_NAMED]]
        nodes = await ask(*map(zk.get, paths))
        named = [
            path if is_refused(node) else f"{(node.data or b'').decode(errors='replace')!r} ({path})"
            for path, node in zip(paths, nodes, strict=True)
        ]
        return (
            f"the election {self.resource} is being ended, and these candidates have not left yet: "
            f"{_enumerate(named, len(left))}; each leaves when its work has stopped, at the latest with its session "
            "(force_after= deletes who is left, and tells for how long two may lead then)"
        )

    async def _delete(self, zk: Requests, left: list[str]) -> None:
        """Delete who is left, as the caller has asked for. A candidate that is gone is fine: it left by itself."""
        nodes = await ask(*(zk.exists(f"{self.resource}/{name}") for name in left))
        self._refuse_lasting(left, nodes)
        # The highest number first: the other way round, each deletion would wake the next follower.
        deletions = [zk.delete(f"{self.resource}/{name}") for name in reversed(left)]
        # If `DONE` is gone somebody else has finished, and may have made the election anew.
        batches = [zk.multi(zk.check_operation(self._done), *batch) for batch in in_batches(deletions)]
        for reply in await ask(*batches):
            accept(reply, exc.NoNode, path=f"{self.resource}/{left[0]}", resource=self.resource)

    def _refuse_lasting(self, names: Sequence[str], nodes: Sequence[Reply]) -> None:
        """Refuse znodes with a candidate's name that are not ephemeral: nobody's session takes them away.

        :raises NotAuthorizedError: when one may not be read, on a server that tells its stat to nobody else then.
        """
        lasting = []
        for name, node in zip(names, nodes, strict=True):
            path = f"{self.resource}/{name}"
            accept(node, exc.NoNode, path=path, resource=self.resource, candidate_id=path)
            if not is_missing(node) and node.stat.ephemeral_owner == 0:
                lasting.append(name)
        if lasting:
            names_of_them = _enumerate(lasting, len(lasting))
            raise ElectionError(
                f"{self.resource} has persistent children with a candidate's name ({names_of_them}), which no session "
                f"takes away, {self._what_is_left}: remove them first, if they may be removed "
                f"(`delete {self.resource}/{lasting[0]}` in zkCli.sh)",
                resource=self.resource,
                candidate_id=f"{self.resource}/{lasting[0]}",
            )

    def _refuse(self, foreign: list[str]) -> None:
        """Delete only what is an election's: a wrong path must not cost anybody anything."""
        if foreign:
            raise ElectionError(
                f"{self.resource} has children that are not an election's ({_enumerate(foreign, len(foreign))}) "
                f"{self._what_is_left}: remove them first, if they may be removed",
                resource=self.resource,
            )

    @property
    def _what_is_left(self) -> str:
        if self.has_begun:
            return f"and is not ended, though candidates may have left; {DONE} is taken away again"
        return "and is left as it is"

    # ------------------------------------------------------------------ the end

    async def _close(self, zk: Requests) -> bool:
        """Remove `DONE`, with the election node if that is wanted; return False when there is more to do."""
        request = [zk.delete(f"{self.resource}/{STEP_DOWN}")] if self._request_is_there else []
        deletes_node = [*request, zk.delete(self.resource)] if self._deletes_election else []
        deletions = [zk.delete(self._done), *deletes_node]
        (removed,) = await ask(zk.multi(*deletions))
        failure = first_failure(removed)
        if failure is None:
            return True
        is_about_done = failure is removed or removed.responses[0] is failure
        if is_about_done and isinstance(failure, exc.NotEmpty):
            self._refuse([f"{DONE}/..."])
        path = self._done if is_about_done else self.resource
        accept(removed, exc.NoNode, exc.NotEmpty, path=path, resource=self.resource)
        # Not empty: somebody came late. Missing: somebody else has finished, or only ended what is to be deleted.
        return False

    async def _take_done_away(self, zk: Requests, error: ElectionError) -> None:
        """Let the election go on: with `DONE` in it nobody could stand there any more."""
        (removed,) = await ask(zk.delete(self._done))
        if is_refused(removed) and not is_missing(removed):
            error.add_note(
                f"{self._done} could not be taken away ({removed}): nobody can stand in {self.resource} until it is"
            )


def in_batches(deletions: Sequence[Request]) -> list[list[Request]]:
    """Divide deletions into transactions of which each fits into a packet, whatever the client's chroot."""
    batches: list[list[Request]] = []
    size = MOST_BYTES
    for deletion in deletions:
        bytes_of_it = len(deletion.path.encode()) + _BYTES_BESIDE_THE_PATH
        size += bytes_of_it
        if size > MOST_BYTES or len(batches[-1]) == MOST_DELETES:
            batches.append([])
            size = bytes_of_it
        batches[-1].append(deletion)
    return batches


def _enumerate(named: Sequence[str], count: int) -> str:
    more = count - min(len(named), _NAMED)
    return ", ".join(named[:_NAMED]) + (f" and {more} more" if more else "")

"""Ending an election for everybody, and deleting it: `DONE`, the candidates, `DONE` again.

The order is GoLea's, so that candidates of both libraries are told and leave.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import aiozk
from aiozk import exc

from ._protocol.standing import DONE, DONE_DATA, in_order, strangers
from ._shared.batch import ConnectionLostError
from ._shared.channel import Channel
from ._shared.client_context import ClientContext
from ._shared.shielded import completion
from ._zookeeper.replies import Reply, accept, first_failure, is_missing, is_refused
from .exceptions import ElectionError, election_not_found

_logger = logging.getLogger("golea_async.admin")

# A transaction is one packet, and packets are limited to jute.maxbuffer (1048575 bytes by default).
_MOST_DELETES = 500
_MOST_BYTES = 500_000
_BYTES_PER_DELETE = 50


class Ending:
    """One run of ending an election: `DONE`, then the candidates, then `DONE` (and the election node) again.

    Every step may have been taken by somebody else, or by this one on a connection that was lost.
    """

    def __init__(self, resource: str, *, deletes_election: bool) -> None:
        self.resource = resource
        self.has_begun = False  # a request that makes DONE was sent: candidates may know
        self._deletes_election = deletes_election
        self._done = f"{resource}/{DONE}"
        self._czxid: int | None = None  # of the election node that is meant
        self._done_was_there = False  # for certain: when it is not any more, somebody has finished

    async def run(self, connection: Channel) -> None:
        """Carry it through on one connection; after a lost one, again from here on the next."""
        while await self._begin(connection):
            while await self._delete_candidates(connection):
                if await self._close(connection):
                    return

    async def _begin(self, connection: Channel) -> bool:
        """Make `DONE`; return whether there is still something to end."""
        # The barrier, since a request on a lost connection may be under way; without permission or node it is none.
        _, node, done, listed = await connection.send(
            connection.check(self.resource),
            connection.exists(self.resource),
            connection.exists(self._done),
            connection.children(self.resource),
        )
        if self._is_finished(node, done):
            return False
        accept(listed, exc.NoNode, path=self.resource, resource=self.resource)
        if not is_missing(listed):
            self._refuse(self._strangers(listed) + await self._lasting_candidates(connection, listed))
        self._czxid = node.stat.created_zxid
        self.has_begun = True
        (made,) = await connection.send(connection.create(self._done, DONE_DATA))
        accept(made, exc.NodeExists, exc.NoNode, path=self._done, resource=self.resource)
        if is_missing(made):
            return await self._begin(connection)
        self._done_was_there = True
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

    def _strangers(self, listed: Reply) -> list[str]:
        """Return the children that keep the election node from being deleted; ending alone leaves them in peace."""
        return strangers(listed.children) if self._deletes_election else []

    async def _lasting_candidates(self, connection: Channel, listed: Reply) -> list[str]:
        """Return the children with a candidate's name that are not ephemeral: somebody's data, no candidates.

        :raises NotAuthorizedError: when one may not be read, on a server that tells its stat to nobody else then.
        """
        names = in_order(listed.children)
        paths = [f"{self.resource}/{name}" for name in names]
        nodes = await connection.send(*map(connection.exists, paths))
        for path, node in zip(paths, nodes, strict=True):
            accept(node, exc.NoNode, path=path, resource=self.resource, candidate_id=path)
        return [
            name
            for name, node in zip(names, nodes, strict=True)
            if not is_missing(node) and node.stat.ephemeral_owner == 0
        ]

    def _refuse(self, found: list[str]) -> None:
        """Delete only what is an election's: a wrong path must not cost anybody anything."""
        if found:
            names = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
            raise ElectionError(
                f"{self.resource} has children that are not an election's ({names}) and is left as it is: "
                "remove them first, if they may be removed",
                resource=self.resource,
            )

    async def _delete_candidates(self, connection: Channel) -> bool:
        """Delete candidates until none is left; return False when somebody else has finished meanwhile."""
        while True:
            (listed,) = await connection.send(connection.children(self.resource))
            if is_missing(accept(listed, exc.NoNode, path=self.resource, resource=self.resource)):
                return False
            candidates = in_order(listed.children)
            if not candidates:
                self._refuse(self._strangers(listed))
                return True
            # The highest number first: the other way round, each deletion would wake the next follower.
            paths = [f"{self.resource}/{name}" for name in reversed(candidates)]
            batches = [paths[i : i + self._batch] for i in range(0, len(paths), self._batch)]
            replies = await connection.send(*(self._deletion(connection, batch) for batch in batches))
            for batch, reply in zip(batches, replies, strict=True):
                if self._is_finished_by_another(batch, reply):
                    return False

    @property
    def _batch(self) -> int:
        return max(
            1,
            min(
                _MOST_DELETES,
                _MOST_BYTES // (len(self.resource.encode()) + _BYTES_PER_DELETE),
            ),
        )

    def _deletion(self, connection: Channel, paths: list[str]) -> Reply:
        return connection.multi(connection.check_operation(self._done), *map(connection.delete, paths))

    def _is_finished_by_another(self, paths: list[str], reply: Reply) -> bool:
        """Whether a batch failed because `DONE` is gone. A candidate that is gone is fine: it left by itself."""
        failure = first_failure(reply)
        if failure is None:
            return False
        if isinstance(failure, exc.NotEmpty):
            raise ElectionError(
                f"a candidate of {self.resource} has children, so it is not an election's: remove them first",
                resource=self.resource,
            )
        accept(reply, exc.NoNode, path=paths[0], resource=self.resource)
        return not is_refused(reply) and is_missing(reply.responses[0])

    async def _close(self, connection: Channel) -> bool:
        """Remove `DONE`, with the election node if that is wanted; return False when there is more to do."""
        if not self._deletes_election:
            (removed,) = await connection.send(connection.delete(self._done))
            accept(removed, exc.NoNode, path=self._done, resource=self.resource)
            return True
        (removed,) = await connection.send(
            connection.multi(connection.delete(self._done), connection.delete(self.resource))
        )
        accept(
            removed,
            exc.NoNode,
            exc.NotEmpty,
            path=self.resource,
            resource=self.resource,
        )
        if first_failure(removed) is None:
            return True
        if is_missing(removed):
            return not await self._begin(connection)
        return False  # a candidate came late


async def carry_through(zk: aiozk.ZKClient, ending: Ending) -> None:
    """Run an ending in a task of its own: half an ending would leave an election that is over for ever."""
    context = ClientContext.attach(zk)
    outcome: asyncio.Future[None] = context.loop.create_future()

    def leave(_task: asyncio.Task[None]) -> None:
        context.detach()
        outcome.cancel()  # the task was cancelled, unless it has an outcome

    task = context.spawn(_run(context, ending, outcome), f"golea_async end {ending.resource}", leave)
    try:
        await asyncio.shield(outcome)
    except asyncio.CancelledError:
        if not ending.has_begun:
            task.cancel()
            await completion(task, None)
        outcome.add_done_callback(_log_failure)
        raise
    finally:
        if outcome.done():
            await context.closed()


async def _run(context: ClientContext, ending: Ending, outcome: asyncio.Future[None]) -> None:
    try:
        while not outcome.done():
            channel = await context.connected()
            with suppress(ConnectionLostError):
                await ending.run(channel)
                outcome.set_result(None)
    except Exception as error:  # noqa: BLE001  # raised where the outcome is awaited
        outcome.set_exception(error)


def _log_failure(outcome: asyncio.Future[None]) -> None:
    """Say what nobody waits for any more."""
    if not outcome.cancelled() and (error := outcome.exception()) is not None:
        _logger.warning("ending an election in the background failed: %s", error)

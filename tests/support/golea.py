"""A candidate that does on the wire what a Go process with GoLea does, step by step after its `Election.go`.

It keeps GoLea's ways where they are odd: errors are final, `DONE` is looked for anywhere in a child's name, every child
is taken for a candidate, `EndElection` makes no `DONE`, deletions ask for version 0, a leader whose znode's data is
changed stops watching it. One thing is simpler: the application is taken to read each status at once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from .wire import ErrorCode, EventType, Operation, WatchEvent, WireClient, WireError, delete_operation

ELECTION_OVER = "DONE"
CANDIDATE_PREFIX = "le_"
ATTEMPTS = 10
PAUSE = 0.01
LEADER, FOLLOWER = "leader", "follower"


Step = Coroutine[Any, Any, None]
Watched = asyncio.Future[WatchEvent]
"""A watch of go-zookeeper's: one event, and every later look finds that it has fired."""


class GoLeaError(Exception):
    """What GoLea returns as an error, or puts into a status."""


@dataclass(frozen=True, slots=True)
class GoLeaStatus:
    candidate_id: str = ""
    role: str = FOLLOWER
    now_following: str = ""
    was_following: str = ""
    error: Exception | None = None


class GoLeaCandidate:
    """GoLea's `Election`: `await new_election(...)`, `await elect_leader()`, statuses, `resign()`, `end_election()`.

    `statuses` ends with None, which is GoLea's closed channel.
    """

    def __init__(self, zk: WireClient, resource: str, name: str, done: Watched) -> None:
        self.zk = zk
        self.resource = resource
        self.name = name
        self.candidate_id = ""
        self.statuses: asyncio.Queue[GoLeaStatus | None] = asyncio.Queue()
        self._status = GoLeaStatus()
        self._done = done
        self._own: Watched = _new_watch()
        self._triggers: asyncio.Queue[GoLeaError | None] = asyncio.Queue()
        self._resigning: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers: set[asyncio.Task[None]] = set()
        self._election: asyncio.Task[None] | None = None

    @classmethod
    async def new_election(cls, zk: WireClient, resource: str, name: str = "") -> Self:
        if await zk.exists(resource) is None:
            raise GoLeaError(f"Provided electionResource: <{resource!r}>: does not exist")
        done = _new_watch()
        await zk.exists(f"{resource}/{ELECTION_OVER}", done.set_result)
        return cls(zk, resource, name or "name-not-provided", done)

    async def elect_leader(self) -> None:
        """`go ElectLeader()`, and wait until the offer was made, or refused: who comes next stands behind this one."""
        await self._catch_error(self._make_offer())
        self._election = asyncio.create_task(self._elect_leader())

    async def resign(self) -> None:
        """`Resign()`, and wait until the statuses are closed."""
        self._resigning.set_result(None)
        await self._closed()

    async def end_election(self) -> None:
        """`EndElection()`, and wait until the statuses are closed."""
        self._ending.set_result(None)
        await self._closed()

    async def _closed(self) -> None:
        assert self._election is not None, "elect_leader() comes first"
        await self._election

    async def _elect_leader(self) -> None:
        try:
            if self._status.error is None:
                await self._catch_error(self._determine_leader())
            self.statuses.put_nowait(self._status)
            while await self._next_step():
                pass
        finally:
            for watcher in self._watchers:
                watcher.cancel()
            self.statuses.put_nowait(None)

    async def _next_step(self) -> bool:
        """GoLea's loop: a trigger, a resignation or the end, whatever comes first. False: it is over."""
        trigger = asyncio.create_task(self._triggers.get())
        triggers: list[asyncio.Future[Any]] = [trigger, self._resigning, self._ending]
        await asyncio.wait(triggers, return_when=asyncio.FIRST_COMPLETED)
        if self._ending.done() or self._resigning.done():
            trigger.cancel()
            await (self._delete_all_candidates() if self._ending.done() else self._delete_own_znode())
            return False
        error = trigger.result()
        if isinstance(error, GoLeaError):
            self._status = replace(self._status, error=error)
        else:
            await self._catch_error(self._determine_leader())
        self.statuses.put_nowait(self._status)
        if isinstance(error, GoLeaError):
            await self._delete_own_znode()
            return False
        return True

    async def _catch_error(self, step: Step) -> None:
        try:
            await step
        except (GoLeaError, WireError, ConnectionError) as error:
            self._status = replace(self._status, error=error)

    async def _make_offer(self) -> None:
        await self._candidates()
        path = f"{self.resource}/{CANDIDATE_PREFIX}"
        own = await self.zk.create(path, self.name.encode(), ephemeral=True, sequential=True)
        if await self.zk.exists(own, self._own.set_result) is None:
            raise GoLeaError(f"Newly created node ({own}) doesn't exist - the election is over")
        self.candidate_id = own
        self._status = replace(self._status, candidate_id=own)

    async def _candidates(self) -> list[str]:
        children = await self.zk.get_children(self.resource)
        if any(ELECTION_OVER in child for child in children):
            raise GoLeaError("Election is over, no new candidates allowed")
        return sorted(children)

    async def _determine_leader(self) -> None:
        candidates = await self._candidates()
        if not candidates:
            raise GoLeaError(f"No Leader candidates exist in ZK. Candidate is ({self.candidate_id})")
        own = self.candidate_id.rpartition("/")[2]
        if own == candidates[0]:
            was_following = self._status.now_following
            self._status = replace(self._status, role=LEADER, was_following=was_following, now_following="")
            self._watch(self._watch_as_leader())
        elif self._status.role != LEADER:
            await self._follow_another_candidate(own, candidates)

    async def _follow_another_candidate(self, own: str, candidates: list[str]) -> None:
        position = bisect_left(candidates, own)
        if position == len(candidates) or candidates[position] != own:
            raise GoLeaError(f"Error finding candidate in child list. Candidate attempting match is ({own})")
        followed = f"{self.resource}/{candidates[position - 1]}"
        followed_watch = _new_watch()
        if await self.zk.exists(followed, followed_watch.set_result) is None:
            self._triggers.put_nowait(None)
        was_following = self._status.now_following
        self._status = replace(self._status, role=FOLLOWER, was_following=was_following, now_following=followed)
        self._watch(self._watch_as_follower(followed_watch))

    def _watch(self, watching: Step) -> None:
        watcher = asyncio.create_task(watching)
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _watch_as_leader(self) -> None:
        await asyncio.wait({self._done, self._own}, return_when=asyncio.FIRST_COMPLETED)
        if self._done.done():
            self._triggers.put_nowait(GoLeaError("Election 'DONE' node created or deleted, the election is over"))
        elif _is_deletion(self._own):
            self._triggers.put_nowait(GoLeaError(f"Leader ({self.candidate_id}) has been deleted"))

    async def _watch_as_follower(self, followed: Watched) -> None:
        watched = {self._done, followed, self._own}
        while True:
            fired, watched = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if self._done in fired:
                self._triggers.put_nowait(GoLeaError("Election 'DONE' node created or deleted, the election is over"))
                return
            # A deletion of all candidates goes from the highest down: of the two, one's own event comes first.
            if self._own in fired and _is_deletion(self._own):
                self._triggers.put_nowait(GoLeaError(f"Candidate ({self.candidate_id}) (i.e., me) has been deleted"))
                return
            if followed in fired and _is_deletion(followed):
                self._triggers.put_nowait(None)
                return

    async def _delete_own_znode(self) -> None:
        with suppress(WireError, ConnectionError):
            await self.zk.delete(self.candidate_id)

    async def _delete_all_candidates(self) -> None:
        with suppress(GoLeaError, WireError, ConnectionError):
            await delete_candidates(self.zk, self.resource, f"{self.resource}/{ELECTION_OVER}")


def _new_watch() -> Watched:
    return asyncio.get_running_loop().create_future()


def _is_deletion(watch: Watched) -> bool:
    return watch.result().type is EventType.DELETED


async def delete_election(zk: WireClient, resource: str) -> None:
    """GoLea's `DeleteElection`."""
    done = await _add_done_node(zk, resource)
    await delete_candidates(zk, resource, done)
    try:
        await _delete_done_node_and_election(zk, resource, done)
    except WireError as error:
        if error.code is not ErrorCode.NO_NODE and await zk.exists(resource) is not None:
            raise GoLeaError(f"Unexpected error received from DeleteElection: {error}") from error


async def delete_candidates(zk: WireClient, resource: str, done: str) -> None:
    """GoLea's `DeleteCandidates`: one pass, all candidates in one transaction, the highest first."""
    children = await _children_or_none(zk, resource)
    if not children:
        return
    paths = [f"{resource}/{child}" for child in sorted(children, reverse=True)]
    # The Go struct leaves the version at its zero value.
    deletions = [delete_operation(path, version=0) for path in paths if done not in path]
    for _ in range(ATTEMPTS):
        if await _succeeds(zk, deletions):
            return
        children = await _children_or_none(zk, resource)
        if children is None:
            continue
        if len(children) == 1:
            return
        await asyncio.sleep(PAUSE)


async def _add_done_node(zk: WireClient, resource: str) -> str:
    path = f"{resource}/{ELECTION_OVER}"
    try:
        return await zk.create(path, b"done")
    except WireError as error:
        if error.code is ErrorCode.NODE_EXISTS:
            return path
        if error.code is ErrorCode.NO_NODE:
            return ""
        raise GoLeaError(f"Error adding 'DONE' node: {error}") from error


async def _delete_done_node_and_election(zk: WireClient, resource: str, done: str) -> None:
    error: WireError | None = None
    for _ in range(ATTEMPTS):
        try:
            await zk.multi([delete_operation(done), delete_operation(resource)])
            return
        except WireError as failure:
            error = failure
        if await zk.exists(resource) is None:
            break
        await asyncio.sleep(PAUSE)
    if error is not None:
        raise error


async def _children_or_none(zk: WireClient, resource: str) -> list[str] | None:
    try:
        return await zk.get_children(resource)
    except WireError as error:
        if error.code is ErrorCode.NO_NODE:
            return None
        raise


async def _succeeds(zk: WireClient, operations: list[Operation]) -> bool:
    try:
        await zk.multi(operations)
    except WireError:
        return False
    return True

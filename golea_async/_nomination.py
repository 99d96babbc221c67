"""Nominating a candidate, and finding the znode of a nomination whose reply was lost.

A create whose reply was lost may have worked, and it may still be on its way between ZooKeeper's servers and appear
*after* somebody has looked for it. A znode that nobody knows of would block the election for everybody, so:

- the name of such a nomination stays in doubt as long as the session lives;
- a search begins with a barrier (a quorum write on the new connection), then lists, and takes as its own only what
  belongs to this session, carries this name, and is claimed by no other election of this client;
- it is searched again whenever the children are listed anyway, and before a resignation is done.

Many may nominate at once, or one may search: a search must not take the znode of a nomination that is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiozk import exc

from ._link import Link
from ._replies import Reply, accept, is_missing, is_refused
from ._zk import Connection, ConnectionLostError
from .exceptions import ElectionError, ElectionNotFoundError
from .standing import CANDIDATE_PREFIX, in_order


@dataclass(frozen=True, slots=True)
class Nomination:
    """A candidate's znode: what makes it this one and no other.

    Numbers start again when an election node is deleted and made anew: the path alone is not enough.
    """

    path: str
    czxid: int
    session_id: int

    @property
    def name(self) -> str:
        """The znode's name without its parents."""
        return self.path.rpartition("/")[2]

    def is_shown_by(self, reply: Reply) -> bool:
        """Whether the reply to a ``get`` shows this very znode."""
        return (
            not is_refused(reply)
            and reply.stat.created_zxid == self.czxid
            and reply.stat.ephemeral_owner == self.session_id
        )


class Nominations:
    """All nominations of one session for one election node."""

    def __init__(self, resource: str, session_id: int) -> None:
        self._resource = resource
        self.session_id = session_id
        self._claimed: dict[str, int] = {}
        self._doubtful: set[bytes] = set()
        self._others: dict[str, int] = {}
        self._lock = _NominationLock()

    @classmethod
    def of(cls, link: Link, resource: str, session_id: int) -> Nominations:
        """Return the nominations that all elections of one client share."""
        nominations = link.nominations.get((session_id, resource))
        if nominations is None:
            nominations = link.nominations[session_id, resource] = cls(resource, session_id)
        return nominations

    def is_doubtful(self, name: bytes) -> bool:
        """Whether there may be a znode of this name and session that nobody knows of."""
        return name in self._doubtful

    def give_up(self, nomination: Nomination) -> None:
        """Claim this znode no longer."""
        if self._claimed.get(nomination.name) == nomination.czxid:
            del self._claimed[nomination.name]

    async def nominate(self, connection: Connection, name: bytes) -> tuple[Nomination, bool]:
        """Create a candidate, or adopt the one of a nomination whose reply was lost.

        Return it, and whether it was the election node's only child. Cancelled: the name is in doubt.

        :raises ElectionNotFoundError: when the election node does not exist.
        :raises NotAuthorizedError: when the client may not create children there.
        """
        if self.is_doubtful(name):
            adopted = await self._adopt(connection, name)
            if adopted is not None:
                return adopted, False
        async with self._lock.nominating():
            requests = [
                connection.create(f"{self._resource}/{CANDIDATE_PREFIX}", name, ephemeral=True, sequential=True)
            ]
            if not self._claimed and self._lock.is_held_by_one:
                requests.append(connection.exists(self._resource))
            try:
                created, *parent = await connection.send(*requests)
            except (ConnectionLostError, asyncio.CancelledError):
                self._doubtful.add(name)
                raise
            nomination = self._claim(self._created(created))
        is_alone = bool(parent) and not is_refused(parent[0]) and parent[0].stat.num_children == 1
        return nomination, is_alone

    async def sweep(self, connection: Connection, name: bytes) -> None:
        """Delete the znodes that a lost reply may have left; nothing to do when the name is not in doubt."""
        if not self.is_doubtful(name):
            return
        async with self._lock.searching():
            await self._delete(connection, await self._search(connection, name))

    async def _adopt(self, connection: Connection, name: bytes) -> Nomination | None:
        async with self._lock.searching():
            found = await self._search(connection, name)
            if not found:
                return None
            adopted = self._claim(found[0])
            await self._delete(connection, found[1:])
            return adopted

    async def _search(self, connection: Connection, name: bytes) -> list[Nomination]:
        """Return this session's unclaimed candidates of this name, the oldest first."""
        _, listed = await connection.send(connection.check(self._resource), connection.children(self._resource))
        accept(listed, exc.NoNode, path=self._resource, resource=self._resource)
        if is_missing(listed):
            return []
        paths = [
            f"{self._resource}/{child}"
            for child in in_order(listed.children)
            if not self._is_known(child, listed.stat.created_zxid)
        ]
        found = []
        replies = await connection.send(*map(connection.get, paths)) if paths else []
        for path, reply in zip(paths, replies, strict=True):
            if is_refused(reply):
                continue  # gone since, or not ours to read: ours would be
            if reply.stat.ephemeral_owner != self.session_id:
                self._others[path.rpartition("/")[2]] = reply.stat.created_zxid
            elif reply.data == name:
                found.append(Nomination(path, reply.stat.created_zxid, self.session_id))
        return found

    async def _delete(self, connection: Connection, nominations: list[Nomination]) -> None:
        if not nominations:
            return
        replies = await connection.send(*(connection.delete(nomination.path) for nomination in nominations))
        for nomination, reply in zip(nominations, replies, strict=True):
            accept(
                reply,
                exc.NoNode,
                path=nomination.path,
                resource=self._resource,
                candidate_id=nomination.path,
            )

    def _created(self, reply: Reply) -> Nomination:
        about = {"path": self._resource, "resource": self._resource}
        accept(reply, exc.NoNode, exc.NoChildrenForEphemerals, **about)
        if is_missing(reply):
            raise ElectionNotFoundError(
                f"there is no election node {self._resource}: make it with `await create_election(zk, ...)`",
                resource=self._resource,
            )
        if is_refused(reply):
            raise ElectionError(
                f"{self._resource} is an ephemeral znode, which cannot have candidates: use a persistent one",
                resource=self._resource,
            )
        path = f"{self._resource}/{reply.path.rpartition('/')[2]}"
        return Nomination(path, reply.stat.created_zxid, reply.stat.ephemeral_owner)

    def _claim(self, nomination: Nomination) -> Nomination:
        self._claimed[nomination.name] = nomination.czxid
        return nomination

    def _is_known(self, name: str, parent_czxid: int) -> bool:
        """Whether this child was seen already; what is older than its parent was another one of the same name."""
        return max(self._claimed.get(name, -1), self._others.get(name, -1)) > parent_czxid


class _NominationLock:
    """Held by many who nominate, or by one who searches; who searches goes first."""

    def __init__(self) -> None:
        self._nominating = 0
        self._searching = 0
        self._nobody_nominates = asyncio.Event()
        self._nobody_nominates.set()
        self._nobody_searches = asyncio.Event()
        self._nobody_searches.set()
        self._one_searches = asyncio.Lock()

    @property
    def is_held_by_one(self) -> bool:
        """Whether just one nominates."""
        return self._nominating == 1

    @asynccontextmanager
    async def nominating(self) -> AsyncIterator[None]:
        while self._searching:
            await self._nobody_searches.wait()
        self._nominating += 1
        self._nobody_nominates.clear()
        try:
            yield
        finally:
            self._nominating -= 1
            if not self._nominating:
                self._nobody_nominates.set()

    @asynccontextmanager
    async def searching(self) -> AsyncIterator[None]:
        self._searching += 1
        self._nobody_searches.clear()
        try:
            async with self._one_searches:
                await self._nobody_nominates.wait()
                yield
        finally:
            self._searching -= 1
            if not self._searching:
                self._nobody_searches.set()

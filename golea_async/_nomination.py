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
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary, WeakValueDictionary

import aiozk
from aiozk import exc

from ._protocol.standing import CANDIDATE_PREFIX, in_order
from ._shared.batch import ConnectionLostError
from ._shared.channel import Channel
from ._zookeeper.replies import Reply, accept, is_missing, is_refused
from .exceptions import ElectionError, ElectionNotFoundError


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


class Nominee(Protocol):
    """Who is nominated."""

    def nominated(self, own: Nomination | None) -> None:
        """Hear what has become of that, in the very call that reads the reply; None: refused, or the reply is lost."""


class Attempt:
    """A create that was sent. Its znode is claimed when the answer comes, whether anybody waits for that or not.

    :ivar connection: on which it was sent.
    """

    def __init__(
        self,
        nominations: Nominations,
        connection: Channel,
        name: bytes,
        nominee: Nominee | None = None,
    ) -> None:
        path = f"{nominations.resource}/{CANDIDATE_PREFIX}"
        self.connection = connection
        self._nominations = nominations
        self._name = name
        self._nominee = nominee
        self._own: Nomination | None = None
        self._refused: Reply = None
        self._is_under_way = True
        self._end: asyncio.Future[None] | None = None
        self._asked = connection.ask(connection.create(path, name, ephemeral=True, sequential=True))
        nominations.lock.begin_nominating()
        self._asked.when_answered(1, self.told)

    def told(self) -> None:
        """Claim the znode before anybody can search; to be called when the reply has come, or never will."""
        if not self._is_under_way:
            return
        self._is_under_way = False
        try:
            (created,) = self._asked.take(1)
        except ConnectionLostError:
            self._nominations.doubt(self._name)
        else:
            self._read(created)
        self._nominations.lock.end_nominating()
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        if self._nominee is not None:
            self._nominee.nominated(self._own)

    def _read(self, created: Reply) -> None:
        if is_refused(created):
            self._refused = created
            return
        path = f"{self._nominations.resource}/{created.path.rpartition('/')[2]}"
        self._own = Nomination(path, created.stat.created_zxid, created.stat.ephemeral_owner)
        self._nominations.claim(self._own)

    @property
    def has_failed(self) -> bool:
        """Whether it was refused, or its reply is lost."""
        return not self._is_under_way and self._own is None

    async def nomination(self) -> Nomination:
        """Wait for the candidate. Cancelled: the name is in doubt.

        :raises ConnectionLostError: when the connection ended before the reply; then the name is in doubt.
        :raises ElectionNotFoundError: when the election node does not exist.
        :raises NotAuthorizedError: when the client may not create children there.
        """
        if self._is_under_way:
            self._end = asyncio.get_running_loop().create_future()
            try:
                await self._end
            except asyncio.CancelledError:
                self._give_up()
                raise
        if self._own is not None:
            return self._own
        if self._refused is None:
            raise ConnectionLostError
        raise self._refusal(self._refused)

    def _give_up(self) -> None:
        """Nobody takes the znode that this may have made, or has made just now."""
        if self._is_under_way:
            self._is_under_way = False
            self._nominations.doubt(self._name)
            self._nominations.lock.end_nominating()
        elif self._own is not None and self._nominee is None:
            self._nominations.give_up(self._own)
            self._nominations.doubt(self._name)

    def _refusal(self, reply: Reply) -> ElectionError:
        resource = self._nominations.resource
        accept(reply, exc.NoNode, exc.NoChildrenForEphemerals, path=resource, resource=resource)
        if is_missing(reply):
            return ElectionNotFoundError(
                f"there is no election node {resource}: make it with `await create_election(zk, ...)`",
                resource=resource,
            )
        return ElectionError(
            f"{resource} is an ephemeral znode, which cannot have candidates: use a persistent one",
            resource=resource,
        )


class Nominations:
    """All nominations of one session for one election node."""

    def __init__(self, resource: str, session_id: int, of_client: _OfClient) -> None:
        self.resource = resource
        self.session_id = session_id
        self._of_client = of_client
        self._claimed: dict[str, int] = {}
        self._doubtful: set[bytes] = set()
        self._others: dict[str, int] = {}
        self.lock = _NominationLock()

    @classmethod
    def of(cls, client: aiozk.ZKClient, resource: str, session_id: int) -> Nominations:
        """Return the nominations that all elections of one client share."""
        of_client = _nominations.get(client)
        if of_client is None:
            of_client = _nominations[client] = _OfClient()
        nominations = of_client.in_use.get((session_id, resource))
        if nominations is None:
            of_client.forget_other_sessions(session_id)
            nominations = of_client.in_use[session_id, resource] = cls(resource, session_id, of_client)
        return nominations

    def is_doubtful(self, name: bytes) -> bool:
        """Whether there may be a znode of this name and session that nobody knows of."""
        return name in self._doubtful

    def doubt(self, name: bytes) -> None:
        """Take note that there may be one, as long as the session lives: also when nobody of this name stands."""
        self._doubtful.add(name)
        self._of_client.in_doubt.add(self)

    def claim(self, nomination: Nomination) -> None:
        """Take this znode for one candidate, so that no search takes it for another."""
        self._claimed[nomination.name] = nomination.czxid

    def give_up(self, nomination: Nomination) -> None:
        """Claim this znode no longer."""
        if self._claimed.get(nomination.name) == nomination.czxid:
            del self._claimed[nomination.name]

    def note_departure(self, name: str, *, has_followed: bool) -> None:
        """Remember the latest candidate of this client that has resigned, and whether another one was before it."""
        self._of_client.departure = _Departure(self.resource, name, has_followed)

    def has_departed(self, name: str) -> bool:
        """Whether nobody needs to ask for this candidate: so it is for who has resigned and stands again.

        Numbers start again when an election node is deleted and made anew, so it may be there all the same: who is
        behind it lists then, where a look would have done.
        """
        departure = self._of_client.departure
        return departure is not None and departure.name == name and departure.resource == self.resource

    @property
    def has_left_others(self) -> bool:
        """Whether who stands again here has resigned as a follower: the one before it most likely stands yet."""
        departure = self._of_client.departure
        return departure is not None and departure.has_followed and departure.resource == self.resource

    @property
    def are_idle(self) -> bool:
        """Whether no other candidate of this client stands here, is nominated, or is searched for."""
        return not self._claimed and self.lock.is_free

    def begin_at_once(self, connection: Channel, name: bytes, nominee: Nominee) -> Attempt | None:
        """Ask for a candidate, unless something has to be waited for; nothing is awaited here.

        :param nominee: is told of it in the very call that reads the reply.
        :raises ConnectionLostError: when the connection has ended.
        """
        return None if self.is_doubtful(name) or self.lock.is_searching else Attempt(self, connection, name, nominee)

    async def nominate(self, connection: Channel, name: bytes) -> Nomination:
        """Create a candidate, or adopt the one of a nomination whose reply was lost. Cancelled: the name is in doubt.

        :raises ElectionError: as :meth:`Attempt.nomination`.
        """
        if self.is_doubtful(name):
            adopted = await self._adopt(connection, name)
            if adopted is not None:
                return adopted
        await self.lock.nobody_searches()
        return await Attempt(self, connection, name).nomination()

    async def sweep(self, connection: Channel, name: bytes) -> None:
        """Delete the znodes that a lost reply may have left; nothing to do when the name is not in doubt."""
        if not self.is_doubtful(name):
            return
        async with self.lock.searching():
            await self._delete(connection, await self._search(connection, name))

    async def _adopt(self, connection: Channel, name: bytes) -> Nomination | None:
        async with self.lock.searching():
            found = await self._search(connection, name)
            if not found:
                return None
            await self._delete(connection, found[1:])
            self.claim(found[0])  # only now: whoever searches again after a failure has to find it
            return found[0]

    async def _search(self, connection: Channel, name: bytes) -> list[Nomination]:
        """Return this session's unclaimed candidates of this name, the oldest first."""
        _, listed = await connection.send(connection.check(self.resource), connection.children(self.resource))
        accept(listed, exc.NoNode, path=self.resource, resource=self.resource)
        if is_missing(listed):
            return []
        paths = [
            f"{self.resource}/{child}"
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

    async def _delete(self, connection: Channel, nominations: list[Nomination]) -> None:
        if not nominations:
            return
        replies = await connection.send(*(connection.delete(nomination.path) for nomination in nominations))
        for nomination, reply in zip(nominations, replies, strict=True):
            accept(
                reply,
                exc.NoNode,
                path=nomination.path,
                resource=self.resource,
                candidate_id=nomination.path,
            )

    def _is_known(self, name: str, parent_czxid: int) -> bool:
        """Whether this child was seen already; what is older than its parent was another one of the same name."""
        return max(self._claimed.get(name, -1), self._others.get(name, -1)) > parent_czxid


class _Departure(NamedTuple):
    """A candidate that has resigned."""

    resource: str
    name: str
    has_followed: bool


class _OfClient:
    """The nominations on one client: those of elections that go on, those in doubt, and who has left last."""

    def __init__(self) -> None:
        self.departure: _Departure | None = None
        self.in_use: WeakValueDictionary[tuple[int, str], Nominations] = WeakValueDictionary()
        self.in_doubt: set[Nominations] = set()

    def forget_other_sessions(self, session_id: int) -> None:
        for nominations in list(self.in_doubt):
            if nominations.session_id != session_id:
                self.in_doubt.discard(nominations)


_nominations: WeakKeyDictionary[aiozk.ZKClient, _OfClient] = WeakKeyDictionary()


class _NominationLock:
    """Held by many who nominate, or by one who searches; who searches goes first."""

    def __init__(self) -> None:
        self._nominating = 0
        self._searching = 0  # with those that wait to
        self._is_searched = False
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def is_searching(self) -> bool:
        """Whether one searches, or waits to."""
        return self._searching > 0

    @property
    def is_free(self) -> bool:
        """Whether nobody nominates or searches, or waits to."""
        return not (self._nominating or self._searching)

    async def nobody_searches(self) -> None:
        """Wait until one may nominate."""
        while self._searching:
            await self._change()

    def begin_nominating(self) -> None:
        self._nominating += 1

    def end_nominating(self) -> None:
        self._nominating -= 1
        self._notify()

    @asynccontextmanager
    async def searching(self) -> AsyncIterator[None]:
        self._searching += 1
        try:
            while self._nominating or self._is_searched:
                await self._change()
            self._is_searched = True
            try:
                yield
            finally:
                self._is_searched = False
        finally:
            self._searching -= 1
            self._notify()

    async def _change(self) -> None:
        """Wait until somebody has ended."""
        change = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change

    def _notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.done():
                change.set_result(None)

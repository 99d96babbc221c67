"""Nominations: which znodes belong to candidates of this client, which are in doubt, and who has left.

A create whose reply was lost may have worked, and it may still be on its way between ZooKeeper's servers and appear
*after* somebody has looked for it. A znode that nobody knows of would block the election for everybody, so:

- the name of such a nomination stays in doubt as long as the session lives;
- a search begins with a barrier (a quorum write on the new connection), then lists, and takes as its own only what
  belongs to this session, carries this name, and is claimed by no other election of this client;
- the znode is searched for again whenever the children are listed anyway, and before a resignation is done.

What a search finds is adopted by a candidate that has no znode, and deleted by one that has (:mod:`.departure`).

A search never takes the znode of a nomination that is under way, and two searches never take the same one:

- ZooKeeper answers one connection in order. The znode of a create that was sent before the list is claimed in the call
  that reads the create's reply, ahead of the list; one that was sent later is not in the list.
- What a search finds it claims in the call that reads the last reply, and what it is about to delete, too: nothing
  happens in between.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakValueDictionary

from aiozk import exc

from golea_async._zookeeper.replies import Reply, is_missing, is_refused
from golea_async._zookeeper.requests import Request, Requests
from golea_async.exceptions import ElectionError, election_not_found

from .oddities import SeenTokens, used_up_numbers
from .refusals import accept, leaves_doubt, require_done
from .steps import ask
from .znodes import CANDIDATE_PREFIX, NUMBER_DIGITS, in_order


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

    @property
    def number(self) -> int:
        """The number in its name."""
        return int(self.path[-NUMBER_DIGITS:])

    def is_shown_by(self, reply: Reply) -> bool:
        """Return whether the reply to a ``get`` shows this very znode."""
        return (
            not is_refused(reply)
            and reply.stat.created_zxid == self.czxid
            and reply.stat.ephemeral_owner == self.session_id
        )


class Claims:
    """All nominations of one session for one election node.

    :ivar doubtful: the names of which there may be a znode of this session that nobody knows of.
    """

    def __init__(self, of_client: ClientClaims, session_id: int, resource: str) -> None:
        self.resource = resource
        self.session_id = session_id
        self._of_client = of_client
        self._requests = of_client.requests
        self._claimed: dict[str, int] = {}  # czxid by name
        self._others: dict[str, int] = {}  # the same, of znodes that a search has seen to be another session's
        self.doubtful: set[bytes] = set()
        self._nominating = 0
        self._key = of_client.key_of(resource)

    def doubt(self, name: bytes) -> None:
        """Take note that there may be a znode of this name, which nobody knows of, as long as the session lives.

        Also when no candidate of this name stands any more.
        """
        self.doubtful.add(name)
        self._of_client.in_doubt.add(self)

    def claim(self, nomination: Nomination) -> None:
        """Take this znode for one candidate, so that no search takes it for another."""
        self._claimed[nomination.name] = nomination.czxid
        self._of_client.tokens.note(self._key, nomination.czxid)

    def give_up(self, nomination: Nomination) -> None:
        """Claim this znode no longer."""
        if self._claimed.get(nomination.name) == nomination.czxid:
            del self._claimed[nomination.name]

    @property
    def _may_be_alone(self) -> bool:
        """Whether a candidate that is nominated now may be the only one in the election.

        It is not when this client has another candidate here; and most likely it is not when one of this client has
        just resigned here as a follower: the candidate before that one is still there.
        """
        departure = self._of_client.departure
        has_left_others = departure is not None and departure.has_followed and departure.resource == self.resource
        return not self._claimed and not self._nominating and not has_left_others

    def note_departure(self, nomination: Nomination, *, has_followed: bool) -> None:
        """Remember the latest candidate of this client that has resigned, and whether another one was before it."""
        self._of_client.departure = _Departure(self.resource, nomination.name, has_followed)

    def has_departed(self, name: str) -> bool:
        """Return whether the candidate of this znode name was this client's, and has resigned: no look at it is needed.

        Numbers start again when an election node is deleted and made anew, so a znode of that name may be there all
        the same. Then the candidate behind it lists the children, where a look at it would have done.
        """
        departure = self._of_client.departure
        return departure is not None and departure.name == name and departure.resource == self.resource

    # Each of these is a part of a candidate's coroutine.

    async def nominate(self, name: bytes, *watches: Request) -> tuple[Nomination, bool, int]:
        """Create a candidate, and ask behind that for the election node where nobody else may stand there.

        Return the candidate, whether the election node was asked for, and the greatest token that was seen before.

        :raises ConnectionLostError: when the connection ended before the reply; then the name is in doubt.
        :raises NotDoneError: when ZooKeeper had no time for it.
        :raises ElectionNotFoundError: when the election node does not exist.
        :raises NotAuthorizedError: when the client may not create children there.
        """
        requests, seen_token = self._requests, self._of_client.tokens.greatest(self._key)
        node = [requests.get(self.resource)] if self._may_be_alone else []
        create = requests.create(f"{self.resource}/{CANDIDATE_PREFIX}", name, ephemeral=True, sequential=True)
        self._nominating += 1
        is_doubtful = True
        try:
            (created,) = await ask(create, behind=(*node, *watches))
            is_doubtful = is_refused(created) and leaves_doubt(created)
        finally:
            self._nominating -= 1
            if is_doubtful:  # also when nobody drives this coroutine any more
                self.doubt(name)
        if is_refused(created):
            raise self._refusal(created)
        path = f"{self.resource}/{created.path.rpartition('/')[2]}"
        own = Nomination(path, created.stat.created_zxid, created.stat.ephemeral_owner)
        self.claim(own)
        return own, bool(node), seen_token

    def _refusal(self, reply: Reply) -> ElectionError:
        about = {"path": self.resource, "resource": self.resource}
        accept(reply, exc.NoNode, exc.NoChildrenForEphemerals, exc.NodeExists, **about)
        if is_missing(reply):
            return election_not_found(self.resource)
        if isinstance(reply, exc.NodeExists):  # the last number is given out again and again
            return ElectionError(used_up_numbers(self.resource), resource=self.resource)
        return ElectionError(
            f"{self.resource} is an ephemeral znode, which cannot have candidates: use a persistent one",
            resource=self.resource,
        )

    async def search(self, name: bytes) -> list[Nomination]:
        """Return this session's unclaimed candidates of this name, the oldest first, and claim them."""
        requests = self._requests
        barrier, listed = await ask(requests.check(self.resource), requests.children(self.resource))
        require_done(barrier)
        accept(listed, exc.NoNode, path=self.resource, resource=self.resource)
        if is_missing(listed):
            return []
        names = in_order(listed.children)
        self._others = {child: self._others[child] for child in names if child in self._others}
        unknown = [child for child in names if not self._is_known(child, listed.stat.created_zxid)]
        replies = await ask(*(requests.get(f"{self.resource}/{child}") for child in unknown)) if unknown else []
        found = []
        require_done(*replies)
        for child, reply in zip(unknown, replies, strict=True):
            if is_refused(reply) or self._is_known(child, listed.stat.created_zxid):
                continue  # gone since, not ours to read (ours would be), or claimed since
            if reply.stat.ephemeral_owner != self.session_id:
                self._others[child] = reply.stat.created_zxid
            elif reply.data == name:
                path = f"{self.resource}/{child}"
                found.append(Nomination(path, reply.stat.created_zxid, self.session_id))
                self.claim(found[-1])
        return found

    def _is_known(self, name: str, parent_czxid: int) -> bool:
        """Return whether this child was seen already; what is older than its parent was another one of that name."""
        return max(self._claimed.get(name, -1), self._others.get(name, -1)) > parent_czxid


class _Departure(NamedTuple):
    """A candidate that has resigned."""

    resource: str
    name: str
    has_followed: bool


class ClientClaims:
    """The nominations on one client: those of elections that go on, those in doubt, and who has left last.

    :ivar in_doubt: keeps alive those of which a name is in doubt, also when no candidate uses them any more.
    :param tokens: the fencing tokens that this process has seen.
    :param key_of: returns what makes an election node the same one to this process, also on another client.
    """

    def __init__(
        self,
        requests: Requests,
        tokens: SeenTokens | None = None,
        key_of: Callable[[str], Hashable] = str,
    ) -> None:
        self.requests = requests
        self.tokens = tokens or SeenTokens()
        self.key_of = key_of
        self.departure: _Departure | None = None
        self.in_doubt: set[Claims] = set()
        self._in_use: WeakValueDictionary[tuple[int, str], Claims] = WeakValueDictionary()

    def of(self, session_id: int, resource: str) -> Claims:
        """Return the claims that all candidates of this session and election node share."""
        claims = self._in_use.get((session_id, resource))
        if claims is None:
            self.in_doubt = {each for each in self.in_doubt if each.session_id == session_id}
            claims = self._in_use[session_id, resource] = Claims(self, session_id, resource)
        return claims

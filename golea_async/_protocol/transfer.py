"""A transfer of leadership, and the removal of a candidate: the operator's side, which asks candidates for it.

What a candidate does when it is asked is decided in :mod:`.handing_over`.

Nobody is overruled. The operator makes the child ``step_down`` (:mod:`.appeal`), waits until those that it names have
left their places, and deletes the child again. What is not done by then will not be: each candidate's move has a check
of the child in its transaction.

    transfer    1. the followers before the target go to the end of the line      (version 0)
                2. then the leader does, in a transaction that checks the target  (version 1 and on)
    removal     the candidate leaves                                              (version 0)

The steps may be interrupted anywhere and begun anew on the next connection: each begins with a look, and what the child
says is compared with what it is to say. The session may end meanwhile, and the child with it: then it is made anew.
"""

from __future__ import annotations

from aiozk import exc

from golea_async._zookeeper.replies import Reply, is_missing, is_refused
from golea_async._zookeeper.requests import Requests
from golea_async.exceptions import ElectionOverError, TransferError

from .appeal import Appeal
from .asking import Asking
from .oddities import OWNERS_OF_LASTING_ZNODES
from .refusals import accept
from .steps import ask
from .whereabouts import Whereabouts
from .znodes import in_order

MOST_MOVES = 10
"""So often the target may go to the end of the line by itself before a transfer to it is given up."""


class Transfer(Asking):
    """One transfer of leadership.

    :param to: the full path, the znode's name or the candidate's name of who is to lead; None: whoever is next.
    """

    def __init__(self, resource: str, to: str | None, *, by: str, request_id: str, deadline: float) -> None:
        super().__init__(resource, by=by, request_id=request_id, deadline=deadline)
        self._to = to
        self._goal: Whereabouts | None = None

    @property
    def target(self) -> str:
        """The name of the znode that is to lead, or leads; empty until it was chosen."""
        return "" if self._goal is None else self._goal.name

    @property
    def shown(self) -> Reply:
        """What that znode has shown."""
        return None if self._goal is None else self._goal.shown

    async def _pursue(self, zk: Requests) -> None:
        while True:
            names, child, is_ending, _ = await self._look(zk)
            if is_ending:
                raise self._over()
            if not await self._has_target(zk, names):
                if self.now >= self._deadline:
                    raise self._error("time was up while candidates came and went too fast to be read: try again")
                continue
            if names[0] == self.target:
                return
            if self._goal is not None and self._goal.moves > MOST_MOVES:
                raise self._error(
                    f"who was to lead goes to the end of the line again and again ({self.target}): ask again when it "
                    "stays, or for another candidate"
                )
            ahead = names[: names.index(self.target)]
            asked = ahead[1:] or ahead
            if self.now >= self._deadline:
                await self._be_too_late(zk, asked)
                return
            appeal = Appeal(tuple(asked), self.target, self._by, id=self._id)
            await self._put(zk, child, appeal, asks_leader=len(ahead) == 1)
            await self._wait(zk, asked[0], self.target)

    async def _has_target(self, zk: Requests, names: list[str]) -> bool:
        """See that the target stands, at the end of the line if it has gone there; choose one where it has left.

        Return False when that cannot be told from this list.
        """
        if self._goal is not None and (self._to is not None or self.target in names):
            stands = await self._goal.find(zk, self.resource, names)
            if stands is not False:
                return bool(stands)
        return await self._choose(zk, names)

    async def _choose(self, zk: Requests, names: list[str]) -> bool:
        if self._to is None and len(names) < 2:
            raise self._error("nobody else stands" if names else "nobody stands")
        nodes = await ask(*(zk.get(self._full(name)) for name in names))
        for name, node in zip(names, nodes, strict=True):
            accept(node, exc.NoNode, path=self._full(name), resource=self.resource)
        shown = {name: node for name, node in zip(names, nodes, strict=True) if not is_missing(node)}
        found = self._meant(names, shown)
        if found not in shown:
            return False  # it has left since, or has moved
        for name in names[: names.index(found) + 1]:
            if name in shown and shown[name].stat.ephemeral_owner in OWNERS_OF_LASTING_ZNODES:
                raise self._error(
                    f"{self._full(name)} belongs to no session, and nobody behind it ever leads: remove it, "
                    f"by `depose(zk, {self._full(name)!r}, force=True)`"
                )
        self._goal = Whereabouts(found, shown[found])
        return bool(await self._goal.find(zk, self.resource, names))  # it is in the list

    def _meant(self, names: list[str], shown: dict[str, Reply]) -> str | None:
        """Return the name of the znode that is meant; None when it may be one that has gone since it was listed.

        :raises ValueError: when more than one candidate has that name.
        """
        if self._to is None:
            return names[1]
        found = [name for name in names if self._to in (name, self._full(name))]
        found = found or [name for name, node in shown.items() if node.data == self._to.encode()]
        if len(found) > 1:
            ids = ", ".join(map(self._full, found))
            raise ValueError(f"{len(found)} candidates of {self.resource} are named {self._to!r}: give an id of {ids}")
        if not found and len(shown) == len(names):
            if self._goal is None:
                raise self._error(f"no candidate {self._to[:100]!r} stands")
            raise self._error(f"who was to lead has left ({self.target}): ask again, for another candidate")
        return found[0] if found else None

    async def _be_too_late(self, zk: Requests, asked: list[str]) -> None:
        """Take the request back; return when the target leads all the same.

        :raises TransferError: when it does not: who was asked has not answered.
        """
        listed = await self._take_back(zk)
        names = asked if listed is None else [] if is_refused(listed) else in_order(listed.children)
        if names[:1] == [self.target]:
            return
        left = [name for name in asked if name in names]
        if not left and names:
            raise self._error("time was up before all that stand before the target were asked")
        raise self._error(f"{await self._named(zk, left or asked)} did not step down in time; {self._who_is_silent}")

    def _error(self, what: str) -> TransferError:
        return TransferError(
            f"leadership of {self.resource} was not transferred, and by this request will not be: {what}",
            resource=self.resource,
        )


class Removal(Asking):
    """One candidate's removal, by its own doing; wherever it stands when it is asked.

    :param name: of its znode.
    """

    def __init__(self, resource: str, name: str, *, by: str, request_id: str, deadline: float) -> None:
        super().__init__(resource, by=by, request_id=request_id, deadline=deadline)
        self._name = name
        self._meant: Whereabouts | None = None

    async def _pursue(self, zk: Requests) -> None:
        while True:
            first = [] if self._meant is not None else [zk.get(self._full(self._name))]
            try:
                names, child, is_ending, nodes = await self._look(zk, *first)
            except ElectionOverError:
                return
            meant = self._meant = self._meant or self._met(*nodes)
            stands = meant is not None and await meant.find(zk, self.resource, names)
            if meant is None or stands is False:
                return
            if self.now >= self._deadline:
                await self._be_too_late(zk, meant)
                return
            if not stands:
                continue
            if not is_ending:
                await self._put(zk, child, Appeal((meant.name,), None, self._by, leave=True, id=self._id))
            await self._wait(zk, meant.name, is_ending=is_ending)

    def _met(self, *nodes: Reply) -> Whereabouts | None:
        """Return the candidate that was seen at the path, at once or just before the list; None when nobody was.

        What a server shows at once may be old, and shows whose path it was when this was called.
        """
        path = self._full(self._name)
        for node in nodes:
            accept(node, exc.NoNode, exc.NoAuth, path=path, resource=self.resource)
        seen = [node for node in nodes if not is_missing(node)]
        if not seen:
            return None
        node = seen[-1]
        if not is_refused(node) and node.stat.ephemeral_owner in OWNERS_OF_LASTING_ZNODES:
            raise TransferError(
                f"{path} belongs to no session, so nobody answers for it: remove it with force=True",
                resource=self.resource,
                candidate_id=path,
            )
        assert self._parent is not None, "it was listed"
        if not is_refused(node) and node.stat.created_zxid < self._parent:
            return None  # the election node was made anew meanwhile, and the path is another one's
        return Whereabouts(self._name, node)

    async def _be_too_late(self, zk: Requests, meant: Whereabouts) -> None:
        """Take the request back; return when the candidate has left all the same.

        :raises TransferError: when it has not, or that cannot be told.
        """
        listed = await self._take_back(zk)
        if listed is not None and is_refused(listed):
            return
        if listed is None or await meant.find(zk, self.resource, in_order(listed.children)) is not False:
            raise self._silent(await self._named(zk, [meant.name]), self._full(meant.name))

    def _silent(self, named: str, candidate_id: str) -> TransferError:
        return TransferError(
            f"{named} was asked to leave {self.resource} and did not in time; {self._who_is_silent}. force=True "
            "deletes it at once, and then two may believe to lead, as docs/hand-over.md tells",
            resource=self.resource,
            candidate_id=candidate_id,
        )

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

import math
from collections.abc import Sequence

from aiozk import exc

from golea_async._zookeeper.replies import Reply, is_missing, is_refused
from golea_async._zookeeper.requests import Request, Requests
from golea_async.exceptions import ElectionError, ElectionOverError, TransferError, election_not_found

from .appeal import Appeal, read_appeal
from .oddities import OWNERS_OF_LASTING_ZNODES
from .refusals import accept, require_done
from .steps import ask, pause
from .znodes import DONE, STEP_DOWN, in_order

_NAMED = 5
_LONGEST_PAUSE = 3600.0

_WHO_IS_SILENT = (
    "a GoLea process and a candidate of golea_async before 0.2 never answer, and neither does one whose work does not "
    "stop, or whose program hangs"
)


class Asking:
    """What a transfer and a removal have in common.

    :ivar resource: the election node.
    :ivar has_begun: whether the child may have been made.
    :ivar now: seconds on the clock of the deadline; to be kept up to date by whoever steps this.
    :ivar session_id: of the connection on which it runs; the same.
    :ivar is_given_up: the child is to be taken back, and nothing else to be done.

    :param by: who asks, as people read it.
    :param request_id: tells this request from any other.
    """

    def __init__(self, resource: str, *, by: str, request_id: str, deadline: float) -> None:
        self.resource = resource
        self.has_begun = self.is_given_up = False
        self.now = -math.inf
        self.session_id = 0
        self._by = by
        self._id = request_id
        self._deadline = deadline
        self._path = f"{resource}/{STEP_DOWN}"
        self._parent: int | None = None  # czxid of the election node that is meant

    async def run(self, zk: Requests) -> None:
        """Carry it through, from its first step on; after a lost connection again, on the next one.

        :raises ElectionError: when it cannot be, or is not in time: then nothing of it will happen any more.
        """
        try:
            await self._pursue(zk)
        except ElectionError:
            await self._take_back(zk)
            raise
        await self._take_back(zk)

    def given_up(self) -> ElectionError:
        """Say that it ends early."""
        return TransferError(
            f"a request to candidates of {self.resource} was taken back: its client was closed, or it was cancelled",
            resource=self.resource,
        )

    async def _pursue(self, zk: Requests) -> None:
        raise NotImplementedError

    # ------------------------------------------------------------------ looking

    async def _look(self, zk: Requests) -> tuple[list[str], Reply, bool]:
        """Return who stands, in order, what there is of the child, and whether the election is being ended."""
        if self.is_given_up:
            raise self.given_up()
        barrier, listed, child = await ask(zk.check(self.resource), zk.children(self.resource), zk.get(self._path))
        require_done(barrier, child)
        if is_missing(accept(listed, exc.NoNode, path=self.resource, resource=self.resource)):
            if self._parent is None:
                raise election_not_found(self.resource)
            raise self._over()
        if self._parent not in (None, listed.stat.created_zxid):
            raise self._over()  # deleted, and made anew: that one is not meant
        self._parent = listed.stat.created_zxid
        return in_order(listed.children), child, DONE in listed.children

    def _over(self) -> ElectionOverError:
        return ElectionOverError(
            f"the election {self.resource} is being ended, or was: nobody is asked any more", resource=self.resource
        )

    def _full(self, name: str) -> str:
        return f"{self.resource}/{name}"

    # ------------------------------------------------------------------ the child

    async def _put(self, zk: Requests, child: Reply, appeal: Appeal, *, asks_leader: bool = False) -> None:
        """Have the child say this, in the version that says whom it asks.

        :raises TransferError: when somebody else asks for something.
        """
        data = appeal.encode()
        make = [zk.create(self._path, data, ephemeral=True), *([zk.set_data(self._path, data, 0)] * asks_leader)]
        if is_missing(child):
            await self._write(zk, make)
            return
        self._refuse_others(child)
        version, is_ours_now = child.stat.version, child.stat.ephemeral_owner == self.session_id
        if is_ours_now and read_appeal(child.data) == appeal and (version > 0) == asks_leader:
            return
        if is_ours_now and asks_leader:
            await self._write(zk, [zk.set_data(self._path, data, version)])
        else:  # no version but 0 asks anybody else
            await self._write(zk, [zk.delete(self._path, version), *make])

    async def _write(self, zk: Requests, operations: Sequence[Request]) -> None:
        """Change the child. Where it has changed since the look, the next one shows that."""
        self.has_begun = True
        (written,) = await ask(zk.multi(*operations))
        accept(written, exc.NodeExists, exc.NoNode, exc.BadVersion, path=self._path, resource=self.resource)

    def _is_ours(self, appeal: Appeal | None) -> bool:
        """Return whether this request says so: a forked process may draw the same id."""
        return appeal is not None and (appeal.id, appeal.by) == (self._id, self._by)

    def _refuse_others(self, child: Reply) -> None:
        appeal = None if is_refused(child) else read_appeal(child.data)
        if self._is_ours(appeal):
            return
        who = "somebody" if appeal is None else appeal.by
        raise TransferError(
            f"{who} asks candidates of {self.resource} for something already ({self._path}): wait until that is "
            "through; a child that an operator has left behind goes with its session",
            resource=self.resource,
        )

    async def _take_back(self, zk: Requests) -> Reply | None:
        """Delete the child if it is this request's, and list behind that: what is not done by then will not be."""
        if not self.has_begun:
            return None
        _, child = await ask(
            zk.check(self.resource), zk.get(self._path)
        )  # a write on a lost connection may be under way
        appeal = None if is_refused(child) else read_appeal(child.data)
        deletion = [zk.delete(self._path, child.stat.version)] if self._is_ours(appeal) else []
        *deleted, listed = await ask(*deletion, zk.children(self.resource))
        require_done(*deleted, listed)
        self.has_begun = False
        return listed

    # ------------------------------------------------------------------ waiting

    async def _wait(self, zk: Requests, *standing: str, is_ending: bool = False) -> None:
        """Wait until one of these candidates has gone, or the child or `DONE` has changed since the look."""
        done, request, *candidates = await ask(
            zk.exists(self._full(DONE), watch=True),
            zk.get(self._path, watch=True),
            *(zk.get(self._full(name), watch=True) for name in standing),
        )
        has_changed = any(map(is_missing, candidates)) or is_missing(done) == is_ending
        if not has_changed and (is_ending or not is_missing(request)):
            await pause(max(0.0, min(self._deadline - self.now, _LONGEST_PAUSE)))

    async def _named(self, zk: Requests, names: Sequence[str]) -> str:
        """Return these candidates as people read it."""
        nodes = await ask(*(zk.get(self._full(name)) for name in names[:_NAMED]))
        named = [
            self._full(name) if is_refused(node) else f"{(node.data or b'').decode(errors='replace')[:100]!r} ({name})"
            for name, node in zip(names, nodes, strict=False)
        ]
        more = len(names) - len(named)
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")


class Transfer(Asking):
    """One transfer of leadership.

    :ivar leader: what was shown of the candidate that leads now; its full path.

    :param to: the full path, the znode's name or the candidate's name of who is to lead; None: whoever is next.
    """

    def __init__(self, resource: str, to: str | None, *, by: str, request_id: str, deadline: float) -> None:
        super().__init__(resource, by=by, request_id=request_id, deadline=deadline)
        self.shown: Reply = None
        self.target = ""
        self._to = to

    async def _pursue(self, zk: Requests) -> None:
        while True:
            names, child, is_ending = await self._look(zk)
            if is_ending:
                raise self._over()
            if not await self._has_target(zk, names):
                continue
            if names[0] == self.target:
                return
            ahead = names[: names.index(self.target)]
            asked = ahead[1:] or ahead
            if self.now >= self._deadline:
                await self._be_too_late(zk, asked)
                return
            appeal = Appeal(tuple(asked), self.target, self._by, id=self._id)
            await self._put(zk, child, appeal, asks_leader=len(ahead) == 1)
            await self._wait(zk, asked[0], self.target)

    async def _has_target(self, zk: Requests, names: list[str]) -> bool:
        """See that the target stands; return False when there is none any more, and another one may be chosen."""
        if self.target in names:
            return True
        if not self.target:
            await self._choose(zk, names)
            return bool(self.target)
        if self._to is not None:
            raise self._error(f"who was to lead has left ({self.target})")
        self.target = ""
        return False

    async def _choose(self, zk: Requests, names: list[str]) -> None:
        if self._to is None and len(names) < 2:
            raise self._error("nobody else stands" if names else "nobody stands")
        nodes = await ask(*(zk.get(self._full(name)) for name in names))
        for name, node in zip(names, nodes, strict=True):
            accept(node, exc.NoNode, path=self._full(name), resource=self.resource)
        shown = {name: node for name, node in zip(names, nodes, strict=True) if not is_missing(node)}
        found = self._meant(names, shown)
        if found not in shown:
            return  # it has left since
        for name in names[: names.index(found) + 1]:
            if name in shown and shown[name].stat.ephemeral_owner in OWNERS_OF_LASTING_ZNODES:
                raise self._error(
                    f"{self._full(name)} belongs to no session, and nobody behind it ever leads: remove it, "
                    f"by `depose(zk, {self._full(name)!r}, force=True)`"
                )
        self.target, self.shown = found, shown[found]

    def _meant(self, names: list[str], shown: dict[str, Reply]) -> str:
        """Return the name of the znode that is meant.

        :raises ValueError: when more than one candidate has that name.
        """
        if self._to is None:
            return names[1]
        found = [name for name in names if self._to in (name, self._full(name))]
        found = found or [name for name, node in shown.items() if node.data == self._to.encode()]
        if not found:
            raise self._error(f"no candidate {self._to[:100]!r} stands")
        if len(found) > 1:
            ids = ", ".join(map(self._full, found))
            raise ValueError(f"{len(found)} candidates of {self.resource} are named {self._to!r}: give an id of {ids}")
        return found[0]

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
        raise self._error(f"{await self._named(zk, left or asked)} did not step down in time; {_WHO_IS_SILENT}")

    def _error(self, what: str) -> TransferError:
        return TransferError(
            f"leadership of {self.resource} was not transferred, and by this request will not be: {what}",
            resource=self.resource,
        )


class Removal(Asking):
    """One candidate's removal, by its own doing."""

    def __init__(self, resource: str, name: str, *, by: str, request_id: str, deadline: float) -> None:
        super().__init__(resource, by=by, request_id=request_id, deadline=deadline)
        self._name = name
        self._czxid: int | None = None

    async def _pursue(self, zk: Requests) -> None:
        while True:
            try:
                names, child, is_ending = await self._look(zk)
            except ElectionOverError:
                return
            if self._name not in names or await self._is_another(zk):
                return
            if self.now >= self._deadline:
                listed = await self._take_back(zk)
                if listed is None or (not is_refused(listed) and self._name in listed.children):
                    raise self._silent(await self._named(zk, [self._name]))
                return
            if not is_ending:
                await self._put(zk, child, Appeal((self._name,), None, self._by, leave=True, id=self._id))
            await self._wait(zk, self._name, is_ending=is_ending)

    async def _is_another(self, zk: Requests) -> bool:
        """Return whether the candidate that is meant has gone, and the path is another one's."""
        (node,) = await ask(zk.get(self._full(self._name)))
        accept(node, exc.NoNode, exc.NoAuth, path=self._full(self._name), resource=self.resource)
        if is_missing(node):
            return True
        if is_refused(node):
            return False
        if node.stat.ephemeral_owner in OWNERS_OF_LASTING_ZNODES:
            raise TransferError(
                f"{self._full(self._name)} belongs to no session, so nobody answers for it: remove it with force=True",
                resource=self.resource,
                candidate_id=self._full(self._name),
            )
        if self._czxid is None:
            self._czxid = node.stat.created_zxid
        return bool(self._czxid != node.stat.created_zxid)

    def _silent(self, named: str) -> TransferError:
        return TransferError(
            f"{named} was asked to leave {self.resource} and did not in time; {_WHO_IS_SILENT}. force=True deletes it "
            "at once, and then two may believe to lead, as docs/hand-over.md tells",
            resource=self.resource,
            candidate_id=self._full(self._name),
        )

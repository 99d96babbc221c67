"""What requests of operators have in common: the child ``step_down`` by which they ask, and the looking and waiting."""

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
        self._who_is_silent = (
            "a GoLea process and a candidate of an older golea_async never answer, and neither does one whose work "
            f"does not stop, whose program hangs, or that may not read {self._path}, which has this client's "
            "default_acl"
        )
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

    async def _look(self, zk: Requests, *looks: Request) -> tuple[list[str], Reply, bool, list[Reply]]:
        """Return who stands, in order, what there is of the child, and whether the election is being ended.

        Last, the replies to looks that travel with that: each is asked at once, and again just before the list.
        """
        if self.is_given_up:
            raise self.given_up()
        *replies, listed, child = await ask(
            *looks, zk.check(self.resource), *looks, zk.children(self.resource), zk.get(self._path)
        )
        barrier = replies.pop(len(looks))
        require_done(barrier, child)
        if is_missing(accept(listed, exc.NoNode, path=self.resource, resource=self.resource)):
            if self._parent is None:
                raise election_not_found(self.resource)
            raise self._over()
        if self._parent not in (None, listed.stat.created_zxid):
            raise self._over()  # deleted, and made anew: that one is not meant
        self._parent = listed.stat.created_zxid
        return in_order(listed.children), child, DONE in listed.children, replies

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
        remove = f"remove it, by `await zk.delete({self._path!r})`"
        if not is_refused(child) and child.stat.ephemeral_owner in OWNERS_OF_LASTING_ZNODES:
            way_out = f"that znode belongs to no session, so it never goes by itself: {remove}"
        elif appeal is None:
            why = "may not be read" if is_refused(child) else "says nothing that is understood"
            way_out = (
                f"that znode {why}. If it is not that of a newer version of golea_async, and does not go with a "
                f"session, {remove}"
            )
        else:
            way_out = "wait until that is through; a child that an operator has left behind goes with its session"
        raise TransferError(
            f"{who} asks candidates of {self.resource} for something already ({self._path}): {way_out}",
            resource=self.resource,
        )

    async def _take_back(self, zk: Requests) -> Reply | None:
        """Delete the child if it is this request's, and list behind that: what is not done by then will not be."""
        if not self.has_begun:
            return None
        # The barrier, since a write on a lost connection may be under way.
        _, child = await ask(zk.check(self.resource), zk.get(self._path))
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

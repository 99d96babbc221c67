"""What one candidate knows of ZooKeeper and of its client, and what events and replies make of that. Pure.

What follows from it is decided in :mod:`.standing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .appeal import Order
from .znodes import DONE, predecessor_of


class Watch(Enum):
    """The state of one watch of this candidate's, on the present connection."""

    NONE = "none"
    ASKED = "asked"  # the request was sent; its event can come before the reply
    SET = "set"  # ZooKeeper has answered, and the watch is silent


@dataclass(slots=True)
class Sight:
    """What is known of one znode on the present connection.

    :ivar is_there: whether it is there (of the own path: whether this very znode is); None when that is not known.
    """

    path: str
    is_there: bool | None = None
    watch: Watch = Watch.NONE


@dataclass(slots=True)
class View:
    """All that decides what a candidate does next. What ZooKeeper has shown counts for one connection.

    :ivar own: the own znode; None without one.
    :ivar done: the child ``DONE``.
    :ivar before: the candidate just before the own one; None when nothing is known of it.
    :ivar request: the child ``step_down``, by which operators ask.
    :ivar is_request_read: what it says is known, and counts.
    :ivar order: what it asks of this candidate.
    :ivar steps_down: the application has the candidate go to the end of the line.
    :ivar is_moving: it may have moved there: the outcome is not known.
    :ivar is_held_back: it does not lead yet: the work of a leadership that it has given away has not ended.
    :ivar to_delete: a znode that the candidate is about to delete; it decides nothing.
    :ivar is_first: nobody is before the own znode, and nobody can come there.
    :ivar hint: who may be just before: worth a look before all children are listed.
    :ivar awaits_node: an answer is on its way that shows whether the own znode is alone.
    :ivar needs_barrier: the server may lag behind the one that was asked last.
    :ivar in_touch: there is a connection.
    :ivar lease: the present stretch of the lease; None when it is not valid.
    :ivar is_lease_short: that will not be renewed in time, as things look: nobody begins to lead with it.
    :ivar is_session_lost: the session in which the candidate was nominated, or is being nominated, is lost.
    :ivar is_closed: the application has closed the client.
    :ivar is_leaving: the candidate resigns.
    """

    done: Sight
    own: Sight | None = None
    before: Sight | None = None
    request: Sight | None = None
    is_request_read: bool = False
    order: Order | None = None
    steps_down: bool = False
    is_moving: bool = False
    is_held_back: bool = False
    to_delete: Sight | None = None
    is_first: bool = False
    hint: str | None = None
    awaits_node: bool = False
    needs_barrier: bool = False
    in_touch: bool = False
    lease: int | None = None
    is_lease_short: bool = False
    is_session_lost: bool = False
    is_closed: bool = False
    is_leaving: bool = False

    def reconnected(self) -> None:
        """Count as unknown what was known from an earlier connection. Only that the election is over is final."""
        if self.before is not None and self.before.is_there:
            self.hint = self.before.path
        self.before, self.is_first, self.needs_barrier = None, False, self.own is not None
        self.awaits_node = self.is_request_read = False
        self.done.watch, self.done.is_there = Watch.NONE, self.done.is_there or None
        for sight in (self.own, self.request, self.to_delete):
            if sight is not None:
                sight.watch, sight.is_there = Watch.NONE, None

    def heard(self, path: str, *, is_there: bool | None) -> None:
        """Take note of a watch's event, which has used it up. None: the znode has changed in another way."""
        for sight in (self.done, self.own, self.before, self.request, self.to_delete):
            if sight is not None and sight.path == path:
                sight.watch = Watch.NONE
                self._see(sight, is_there=is_there)
        if self.request is not None and self.request.path == path:
            self.is_request_read = False
            if is_there is False:
                self.order = None  # who has asked is gone, or has given up
        if self.before is not None and self.before.path == path:
            self.before = self.hint = None  # it has gone, or is no candidate any more: list
        if self.own is not None and self.own.path == path and is_there is None:
            self.is_first, self.hint = False, None if self.before is None else self.before.path

    def asked(self, path: str) -> list[Sight]:
        """Return what a reply about this path may be about: one whose event has come before says nothing any more.

        Who has asked twice, since the event of an earlier watch has come meanwhile, is answered twice, and watches on.
        """
        to_delete = self.to_delete if self.to_delete is not self.own else None
        sights = (self.done, self.own, self.before, self.request, to_delete)
        return [each for each in sights if each is not None and each.watch is not Watch.NONE and each.path == path]

    def shown(self, sight: Sight, *, is_there: bool | None) -> bool:
        """Take note of the reply to a request that sets a watch; return whether one is set. None: it shows nothing."""
        sight.watch = Watch.NONE
        if is_there is None:
            return False
        self._see(sight, is_there=is_there)
        if is_there or sight is self.done or sight is self.request:  # of a missing znode `get` leaves no watch
            sight.watch = Watch.SET
        if sight is self.before and not is_there:
            self.before = self.hint = None
        return sight.watch is Watch.SET

    def _see(self, sight: Sight, *, is_there: bool | None) -> None:
        """Take note of what a znode has come to. That the election is over is final: also when ``DONE`` goes again."""
        if sight is not self.done or not sight.is_there:
            sight.is_there = is_there

    @property
    def may_be_first(self) -> bool:
        """Whether the next answer can show that the own znode is the first, if that is not known."""
        return self.own is not None and not self.is_leaving and not (self.before is not None and self.before.is_there)

    @property
    def is_request_unwatched(self) -> bool:
        """Whether nothing would tell that an operator asks for something."""
        return self.request is not None and self.request.watch is Watch.NONE

    @property
    def has_unread_request(self) -> bool:
        """Whether an operator asks for something, and it is not known what."""
        return self.request is not None and self.request.is_there is True and not self.is_request_read

    def listed(self, own_name: str, resource: str, children: Sequence[str] | None) -> None:
        """Take note of a list; None: of an election node that is not the one in which the own znode was made."""
        assert self.own is not None, "who has no znode asks for no list"
        self.hint = None
        if self.own.is_there is not False:
            self.own.is_there = children is not None and own_name in children
        if children is None:
            return
        self._see(self.done, is_there=DONE in children)
        predecessor = predecessor_of(own_name, children) if self.own.is_there else None
        self.is_first = self.own.is_there and predecessor is None
        if predecessor is None:
            self.before = None
        elif self.before is None or self.before.path != f"{resource}/{predecessor}":
            self.before = Sight(f"{resource}/{predecessor}", is_there=True)
        else:
            self.before.is_there = True

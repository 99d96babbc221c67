"""Who leads, who follows whom: names, their order and the next role. Pure: no I/O, no clock.

Theory of operation
===================

A candidate is an ephemeral sequential znode ``le_0000000012`` under the election node. ZooKeeper numbers the children
of a znode in the order of their creation, so the candidate with the lowest number is the oldest and leads, and every
other one follows the candidate just before it, and nobody else: one departure wakes one follower (no herd).

The number is the parent's counter of all creations (PrepRequestProcessor.java:667), printed as ten digits, so that the
names sort as the numbers do. The counter sticks at 2147483647: DataTree only ever raises it, and the number behind that
is negative. There one name would be issued again and again, to two candidates. So nominating is refused a little before
that (:func:`supply_after`).

What is known of all this is a :class:`View`; :func:`decide` says what follows from it. The first row that fits counts:

==========================================  ====================================================================
what the view shows                         verdict
==========================================  ====================================================================
the candidate resigns                       :class:`Leave`
``DONE`` is there, or was heard of          :class:`Over`: final, whatever else is seen
the application has closed the client       :class:`Closed`
the session of the nomination is lost       :class:`Lost`: and the own znode with it
there is no connection                      :class:`Wait`: the role stays
there is no own znode                       :class:`Join`
it was to move, and the reply was lost      :class:`Settle`: nothing that is seen of the old one says anything
it was seen to be gone                      :class:`Missing`: ask the quorum, a server may lag, a session may end
an operator has it leave                    :class:`Deposed`
it is to go to the end of the line          :class:`StepDown`
one just before it lives                    :class:`Follow` that one
it is the first                             :class:`Lead`; without a lease, or beside work of before, :class:`First`
anything else                               :class:`Look` at who may be just before, or at all children
==========================================  ====================================================================

A candidate is known to be the first from a list that shows its own znode, or from an election node that has no other
child. ZooKeeper answers one connection from a state at least as new as the own create, and whoever stands before us was
created before us: so both have everybody who can be before us, and on this connection that stays so.

:func:`loss` says of the same view what ends a leader's belief. It is asked in the very call that reads an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from .appeal import STEP_DOWN, Order

CANDIDATE_PREFIX = "le_"
NUMBER_DIGITS = 10
DONE = "DONE"
DONE_DATA = b"done"

# An election that makes a nomination a second gets there after 68 years; one in a loop that never waits, after months.
LARGEST_NUMBER = 2**31 - 1
WARNED_FROM = 2**31 - 2**20
REFUSED_FROM = 2**31 - 2**10

_CANDIDATE_NAME = re.compile("le_[0-9]{10}")
_LAST_NAME = f"{CANDIDATE_PREFIX}{LARGEST_NUMBER}"


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
                sight.watch, sight.is_there = Watch.NONE, is_there
        if self.request is not None and self.request.path == path:
            self.is_request_read = False
            if is_there is False:
                self.order = None  # who has asked is gone, or has given up
        if self.before is not None and self.before.path == path:
            self.before = self.hint = None  # it has gone, or is no candidate any more: list
        if self.own is not None and self.own.path == path and is_there is None:
            self.is_first, self.hint = False, None if self.before is None else self.before.path

    def asked(self, path: str) -> list[Sight]:
        """Return what a reply about this path may be about: one whose event has come before says nothing any more."""
        to_delete = self.to_delete if self.to_delete is not self.own else None
        sights = [self.done, self.own, self.before, self.request, to_delete]
        return [each for each in sights if each is not None and each.path == path and each.watch is Watch.ASKED]

    def shown(self, sight: Sight, *, is_there: bool | None) -> bool:
        """Take note of the reply to a request that sets a watch; return whether one is set. None: it shows nothing."""
        sight.watch = Watch.NONE
        if is_there is None:
            return False
        sight.is_there = is_there
        if is_there or sight is self.done or sight is self.request:  # of a missing znode `get` leaves no watch
            sight.watch = Watch.SET
        if sight is self.before and not is_there:
            self.before = self.hint = None
        return sight.watch is Watch.SET

    @property
    def unwatched(self) -> bool:
        """Whether a znode that decides has no watch."""
        return any(each is not None and each.watch is Watch.NONE for each in (self.own, self.done, self.before))

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
        self.done.is_there = self.done.is_there or DONE in children  # heard of is final
        predecessor = predecessor_of(own_name, children) if self.own.is_there else None
        self.is_first = self.own.is_there and predecessor is None
        if predecessor is None:
            self.before = None
        elif self.before is None or self.before.path != f"{resource}/{predecessor}":
            self.before = Sight(f"{resource}/{predecessor}", is_there=True)
        else:
            self.before.is_there = True


@dataclass(frozen=True, slots=True)
class Leave:
    """The candidate has resigned."""


@dataclass(frozen=True, slots=True)
class Over:
    """The election is over for everybody."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The application has closed the client, and the session with it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The session is lost, and the own znode with it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What was known may hold, and nothing can be asked, or has to be: an answer is on its way."""


@dataclass(frozen=True, slots=True)
class Join:
    """There is no own znode yet."""


@dataclass(frozen=True, slots=True)
class Settle:
    """The candidate was about to move, and may have moved: a search tells."""


@dataclass(frozen=True, slots=True)
class StepDown:
    """The candidate goes to the end of the line."""


@dataclass(frozen=True, slots=True)
class Deposed:
    """An operator has the candidate stand no more."""

    by: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The own znode was not seen. Only a quorum operation on the live session can say whether it is gone."""


@dataclass(frozen=True, slots=True)
class Follow:
    """The candidate just before, at this path, lives."""

    predecessor: str


@dataclass(frozen=True, slots=True)
class Lead:
    """The own candidate is the first, within this stretch of the lease."""

    stretch: int


@dataclass(frozen=True, slots=True)
class First:
    """The own candidate is the first, and leads as soon as there is a lease."""


@dataclass(frozen=True, slots=True)
class Look:
    """Not decided: look at this path, or list the children when it is None."""

    at: str | None


Verdict = (
    Leave | Over | Closed | Lost | Wait | Join | Settle | Missing | Deposed | StepDown | Follow | Lead | First | Look
)


def decide(view: View) -> Verdict:  # noqa: C901, PLR0911, PLR0912  # one case for each row of the table above
    """Say what a view means for the candidate whose it is."""
    if view.is_leaving:
        return Leave()
    if view.done.is_there:
        return Over()
    if view.is_closed:
        return Closed()
    if view.is_session_lost:
        return Lost()
    if not view.in_touch:
        return Wait()
    if view.own is None:
        return Join()
    if view.is_moving:
        return Settle()
    if view.own.is_there is False:
        return Missing()
    if view.order is not None and view.order.leaves:
        return Deposed(view.order.by)
    if view.steps_down or view.order is not None:
        return StepDown()
    if view.own.is_there and view.done.is_there is False:
        if view.before is not None and view.before.is_there:
            return Follow(view.before.path)
        if view.is_first:
            return First() if view.lease is None or view.is_held_back else Lead(view.lease)
    return Wait() if _is_answered_soon(view) else Look(view.hint)


def _is_answered_soon(view: View) -> bool:
    """Return whether an answer is on its way that decides."""
    own, done, before = view.own, view.done, view.before
    if own is not None and own.is_there is None:
        return own.watch is Watch.ASKED
    if before is not None and before.is_there is None:
        return before.watch is Watch.ASKED
    if view.is_first or before is not None:
        return done.watch is Watch.ASKED
    return view.awaits_node and view.hint is None


class Loss(Enum):
    """What ends a leader's belief."""

    RESIGNED = "resigned"
    OVER = "over"
    CLOSED = "closed"
    SESSION_LOST = "session lost"
    DELETED = "deleted"  # or so it seems: it is also what a client hears of the end of its own session
    HANDED_OVER = "handed over"
    OVERTAKEN = "overtaken"
    LAPSED = "lapsed"


def loss(view: View, stretch: int) -> Loss | None:
    """Say why the candidate does not lead any more that began to within this stretch of the lease; None: it does."""
    reasons = {
        Loss.RESIGNED: view.is_leaving,
        Loss.OVER: view.done.is_there,
        Loss.CLOSED: view.is_closed,
        Loss.SESSION_LOST: view.is_session_lost,
        Loss.DELETED: view.own is None or view.own.is_there is False,
        Loss.HANDED_OVER: view.steps_down or view.order is not None,
        Loss.OVERTAKEN: view.before is not None and view.before.is_there,
        Loss.LAPSED: view.lease != stretch,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


class Supply(Enum):
    """What is left of an election node's numbers."""

    PLENTY = "plenty"
    SCARCE = "scarce"  # to be said loudly
    USED_UP = "used up"  # nobody may stand with this number: the next ones may not be unique


def supply_after(own: str) -> Supply:
    """Say what is left after the nomination that was given this name."""
    number = candidate_number(own)
    assert number is not None, "an own candidate has a candidate's name"
    if number >= REFUSED_FROM:
        return Supply.USED_UP
    return Supply.SCARCE if number >= WARNED_FROM else Supply.PLENTY


def candidate_number(name: str) -> int | None:
    """Return the sequence number in a candidate's name, or None when the name is not a candidate's."""
    return int(name[len(CANDIDATE_PREFIX) :]) if _is_candidate(name) else None


def _is_candidate(name: str) -> bool:
    return _CANDIDATE_NAME.fullmatch(name) is not None and name <= _LAST_NAME


def candidate_name(number: int) -> str:
    """Return the name of the candidate with this number, as ZooKeeper prints it."""
    return f"{CANDIDATE_PREFIX}{number:010d}"


def name_before(name: str) -> str | None:
    """Return the name that was given out just before this one under the same parent; None before the first.

    When a candidate of that name lives, it *is* the predecessor: no number lies between the two.
    """
    number = candidate_number(name)
    return candidate_name(number - 1) if number else None


def in_order(children: Iterable[str]) -> list[str]:
    """Return the candidates among the children, the oldest (who leads) first; what is no candidate is left out."""
    return sorted(filter(_is_candidate, children))


def predecessor_of(own: str, children: Iterable[str]) -> str | None:
    """Return the candidate just before ``own``, or None when it is the first."""
    return max((child for child in in_order(children) if child < own), default=None)


def strangers(children: Iterable[str]) -> list[str]:
    """Return, sorted, the children that are no part of an election."""
    return sorted(child for child in children if child not in (DONE, STEP_DOWN) and not _is_candidate(child))

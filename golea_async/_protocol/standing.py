"""Who leads and who follows whom: from what a candidate knows to what it does next. Pure: no I/O, no clock.

The candidate with the lowest number leads, and every other one follows the candidate just before it
(:mod:`.znodes`). What a candidate knows is its :class:`.view.View`; :func:`decide` says what follows from that. The
first row that fits counts:

==========================================  ====================================================================
what the view shows                         verdict
==========================================  ====================================================================
the candidate resigns                       `LEAVE`
``DONE`` is there, or was once              `OVER`: final, until the candidate resigns
the application has closed the client       `CLOSED`
the session of the nomination is lost       `LOST`: and the own znode with it
there is no connection                      `WAIT`: the role stays
there is no own znode                       `JOIN`
it was to move, and the reply was lost      `SETTLE`: nothing that is seen of the old one says anything
it was seen to be gone                      `MISSING`: ask the quorum, a server may lag, a session may end
an operator has it leave                    :class:`Deposed`
it is to go to the end of the line          `STEP_DOWN`

the own znode is there, ``DONE`` is not, both as this connection has shown, and:
- one just before it lives                  :class:`Follow` that one
- it is the first                           :class:`Lead`; without a lease that lasts, or while work that was told to
                                            stop goes on, `FIRST`

an answer that decides is on its way        `WAIT`
anything else                               :class:`Look` at who may be just before, or at all children
==========================================  ====================================================================

A candidate is known to be the first from a list that shows its own znode, or from an election node that has no other
child. ZooKeeper answers one connection from a state at least as new as the own create, and every candidate before the
own one was created before it: so the list, and the election node, have each of them, and on this connection that stays
so.

:func:`loss` says of the same view what ends a leader's belief. It is asked in the very call that reads an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .view import View, Watch


class Verdict(Enum):
    """What a candidate does next, where one word says all of it."""

    LEAVE = "the candidate has resigned"
    OVER = "the election is over for everybody"
    CLOSED = "the application has closed the client, and the session with it"
    LOST = "the session is lost, and the own znode with it"
    WAIT = "the role stays: nothing can be asked without a connection, or an answer is on its way that decides"
    JOIN = "there is no own znode yet"
    SETTLE = "the candidate was about to move, and may have moved: a search tells"
    MISSING = "the own znode was not seen; only a quorum operation on the live session can say whether it is gone"
    STEP_DOWN = "the candidate goes to the end of the line"
    FIRST = "the own candidate is the first, and leads as soon as there is a lease that lasts"


@dataclass(frozen=True, slots=True)
class Deposed:
    """An operator has the candidate stand no more."""

    by: str


@dataclass(frozen=True, slots=True)
class Follow:
    """The candidate just before, at this path, lives."""

    predecessor: str


@dataclass(frozen=True, slots=True)
class Lead:
    """The own candidate is the first, within this stretch of the lease."""

    stretch: int


@dataclass(frozen=True, slots=True)
class Look:
    """Not decided: look at this path, or list the children when it is None."""

    at: str | None


Decision = Verdict | Deposed | Follow | Lead | Look


def decide(view: View) -> Decision:  # noqa: C901, PLR0911, PLR0912  # one case for each row of the table above
    """Say what a view means for the candidate whose it is."""
    if view.is_leaving:
        return Verdict.LEAVE
    if view.done.is_there:
        return Verdict.OVER
    if view.is_closed:
        return Verdict.CLOSED
    if view.is_session_lost:
        return Verdict.LOST
    if not view.in_touch:
        return Verdict.WAIT
    if view.own is None:
        return Verdict.JOIN
    if view.is_moving:
        return Verdict.SETTLE
    if view.own.is_there is False:
        return Verdict.MISSING
    if view.order is not None and view.order.leaves:
        return Deposed(view.order.by)
    if view.steps_down or view.order is not None:
        return Verdict.STEP_DOWN
    if view.own.is_there and view.done.is_there is False:
        if view.before is not None and view.before.is_there:
            return Follow(view.before.path)
        if view.is_first:
            if view.lease is None or view.is_lease_short or view.is_held_back:
                return Verdict.FIRST
            return Lead(view.lease)
    return Verdict.WAIT if _is_answered_soon(view) else Look(view.hint)


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


def loss(view: View, stretch: int) -> Loss | None:  # noqa: PLR0911  # one case for each
    """Say why a candidate leads no more that began to lead within this stretch of the lease; None: it leads."""
    if view.is_leaving:
        return Loss.RESIGNED
    if view.done.is_there:
        return Loss.OVER
    if view.is_closed:
        return Loss.CLOSED
    if view.is_session_lost:
        return Loss.SESSION_LOST
    if view.own is None or view.own.is_there is False:
        return Loss.DELETED
    if view.steps_down or view.order is not None:
        return Loss.HANDED_OVER
    if view.before is not None and view.before.is_there:
        return Loss.OVERTAKEN
    return None if view.lease == stretch else Loss.LAPSED

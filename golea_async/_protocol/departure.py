"""Leaving, and what lost replies have left: a candidate's znodes are deleted or adopted, and no others are.

Numbers start again when an election node is deleted and made anew, so a path says nothing of whose znode is there.
ZooKeeper cannot delete "this znode, if it is still the one that I made": candidates are never written to, so all have
version 0. So whoever deletes one knows that it is the own one from an answer on this connection, with nothing unread
in the socket and no pause since. What is on its way by then cannot be known.
"""

from __future__ import annotations

from aiozk import exc

from golea_async._zookeeper.replies import is_missing
from golea_async.exceptions import ElectionError

from .candidate import Candidate
from .claims import Nomination
from .refusals import NotDoneError, accept, pause_before, require_done
from .steps import ConnectionLostError, ask, catch_up, next_event, pause, work_stopped
from .view import Sight, Watch


async def withdraw(me: Candidate) -> None:
    """Delete everything of this candidate, for as long as it takes: until it, or its session, is gone.

    Only when the work is done: a successor must not overlap with work that is still stopping.
    """
    await work_stopped()
    while not me.is_withdrawn:
        try:
            if me.view.is_closed:
                await _withdraw_with_client(me)
                return
            if me.view.in_touch:
                await _remove(me)
                me.is_withdrawn = True
            else:
                await next_event()
        except ConnectionLostError:
            continue
        except NotDoneError:
            await pause_a_little(me)
        except ElectionError as refused:
            me.withdrawal_error = refused
            return


async def _remove(me: Candidate) -> None:
    """Delete the own znode, and whatever a lost session or a lost reply has left."""
    await delete_former(me)
    if me.own is not None:
        await _delete_own(me, me.own)
    await sweep(me)


async def _delete_own(me: Candidate, own: Nomination) -> None:
    has_followed = me.view.before is not None
    if await delete(me, own):
        if me.claims is not None:
            me.claims.note_departure(own, has_followed=has_followed)
    else:
        me.belief.explain(me.identity.deleted() if own.session_id == me.session_id else None)
    me.lose_znode()


async def delete_former(me: Candidate) -> None:
    """Delete the znode of a lost session where it still stands."""
    if me.former is not None:
        await delete(me, me.former)
        me.former = None


async def sweep(me: Candidate) -> None:
    """Delete the znodes that a lost reply may have left; nothing to do when the name is not in doubt."""
    if me.claims is not None and me.data in me.claims.doubtful:
        await delete_leftovers(me, await me.claims.search(me.data))


async def delete_leftovers(me: Candidate, leftovers: list[Nomination]) -> None:
    """Delete znodes that a search has claimed; whatever comes between, another search may claim them again."""
    try:
        for leftover in leftovers:
            await delete(me, leftover)
    finally:
        for leftover in leftovers:
            if me.claims is not None:
                me.claims.give_up(leftover)


async def adopt(me: Candidate, found: list[Nomination]) -> None:
    """Take the oldest of the znodes that lost replies have left, and delete the others."""
    oldest, *others = found
    assert me.claims is not None, "they were searched for"
    try:
        await delete_leftovers(me, others)
    except BaseException:
        me.claims.give_up(oldest)  # whoever searches again has to find it
        raise
    me.stand_at(oldest)


async def delete(me: Candidate, nomination: Nomination) -> bool:
    """Delete this very znode; return whether it stood."""
    if not await make_sure(me, nomination):
        return False
    (deleted,) = await ask(me.requests.delete(nomination.path))
    accept(deleted, exc.NoNode, path=nomination.path, **me.identity.names)
    return True


async def make_sure(me: Candidate, nomination: Nomination) -> bool:
    """Return whether it is this very znode that stands at its path. Where its watch is silent, that is a look at it.

    What is sent next, with nothing awaited before, can be about its path.
    """
    sight, is_unreadable = me.prepare_to_delete(nomination), False
    while True:
        is_recent = await catch_up()
        if sight.is_there is False:
            return False
        if sight.watch is Watch.ASKED:
            if not me.view.in_touch:
                raise ConnectionLostError  # its answer does not come any more
            await next_event()
            continue
        is_seen = is_unreadable or (sight.is_there and sight.watch is Watch.SET)
        if is_seen and is_recent and not me.view.needs_barrier:  # else what was seen may be old
            return True
        is_unreadable = await _look(me, nomination, sight)


async def _look(me: Candidate, nomination: Nomination, sight: Sight) -> bool:
    """Look, behind a barrier, and with a watch, whether this very znode is there; return whether it cannot be read.

    Of a znode that may not be read nothing is shown but that there is one. It is this one if the election node is
    older: within the life of an election node no number is given out twice.
    """
    requests = me.requests
    barrier, *shown, node = await ask(
        requests.check(nomination.path), *me.watching(sight), requests.exists(me.resource)
    )
    require_done(barrier)
    me.view.needs_barrier = False
    if not shown or not isinstance(shown[0], exc.NoAuth):
        me.raise_refusal()
        return False
    accept(node, exc.NoNode, path=me.resource, **me.identity.names)
    if is_missing(node) or node.stat.created_zxid > nomination.czxid:
        sight.is_there = False
    return True


async def _withdraw_with_client(me: Candidate) -> None:
    """Wait for the end of the session: the client will send nothing else any more, and the znode goes with it."""
    while me.is_closing and not await pause(me.session_timeout):  # as long as aiozk tries to close its session
        pass
    if me.is_closed_in_order:
        me.is_withdrawn = True
    else:
        me.withdrawal_error = me.identity.closed_too_early()


async def pause_a_little(me: Candidate) -> None:
    """Wait, since ZooKeeper has too much to do. A resignation or a lost connection ends that; other news do not."""
    me.tries += 1
    before = (me.view.in_touch, me.view.is_leaving)
    while not await pause(pause_before(me.tries)) and before == (me.view.in_touch, me.view.is_leaving):
        pass

"""Giving the place away, and standing on: a candidate goes to the end of the line in one transaction.

    multi[check(step_down, version), check(target), create(new), delete(own)]

The checks only where an operator has asked (:mod:`.appeal`): if the operator or the target is gone nothing is applied,
and the candidate stands where it stood. ZooKeeper carries all of it out or nothing, so at no moment has the candidate
no znode, or two.

Invariant: from the sending on until the reply nothing is concluded from what is seen of the old znode. Its deletion is
told before the reply, and a check of it fails. The coroutine waits for the reply alone, and when that is lost the view
is `is_moving` until :func:`settle` knows the outcome:

- The old znode stands, behind a barrier: the candidate has not moved, and never will. The transaction has a number of
  this session before the barrier's, and reaches ZooKeeper's leader before it, or, from a server that the session has
  left, is refused.
- It is gone: a search finds the new one, as after a nomination whose reply was lost. If there is none, somebody has
  deleted the candidate.
"""

from __future__ import annotations

from aiozk import exc

from golea_async._zookeeper.replies import Reply, failed_operation, first_failure, is_missing, is_refused
from golea_async._zookeeper.requests import Request
from golea_async.exceptions import ElectionError, NotAuthorizedError

from .appeal import Order, read_appeal
from .candidate import Candidate
from .claims import Nomination
from .departure import adopt, make_sure
from .oddities import strange_request, used_up_numbers
from .refusals import NotDoneError, accept, is_present, leaves_doubt, require_done
from .standing import Verdict, decide
from .steps import ask, work_stopped
from .view import Watch
from .znodes import CANDIDATE_PREFIX


async def read_request(me: Candidate) -> None:
    """Read what an operator asks. Whatever is the matter with that, this candidate stands."""
    view, own = me.view, me.own
    assert view.request is not None, "it was seen"
    assert own is not None, "who has no znode is asked for nothing"
    view.is_request_read = True  # unless it changes meanwhile
    (shown,) = await ask(me.requests.get(view.request.path))
    try:
        require_done(shown)
    except NotDoneError:
        view.is_request_read = False
        raise
    if is_refused(shown):
        if not is_missing(shown):
            me.belief.notice(strange_request(view.request.path, f"it cannot be read ({shown})"))
        return
    appeal = read_appeal(shown.data)
    if appeal is None:
        me.belief.notice(strange_request(view.request.path, "it says nothing that is understood"))
    elif own.name not in appeal.candidates:
        view.order = None
    elif me.declined != (shown.stat.created_zxid, shown.stat.version):
        target = None if appeal.to is None else f"{me.resource}/{appeal.to}"
        me.declined = (shown.stat.created_zxid, shown.stat.version)  # whatever comes of it, that is done once
        view.order = Order(appeal.by, shown.stat.version, target, appeal.leave)
        me.reconsider()


async def step_down(me: Candidate) -> None:
    """Go to the end of the line, once the work is done: a successor must not overlap with work that is still stopping.

    :raises ElectionError: when this candidate must not stand any more.
    """
    view, own = me.view, me.own
    order = view.order
    me.belief.give_way(me.identity.handed_over(order))
    if await _has_read_request(me):
        return
    if not await work_stopped(or_news=True):
        return
    assert own is not None, "the verdict is about it"
    if not await make_sure(me, own) or view.order is not order or decide(view) != Verdict.STEP_DOWN:
        return  # there is news
    if view.own is not None and view.own.watch is not Watch.SET:
        me.has_moved(me.identity.error(NotAuthorizedError, "cannot step down: this client may not read its own znodes"))
        return
    conditions = _conditions(me, order)
    create = me.requests.create(f"{me.resource}/{CANDIDATE_PREFIX}", me.data, ephemeral=True, sequential=True)
    reply, new = await _move(me, own, [*conditions, create, me.requests.delete(own.path)])
    failure = first_failure(reply)
    if new is not None or failure is None:
        assert new is not None, "nothing was refused"
        _stand_behind(me, own, new)
    elif leaves_doubt(failure):
        view.is_moving, me.doubtful_refusal = True, _refusal(me, failure)
    else:
        _stay(me, reply, order, len(conditions))


async def _has_read_request(me: Candidate) -> bool:
    """Read a request that has come meanwhile; return whether there was one. It may be to leave, and that is final.

    The watch comes first, so that no later request goes unseen. Where none was ever set here, none is.
    """
    request = me.view.request
    if request is not None and me.view.is_request_unwatched and request.is_there is not None:
        await ask(behind=me.watching(request))
    if not me.view.has_unread_request:
        return False
    await read_request(me)
    return True


def _conditions(me: Candidate, order: Order | None) -> list[Request]:
    if order is None:
        return []
    assert me.view.request is not None, "it was read"
    check = me.requests.check_operation
    asked = check(me.view.request.path, order.version)
    return [asked] if order.target is None else [asked, check(order.target)]


async def _move(me: Candidate, own: Nomination, operations: list[Request]) -> tuple[Reply, Nomination | None]:
    """Send the transaction; return its reply, and the new znode, unless ZooKeeper has refused.

    Without an answer the name is in doubt, also when nobody drives this coroutine any more.
    """
    claims, claimed = me.claims, None
    assert claims is not None, "it has a znode"
    me.view.is_moving = is_doubtful = True
    try:
        (reply,) = await ask(me.requests.multi(*operations))
        failure = first_failure(reply)
        if failure is not None:
            me.view.is_moving, is_doubtful = False, leaves_doubt(failure)
            return reply, None
        # In a transaction ZooKeeper tells of the new znode only its path. Claimed at once, no search finds it.
        path = f"{me.resource}/{reply.responses[-2].path.rpartition('/')[2]}"
        claimed = Nomination(path, own.czxid, own.session_id)
        claims.claim(claimed)
        (found,) = await ask(me.requests.exists(path))
        accept(found, exc.NoNode, path=path, **me.identity.names)
        me.view.is_moving = is_doubtful = False
        return reply, claimed if is_missing(found) else Nomination(path, found.stat.created_zxid, own.session_id)
    finally:
        if is_doubtful:
            claims.doubt(me.data)
            if claimed is not None:
                claims.give_up(claimed)


def _stand_behind(me: Candidate, former: Nomination, new: Nomination) -> None:
    """Have the new znode in place of the former one, which is gone."""
    assert me.claims is not None, "it has a znode"
    me.claims.claim(new)
    me.claims.note_departure(former, has_followed=me.view.before is not None)
    me.lose_znode()
    me.has_moved()
    me.stand_at(new)


def _stay(me: Candidate, reply: Reply, order: Order | None, create: int) -> None:
    """Stand where it stood, since ZooKeeper has refused. The create is at this place of the transaction.

    :raises NotDoneError: when ZooKeeper had no time for it.
    """
    place, failure = failed_operation(reply) or (create, first_failure(reply))
    if place < create:  # the operator has given up, or asks for something else, or the target is gone
        me.view.order, me.view.is_request_read = None, False
    elif place > create and is_missing(failure):
        assert me.view.own is not None, "it is what was to be deleted"
        me.view.own.is_there = False
    elif place == create and is_missing(failure):
        me.view.done.is_there = True  # the election node is gone, and its candidates with it
    else:
        refusal = _refusal(me, failure)
        if order is not None:
            me.belief.notice(me.identity.about(f"was asked by {order.by} to step down, and cannot: {refusal}"))
        me.has_moved(refusal)


def _refusal(me: Candidate, failure: Reply) -> ElectionError:
    if isinstance(failure, exc.NodeExists):
        return me.identity.error(ElectionError, f"cannot step down: {used_up_numbers(me.resource)}")
    try:
        accept(failure, path=me.resource, **me.identity.names)
    except ElectionError as refusal:
        return refusal
    raise AssertionError(failure)


async def settle(me: Candidate) -> None:
    """Find out whether it has moved: the reply was lost.

    :raises ElectionOverError: when the election was ended or deleted.
    :raises CandidateDeletedError: when it has no znode any more.
    """
    own, requests, names = me.own, me.requests, me.identity.names
    assert own is not None, "it was to be deleted"
    assert me.claims is not None, "it was claimed"
    barrier, shown, done, parent = await ask(
        requests.check(me.resource),
        requests.get(own.path),
        requests.exists(me.view.done.path),
        requests.exists(me.resource),
    )
    require_done(barrier, parent)
    accept(shown, exc.NoNode, path=own.path, **names)
    if own.is_shown_by(shown):
        me.view.is_moving = False
        assert me.view.own is not None, "it has a znode"
        me.view.own.is_there = True
        refusal, me.doubtful_refusal = me.doubtful_refusal, None
        if refusal is not None:
            me.has_moved(refusal)
        return
    found = await me.claims.search(me.data)
    me.lose_znode()
    if found:
        me.has_moved()
        await adopt(me, found)
        return
    if is_missing(parent) or is_present(done, path=me.view.done.path, **names):
        raise me.identity.over()
    raise me.identity.deleted()

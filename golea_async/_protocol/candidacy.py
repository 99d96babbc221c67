"""The life of one candidate: nominate, take a position, follow, lead, leave.

:func:`live` is one coroutine, which decides everything and does no I/O: it yields the steps of :mod:`.steps`, and
whoever drives it (``_driver.py``, a unit test) resumes it with what has come of them. What happens around it
meanwhile is news to the :class:`.candidate.Candidate`, and changes its view at once. Then the coroutine goes on.

Invariant: between two steps nothing happens, and each decision is made from the whole view. So it does not matter at
which step news reach a candidate.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from aiozk import exc

from golea_async._zookeeper.log import Log
from golea_async._zookeeper.replies import is_missing
from golea_async._zookeeper.requests import Request
from golea_async.exceptions import ElectionError

from .candidate import Candidate
from .claims import Nomination
from .departure import adopt, delete_former, pause_a_little, sweep, withdraw
from .handing_over import read_request, settle, step_down
from .oddities import other_recipes, smaller_token
from .refusals import NotDoneError, accept, is_present, require_done
from .standing import Decision, Deposed, Follow, Lead, Look, Verdict, decide
from .steps import ConnectionLostError, ask, next_event, pause
from .view import Sight

QUIET = 0.05
"""Seconds without news after which a candidate watches for operators' requests: one that comes and goes never does."""

_logger = Log(logging.getLogger("golea_async.election"))


async def live(me: Candidate) -> None:
    """Stand until the election is over for this candidate, then take what is left of it out of ZooKeeper."""
    try:
        await stand(me)
    except ElectionError as error:
        me.belief.end(error)
    except Exception as crash:
        fields = me.identity.fields(me.belief.latest.role, "crashed", me.belief.latest.fencing_token)
        _logger.exception("%s", me.identity.about("has crashed: this is a bug in golea_async"), extra=fields)
        me.belief.end(me.identity.crashed(crash))
    else:
        me.belief.end(None)
    await withdraw(me)


async def stand(me: Candidate) -> None:
    """Do what the view says, again and again, until this candidate resigns.

    :raises ElectionError: when the election is over for this candidate.
    """
    while True:
        try:
            if me.refusal is not None:
                me.raise_refusal()
            to_do = follow_up(me, decide(me.view))
            if to_do is None:
                return
            await to_do
        except ConnectionLostError:
            _logger.debug("%s", me.identity.about("lost its connection"))
        except NotDoneError:
            await pause_a_little(me)


def follow_up(me: Candidate, decision: Decision) -> Awaitable[None] | None:  # noqa: C901, PLR0911, PLR0912  # one each
    """Return what follows from a decision, to be awaited; None: the candidate has resigned.

    :raises ElectionError: when the election is over for this candidate.
    """
    match decision:
        case Look(at):
            return look(me, at)
        case Follow(predecessor):
            me.belief.follow(own(me), predecessor)
            return next_view(me)
        case Lead(stretch):
            me.belief.lead(own(me), stretch)
            return next_view(me)
        case Deposed(by):
            raise me.identity.deposed(by)
        case Verdict.FIRST:
            me.belief.be_first(own(me))
            return next_view(me)
        case Verdict.WAIT:
            return next_event()
        case Verdict.JOIN:
            return join(me)
        case Verdict.STEP_DOWN:
            return step_down(me)
        case Verdict.SETTLE:
            return settle(me)
        case Verdict.MISSING:
            return ask_quorum(me)
        case Verdict.LOST:
            return rejoin(me)
        case Verdict.LEAVE:
            return None
        case Verdict.CLOSED:
            raise me.identity.client_closed()
        case Verdict.OVER:
            raise me.identity.over()


def own(me: Candidate) -> Nomination:
    """Return the own znode, which the verdict is about."""
    assert me.own is not None, "the verdict is about it"
    return me.own


async def rejoin(me: Candidate) -> None:
    """Take note that the session is lost, and the znode with it.

    A znode whose ``ephemeralOwner`` is another session is never counted as one's own.

    :raises SessionExpiredError: unless the candidate stands again.
    """
    error = me.identity.session_lost(rejoins=me.rejoins)
    if not me.rejoins:
        raise error
    me.former = me.own or me.former
    me.lose_znode()
    me.claims = None
    me.view.is_session_lost = False
    me.belief.rejoin(error)


async def join(me: Candidate) -> None:
    """Get a znode in this session: create one, or adopt the one of a nomination whose reply was lost.

    :raises ElectionError: when the candidate must not stand.
    """
    claims = me.claims = me.claims_of_client.of(me.session_id, me.resource)
    me.identity.candidate_id = None  # of a lost session
    if me.former is not None and not me.is_working:
        # A client may give up a session that is alive. While work is stopping the znode stays, and goes by itself.
        await delete_former(me)
    if me.data in claims.doubtful:
        me.is_withdrawn = False
        found = await claims.search(me.data)
        if found:
            await adopt(me, found)
            return
    if decide(me.view) is Verdict.JOIN:
        me.is_withdrawn = False
        await nominate(me)


async def nominate(me: Candidate) -> None:
    """Create a znode. Behind that travel the questions for the election node and for ``DONE``.

    ZooKeeper answers in order, so the answers show what a look after the create would show, without a round trip of
    its own: whether the new candidate is alone, and that the election is not over. They are news: meanwhile it looks at
    the one that may be before it.
    """
    claims = me.claims
    assert claims is not None, "join() has them"
    nomination, me.view.awaits_node, seen_token = await claims.nominate(me.data, *me.watching(me.view.done))
    me.belief.notice(smaller_token(nomination.path, nomination.czxid, seen_token))
    me.stand_at(nomination)
    me.has_moved()  # nobody is behind it


async def look(me: Candidate, at: str | None) -> None:
    """Find out, in one round trip, what decides and is not known: who is just before, or all children.

    Joining behind a candidate that lives takes no list: a thousand that join do not fetch a thousand lists.
    """
    barrier = [me.requests.check(me.resource)] if me.view.needs_barrier else []
    if at is None:
        await look_at_all(me, barrier)
    else:
        await look_at(me, at, barrier)
    me.view.needs_barrier = False


async def look_at(me: Candidate, before: str, barrier: list[Request]) -> None:
    """Look at the candidate that may be just before, and behind that at the own znode. The answers are news."""
    view = me.view
    if view.before is None:
        view.before = Sight(before)
    replies = await ask(*barrier, behind=me.watching(view.done, view.before, view.own))
    if barrier:
        require_done(replies[0])


async def look_at_all(me: Candidate, barrier: list[Request]) -> None:
    """List the children. What a lost reply may have left stands before this candidate, and goes first."""
    view, nomination = me.view, own(me)
    await sweep(me)
    keep_alive = [me.requests.check(nomination.path)] if view.lease is None else []  # the first needs a lease at once
    *replies, listed = await ask(
        *barrier, *keep_alive, me.requests.children(me.resource), behind=me.watching(view.done, view.own)
    )
    if replies:
        require_done(*replies)
    accept(listed, exc.NoNode, path=me.resource, **me.identity.names)
    # Only when the election node is made anew do names come again.
    is_ours = not is_missing(listed) and listed.stat.created_zxid < nomination.czxid
    if not is_missing(listed):
        me.belief.notice(other_recipes(me.resource, listed.children), f"others in {me.resource}")
    view.listed(nomination.name, me.resource, listed.children if is_ours else None)
    me.reconsider()


async def ask_quorum(me: Candidate) -> None:
    """Ask the quorum whether the own znode is gone.

    Its deletion is also what a client hears of its own expiry, and a server that lags may not have it yet. Only the
    quorum's word on the live session is final.

    :raises ElectionOverError: when the election was ended or deleted.
    :raises CandidateDeletedError: when somebody deleted this candidate alone.
    """
    nomination, requests, names = own(me), me.requests, me.identity.names
    checked, shown, done, parent = await ask(
        requests.check(nomination.path),
        requests.get(nomination.path),
        requests.exists(me.view.done.path),
        requests.exists(me.resource),
    )
    accept(checked, exc.NoNode, path=nomination.path, **names)
    accept(shown, exc.NoNode, path=nomination.path, **names)
    require_done(parent)
    if not is_missing(checked) and nomination.is_shown_by(shown):
        assert me.view.own is not None, "it is the own znode that was seen to be missing"
        me.view.own.is_there = True
        return
    me.lose_znode()
    if is_missing(parent) or is_present(done, path=me.view.done.path, **names):
        raise me.identity.over()
    raise me.identity.deleted()


async def next_view(me: Candidate) -> None:
    """Watch what the decision did not need to be watched, and wait for news, or read what an operator asks."""
    view, me.tries = me.view, 0
    if unwatched := me.watching(view.done, view.own, view.before):
        await ask(behind=unwatched)  # goes on at once
    if view.is_request_unwatched:
        if not await pause(QUIET):
            return
        await ask(behind=me.watching(view.request))
    if view.has_unread_request:
        await read_request(me)
    else:
        await next_event()

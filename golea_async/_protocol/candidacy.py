"""The life of one candidate: nominate, take a position, follow, lead, leave.

:func:`live` is one coroutine, which decides everything and does no I/O: it yields the steps of :mod:`.steps`, and
whoever drives it (the runner of a client, a unit test) resumes it with what has come of them. What happens around it
meanwhile (a watch's event, a connection that comes or goes, a resignation) changes the candidate's view at once, by the
methods of :class:`Candidate`, and ends its belief where :func:`.standing.loss` says so. Then the coroutine goes on.

Invariant: between two steps nothing happens, and each decision is made from the whole view. So it does not matter at
which step news reach a candidate.
"""

from __future__ import annotations

import logging

from aiozk import exc, protocol

from golea_async._zookeeper.replies import Reply, accept, is_missing, is_present, is_refused
from golea_async._zookeeper.requests import Request
from golea_async.exceptions import ElectionError

from .claims import Claims, ClientClaims, Nomination, stands
from .identity import Identity
from .role import Belief
from .standing import (
    DONE,
    Closed,
    First,
    Follow,
    Join,
    Lead,
    Leave,
    Look,
    Lost,
    Missing,
    Over,
    Sight,
    View,
    Wait,
    Watch,
    decide,
    name_before,
)
from .steps import ConnectionLostError, Known, ask, next_event, pause, work_stopped

_logger = logging.getLogger("golea_async.election")


class Candidate:
    """One candidate: what it is, what it knows, and what it believes.

    :ivar view: what is known of ZooKeeper and of the client.
    :ivar own: the znode of its nomination, until that is known to be gone.
    :ivar former: the znode of an earlier session, until that is known to be gone.
    :ivar claims: those of the session in which it was nominated, or is being nominated.
    :ivar session_id: of the client's session; it is kept up to date by who drives the candidate, as the next four are.
    :ivar session_timeout: T in seconds.
    :ivar is_working: work within an earlier leadership has not ended.
    :ivar is_closing: ZooKeeper has not answered yet that the client closes its session.
    :ivar is_closed_in_order: the client was closed, and its session with it.
    :ivar is_withdrawn: nothing of this candidate can be in ZooKeeper.
    :ivar withdrawal_error: why deleting it was given up, or None.
    """

    def __init__(self, identity: Identity, data: bytes, claims: ClientClaims, *, rejoins: bool) -> None:
        self.identity = identity
        self.resource = identity.resource
        self.data = data
        self.requests = claims.requests
        self.rejoins = rejoins
        self.belief = Belief(identity, rejoins=rejoins)
        self.view = View(Sight(f"{identity.resource}/{DONE}"))
        self.own: Nomination | None = None
        self.former: Nomination | None = None
        self.claims: Claims | None = None
        self.claims_of_client = claims
        self.session_id = 0
        self.session_timeout = 0.0
        self.is_working = self.is_closing = self.is_closed_in_order = False
        self.is_withdrawn = True
        self.withdrawal_error: ElectionError | None = None
        self._refusal: ElectionError | None = None  # of a request whose reply nobody waits for

    # News: each changes the view, and ends belief where it must, before the coroutine goes on.

    def leave(self) -> None:
        """Resign: belief and statuses end at once."""
        self.view.is_leaving = True
        self.belief.reconsider(self.view)
        self.belief.end(None)

    def hear_of_end(self) -> None:
        """Stand no longer, since this process has ended the election: also where the nomination came only then."""
        self.view.done.is_there = True
        self.belief.reconsider(self.view)

    def hear(self, event: int, path: str) -> None:
        """Take note of a watch's event. ZooKeeper's events are numbered as aiozk's ``WatchEvent`` has them."""
        sight = self.view.sight_of(path)
        if sight is not None:
            is_there = {protocol.WatchEvent.CREATED: True, protocol.WatchEvent.DELETED: False}.get(event)
            self.view.heard(sight, is_there=is_there)
            self.belief.reconsider(self.view)

    def read(self, path: str, reply: Reply) -> bool:
        """Take note of the reply to a request that sets a watch; return whether ZooKeeper has set a watch for it.

        A reply whose event has come before says nothing any more.
        """
        sight = self.view.sight_of(path)
        if sight is None or sight.watch is not Watch.ASKED:
            return False
        try:
            is_there = self._shows(sight, reply)
        except ElectionError as refused:
            sight.watch, self._refusal = Watch.NONE, refused
        else:
            self.view.shown(sight, is_there=is_there)
            self.belief.reconsider(self.view)
        return sight.watch is Watch.SET

    def _shows(self, sight: Sight, reply: Reply) -> bool | None:
        if isinstance(reply, Known):
            return reply.is_there
        if sight is self.view.done:
            return is_present(reply, path=sight.path, **self.identity.names)
        accept(reply, exc.NoNode, path=sight.path, **self.identity.names)
        if sight is self.view.own and self.own is not None:
            return self.own.is_shown_by(reply)
        return not is_refused(reply)

    # What the coroutine asks.

    def raise_refusal(self) -> None:
        """:raises ElectionError: when ZooKeeper has refused a request whose reply nobody waits for."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal

    def watching(self, *sights: Sight | None) -> tuple[Request, ...]:
        """Return the requests that set the watches of these znodes, for those that are not set or asked for."""
        wanted = [sight for sight in sights if sight is not None and sight.watch is Watch.NONE]
        for sight in wanted:
            sight.watch = Watch.ASKED  # its event can come before the reply
        requests = self.requests
        return tuple(
            requests.exists(sight.path, watch=True) if sight is self.view.done else requests.get(sight.path, watch=True)
            for sight in wanted
        )

    def stand_at(self, own: Nomination) -> None:
        """Have a znode, which was just seen on this connection."""
        assert self.claims is not None, "a znode is claimed"
        before = name_before(own.name)
        # In doubt, list: the number before may be the znode of a nomination whose reply was lost, nobody's but ours.
        if before is None or self.claims.is_doubtful(self.data) or self.claims.has_departed(before):
            self.view.hint = None
        else:
            self.view.hint = f"{self.resource}/{before}"
        self.own, self.identity.candidate_id = own, own.path
        self.view.own, self.view.needs_barrier = Sight(own.path, is_there=True), False

    def lose_znode(self) -> None:
        """Have no znode any more."""
        if self.claims is not None and self.own is not None:
            self.claims.give_up(self.own)
        self.own = self.view.own = self.view.before = self.view.hint = None
        self.view.is_first = False


async def live(me: Candidate) -> None:
    """Stand until the election is over for this candidate, then take what is left of it out of ZooKeeper."""
    try:
        await stand(me)
    except ElectionError as error:
        me.belief.end(error)
    except Exception as crash:
        _logger.exception("%s", me.identity.about("has crashed: this is a bug in golea_async"))
        me.belief.end(me.identity.crashed(crash))
    else:
        me.belief.end(None)
    await withdraw(me)


async def stand(me: Candidate) -> None:  # noqa: C901, PLR0912  # one case for each verdict
    """Do what the view says, again and again, until this candidate resigns.

    :raises ElectionError: when the election is over for this candidate.
    """
    while True:
        try:
            me.raise_refusal()
            match decide(me.view):
                case Leave():
                    return
                case Over():
                    raise me.identity.over()
                case Closed():
                    raise me.identity.client_closed()
                case Lost():
                    rejoin(me)
                case Wait():
                    await next_event()
                case Join():
                    await join(me)
                case Missing():
                    await ask_quorum(me)
                case Look(at):
                    await look(me, at)
                case Follow(predecessor):
                    me.belief.follow(own(me), predecessor)
                    await next_view(me)
                case First():
                    me.belief.be_first(own(me))
                    await next_view(me)
                case Lead(stretch):
                    me.belief.lead(own(me), stretch)
                    await next_view(me)
        except ConnectionLostError:
            _logger.debug("%s", me.identity.about("lost its connection"))


def own(me: Candidate) -> Nomination:
    """Return the own znode, which the verdict is about."""
    assert me.own is not None, "the verdict is about it"
    return me.own


def rejoin(me: Candidate) -> None:
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
    me.identity.candidate_id = None


async def join(me: Candidate) -> None:
    """Get a znode in this session: create one, or adopt the one of a nomination whose reply was lost.

    Behind the create travel the questions for the election node and for ``DONE``. ZooKeeper answers in order, so their
    answers show what a look after the create would show, without a round trip of its own: whether the new candidate is
    alone, and that the election is not over.
    """
    claims = me.claims = me.claims_of_client.of(me.session_id, me.resource)
    if me.former is not None and not me.is_working:
        # A client may give up a session that is alive. While work is stopping the znode stays, and goes by itself.
        await delete_former(me)
    if claims.is_doubtful(me.data):
        me.is_withdrawn = False
        adopted = await claims.adopt(me.data)
        if adopted is not None:
            me.stand_at(adopted)
            return
    if decide(me.view) != Join():
        return
    me.is_withdrawn = False
    may_be_alone = claims.may_be_alone
    node = [me.requests.get(me.resource)] if may_be_alone else []
    nomination, shown = await claims.nominate(me.data, *node, *me.watching(me.view.done))
    me.stand_at(nomination)
    me.view.is_first = may_be_alone and is_alone(nomination, shown[0])


def is_alone(nomination: Nomination, node: Reply) -> bool:
    """Return whether the election node shows that its only child is this znode: its last one came with that."""
    return not is_refused(node) and node.stat.num_children == 1 and node.stat.last_modified_children == nomination.czxid


async def look(me: Candidate, at: str | None) -> None:
    """Find out, in one round trip, what decides and is not known: who is just before, or all children.

    Joining behind a candidate that lives takes no list: a thousand that join do not fetch a thousand lists.
    """
    view, nomination = me.view, own(me)
    barrier = [me.requests.check(me.resource)] if view.needs_barrier else []
    if at is not None:
        if view.before is None or view.before.path != at:
            view.before = Sight(at)
        is_seen = view.own is not None and view.own.is_there is True
        needed = me.watching(view.done, view.before, None if is_seen else view.own)
        await ask(*barrier, *needed, behind=me.watching(view.own))
    else:
        if me.claims is not None:
            await me.claims.sweep(me.data)  # what a lost reply has left may stand before this candidate
        if view.lease is None:  # whoever finds itself the first needs a lease at once
            barrier.append(me.requests.check(nomination.path))
        *_, listed = await ask(*barrier, me.requests.children(me.resource), behind=me.watching(view.done, view.own))
        accept(listed, exc.NoNode, path=me.resource, **me.identity.names)
        # Only when the election node is made anew do names come again.
        is_ours = not is_missing(listed) and listed.stat.created_zxid < nomination.czxid
        view.listed(nomination.name, me.resource, listed.children if is_ours else None)
        me.belief.reconsider(view)
    view.needs_barrier = False


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
    if not is_missing(checked) and nomination.is_shown_by(shown):
        assert me.view.own is not None, "it is the own znode that was seen to be missing"
        me.view.own.is_there = True
        return
    me.lose_znode()
    if is_missing(parent) or is_present(done, path=me.view.done.path, **names):
        raise me.identity.over()
    raise me.identity.deleted()


async def next_view(me: Candidate) -> None:
    """Watch what the decision did not need to be watched, and wait for news."""
    view = me.view
    if rest := me.watching(view.own, view.done, view.before):
        await ask(behind=rest)  # goes on at once
    await next_event()


async def withdraw(me: Candidate) -> None:
    """Delete everything of this candidate, for as long as it takes: until it, or its session, is gone.

    Only when the work is done: a successor must not overlap with work that is still stopping.
    """
    await work_stopped()
    while not me.is_withdrawn:
        try:
            if me.view.is_closed:
                await withdraw_with_client(me)
                return
            if me.view.in_touch:
                await remove(me)
                me.is_withdrawn = True
            else:
                await next_event()
        except ConnectionLostError:
            continue
        except ElectionError as refused:
            me.withdrawal_error = refused
            return


async def remove(me: Candidate) -> None:
    """Delete the own znode, and whatever a lost session or a lost reply has left."""
    if me.former is not None:
        await delete_former(me)
    if me.own is not None:
        await delete_own(me, me.own)
    if me.claims is not None:
        await me.claims.sweep(me.data)


async def delete_own(me: Candidate, nomination: Nomination) -> None:
    """Delete the own znode, and no other: while the watch of what was shown is silent it stands, else look first."""
    sight, has_followed = me.view.own, me.view.before is not None
    is_sure = sight is not None and sight.is_there and sight.watch is Watch.SET
    if not is_sure and not await stands(nomination, me.requests):
        me.belief.explain(me.identity.deleted() if nomination.session_id == me.session_id else None)
        me.lose_znode()
        return
    (deleted,) = await ask(me.requests.delete(nomination.path))
    accept(deleted, exc.NoNode, path=nomination.path, **me.identity.names)
    if me.claims is not None:
        me.claims.note_departure(nomination, has_followed=has_followed)
    me.lose_znode()


async def delete_former(me: Candidate) -> None:
    """Delete the znode of a lost session where it still stands."""
    former = me.former
    if former is not None and await stands(former, me.requests):
        (deleted,) = await ask(me.requests.delete(former.path))
        accept(deleted, exc.NoNode, path=former.path, **me.identity.names)
    me.former = None


async def withdraw_with_client(me: Candidate) -> None:
    """Wait for the end of the session: the client will send nothing else any more, and the znode goes with it."""
    while me.is_closing and not await pause(me.session_timeout):  # as long as aiozk tries to close its session
        pass
    if me.is_closed_in_order:
        me.is_withdrawn = True
    else:
        me.withdrawal_error = me.identity.closed_too_early()

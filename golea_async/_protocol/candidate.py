"""One candidate: what it is, what it knows and what it believes; and the news that change that.

A watch's event, a change of connection or a resignation can come at any time. Each changes the view at once, and ends
belief where :func:`.standing.loss` says so, before the candidate's coroutine goes on.
"""

from __future__ import annotations

from aiozk import exc, protocol

from golea_async._zookeeper.replies import Reply, is_missing
from golea_async._zookeeper.requests import Request
from golea_async.exceptions import ElectionError

from .claims import Claims, ClientClaims, Nomination
from .identity import Identity
from .oddities import OWNERS_OF_LASTING_ZNODES, lasting_candidate, scarce_numbers, used_up_numbers
from .refusals import NotDoneError, accept, is_present, require_done
from .role import Belief, Moved
from .steps import Known
from .view import Sight, View, Watch
from .znodes import DONE, STEP_DOWN, WARNED_FROM, Supply, name_before, supply_after

_EVENTS = {protocol.WatchEvent.CREATED: True, protocol.WatchEvent.DELETED: False}


class Candidate:
    """One candidate. Whoever drives its coroutine keeps the first seven of these up to date.

    :ivar view: what is known of ZooKeeper and of the client.
    :ivar session_id: of the client's session.
    :ivar session_timeout: T in seconds.
    :ivar is_working: work within an earlier leadership has not ended.
    :ivar is_closing: ZooKeeper has not answered yet that the client closes its session.
    :ivar is_closed_in_order: the client was closed, and its session with it.
    :ivar belief: its role, and what was not told of that yet.
    :ivar own: the znode of its nomination, until that is known to be gone.
    :ivar former: the znode of an earlier session, until that is known to be gone.
    :ivar claims: those of the session in which it was nominated, or is being nominated.
    :ivar refusal: of a request whose reply nobody waited for.
    :ivar tries: how often ZooKeeper had no time, since it last did what was asked.
    :ivar declined: czxid and version of the latest request of an operator's with which this candidate is through.
    :ivar doubtful_refusal: why ZooKeeper did not have it move, when it may have moved all the same.
    :ivar unneeded: paths whose watches say nothing to this candidate any more.
    :ivar is_withdrawn: nothing of this candidate can be in ZooKeeper.
    :ivar withdrawal_error: why deleting it was given up, or None.
    """

    def __init__(self, identity: Identity, data: bytes, claims: ClientClaims, *, rejoins: bool) -> None:
        self.view = View(Sight(f"{identity.resource}/{DONE}"), request=Sight(f"{identity.resource}/{STEP_DOWN}"))
        self.session_id = 0
        self.session_timeout = 0.0
        self.is_working = self.is_closing = self.is_closed_in_order = False
        self.identity = identity
        self.resource = identity.resource
        self.data = data
        self.rejoins = rejoins
        self.requests = claims.requests
        self.claims_of_client = claims
        self.claims: Claims | None = None
        self.belief = Belief(identity, rejoins=rejoins)
        self.own: Nomination | None = None
        self.former: Nomination | None = None
        self.tries = 0
        self.declined: tuple[int, int] | None = None
        self.unneeded: list[str] = []
        self.doubtful_refusal: ElectionError | None = None
        self.is_withdrawn = True
        self.withdrawal_error: ElectionError | None = None
        self._to_delete: Nomination | None = None  # what `view.to_delete` is about
        self.refusal: Exception | None = None

    # ------------------------------------------------------------------ news

    def leave(self) -> None:
        """Resign: belief and statuses end at once."""
        self.view.is_leaving = True
        self.reconsider()
        self.belief.end(None)

    def step_down(self) -> None:
        """Go to the end of the line: belief ends at once."""
        self.view.steps_down = True
        self.reconsider()

    def hear_of_end(self) -> None:
        """Stand no longer, since this process has ended the election: also where the nomination came only then."""
        self.view.done.is_there = True
        self.reconsider()

    def hear(self, event: int, path: str) -> None:
        """Take note of a watch's event. ZooKeeper's events are numbered as aiozk's ``WatchEvent`` has them."""
        self.view.heard(path, is_there=_EVENTS.get(event))
        if self.belief.stretch is not None:
            self.reconsider()

    def read(self, path: str, reply: Reply) -> bool:
        """Take note of the reply to a request that sets a watch; return whether ZooKeeper has set a watch for it."""
        view, is_set = self.view, False
        if path == self.resource:
            self._see_node(reply)
        for sight in view.asked(path):
            try:
                is_there = self._shows(sight, reply)
            except (ElectionError, NotDoneError) as refused:
                is_there, self.refusal = None, refused
            is_set = view.shown(sight, is_there=is_there) or is_set
        if self.belief.stretch is not None:
            self.reconsider()
        return is_set

    def _see_node(self, node: Reply) -> None:
        """See whether the election node's only child is the own znode: its last one came with that."""
        self.view.awaits_node = False
        if self.own is not None and not isinstance(node, exc.ResponseError):
            stat = node.stat
            if stat.num_children == 1 and stat.last_modified_children == self.own.czxid:
                self.view.is_first, self.view.done.is_there = True, False

    def _shows(self, sight: Sight, reply: Reply) -> bool | None:
        if isinstance(reply, Known):
            return reply.is_there
        if isinstance(reply, exc.NoNode):
            return False
        if sight is self.view.request:  # whatever is the matter with it, this candidate stands
            require_done(reply)
            return not isinstance(reply, exc.ResponseError)
        if isinstance(reply, exc.ResponseError):
            if sight is self.view.done:
                return is_present(reply, path=sight.path, **self.identity.names)
            accept(reply, path=sight.path, **self.identity.names)  # raises
        if sight is self.view.before and reply.stat.ephemeral_owner in OWNERS_OF_LASTING_ZNODES:
            self.belief.notice(lasting_candidate(sight.path, reply.stat.ephemeral_owner))
        meant = self.own if sight is self.view.own else self._to_delete if sight is self.view.to_delete else None
        return meant is None or meant.is_shown_by(reply)

    def reconsider(self) -> None:
        """End belief where the view says so."""
        self.belief.reconsider(self.view)

    def hear_refusal(self, reply: Reply) -> None:
        """Take note that a keep-alive on the own znode was refused: it is gone, or must not be read any more."""
        if self.view.own is None:
            return
        if is_missing(reply):
            self.view.own.is_there = False
        else:
            try:
                accept(reply, path=self.view.own.path, **self.identity.names)
            except (ElectionError, NotDoneError) as refused:
                self.refusal = refused
        self.reconsider()

    # ------------------------------------------------------------------ what the coroutine does with it

    def raise_refusal(self) -> None:
        """Raise why ZooKeeper has refused a request whose reply nobody waited for.

        :raises ElectionError: when it would be refused again.
        :raises NotDoneError: when it was not carried out.
        """
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise refusal

    def watching(self, *sights: Sight | None) -> tuple[Request, ...]:
        """Return the requests that set the watches of these znodes, for those that are not set or asked for."""
        requests = []
        for sight in sights:
            if sight is not None and sight.watch is Watch.NONE:
                sight.watch = Watch.ASKED  # its event can come before the reply
                may_be_missing = sight is self.view.done or sight is self.view.request
                ask = self.requests.exists if may_be_missing else self.requests.get
                requests.append(ask(sight.path, watch=True))
        return tuple(requests)

    def stand_at(self, own: Nomination) -> None:
        """Have a znode, which was just seen on this connection.

        :raises ElectionError: when the election node has no numbers left.
        """
        assert self.claims is not None, "a znode is claimed"
        before = name_before(own.name)
        # In doubt, list: the number before may be the znode of a nomination whose reply was lost, nobody's but ours.
        if before is None or self.data in self.claims.doubtful or self.claims.has_departed(before):
            self.view.hint = None
        else:
            self.view.hint = f"{self.resource}/{before}"
        self.own, self.identity.candidate_id = own, own.path
        self.view.own, self.view.needs_barrier = Sight(own.path, is_there=True), False
        if own.number < WARNED_FROM:
            return
        self.belief.notice(scarce_numbers(own.path), f"numbers of {self.resource}")
        if supply_after(own.name) is Supply.USED_UP:
            raise self.identity.error(ElectionError, f"must not stand: {used_up_numbers(self.resource)}")

    def has_moved(self, refusal: ElectionError | None = None) -> None:
        """Be at the end of the line, as was wanted; or stand where it stood, since ZooKeeper has refused."""
        self.view.order = None
        if self.view.steps_down:
            self.view.steps_down = False
            self.belief.changes.append(Moved(refusal))

    def lose_znode(self) -> None:
        """Have no znode any more."""
        if self.claims is not None and self.own is not None:
            self.claims.give_up(self.own)
        self.unneeded += [each.path for each in (self.view.own, self.view.before) if each is not None]
        self.own = self.view.own = self.view.before = self.view.hint = self.view.order = None
        self.view.is_first = self.view.is_moving = False

    def prepare_to_delete(self, nomination: Nomination) -> Sight:
        """Return what is known of a znode that is to be deleted."""
        self._to_delete = nomination
        is_own = nomination == self.own and self.view.own is not None
        self.view.to_delete = self.view.own if is_own else Sight(nomination.path)
        assert self.view.to_delete is not None, "just now"
        return self.view.to_delete

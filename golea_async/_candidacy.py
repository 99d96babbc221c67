"""The life of one candidate: nominate, take a place, follow, lead, leave.

Each candidacy owns one background task. It does all the talking, one thing after the other, so that between two of its
steps there is one state to think about; everything that happens around it (a watch's event, a connection that comes or
goes, a resignation) only wakes it, and it looks again. What it knows of its place is bound to one
connection: with that it counts as unknown, and is looked up again on the next one.

The decision itself is pure and stands in :mod:`golea_async._protocol.standing`.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any

import aiozk
from aiozk import exc

from ._belief import Belief
from ._deletion import Deletion, stands
from ._identity import Identity
from ._nomination import Attempt, Nomination, Nominations
from ._outlook import Outlook
from ._place import Place
from ._protocol.standing import DONE, Follow, Lead, Look, Missing, Over, Verdict, name_before
from ._shared.batch import ConnectionLostError
from ._shared.channel import Channel
from ._shared.client_context import ClientContext
from ._shared.watch_table import Event
from ._zookeeper.replies import accept
from .exceptions import (
    CandidateDeletedError,
    ElectionError,
    NotStandingError,
    ResignError,
)

_logger = logging.getLogger("golea_async.election")


class Candidacy:
    """One candidate in one election, from its start until nothing of it is left in ZooKeeper.

    :ivar identity: whose candidacy it is.
    :ivar belief: what it believes and tells: its statuses, its leadership.
    :ivar task: the background task; None before the start.
    :ivar is_leaving: whether it resigns or has resigned.
    :ivar is_withdrawn: whether nothing of this candidate can be in ZooKeeper.
    :ivar withdrawal_error: why deleting it was given up, or None.
    """

    def __init__(self, zk: aiozk.ZKClient, resource: str, name: str, data: bytes, *, rejoin: bool) -> None:
        self.task: asyncio.Task[None] | None = None
        self.is_leaving = False
        self.is_withdrawn = True
        self.withdrawal_error: ElectionError | None = None
        self.client = zk
        self.identity = Identity(resource, name)
        self.belief = Belief(self.identity)
        self._data = data
        self._rejoin = rejoin
        self._stirred: asyncio.Future[None] | None = None  # what the background task waits for
        self._link: ClientContext | None = None
        self._is_over = False  # this process has ended the election
        self._nominations: Nominations | None = None
        self._attempt: Attempt | None = None  # a nomination that was sent, and whose outcome was not looked at
        self._outlook: Outlook | None = None  # what was asked right behind that nomination
        self._deletion: Deletion | None = None  # of the own znode, which was sent
        self._place: Place | None = None  # from the nomination on
        self._former: Nomination | None = None  # of a lost session

    @property
    def is_client_closed(self) -> bool:
        """Whether the application has closed the client, or is about to."""
        return self._link is None or self._link.is_closed

    def start(self) -> None:
        """Begin to stand, in a background task.

        :raises ValueError: when the client is not running.
        """
        self._link = ClientContext.attach(self.client)
        try:
            connection = self._link.channel
            if connection is not None:
                self._nominate_at_once(connection)
        except BaseException:  # the client's default_acl cannot be written
            self._link.detach()
            raise
        self.belief.join()
        self._spawn(self._live(), f"golea_async {self.identity.resource} {self.identity.name[:100]}")

    def leave(self) -> None:
        """Believe in nothing any more, and have the background task take the candidate out of ZooKeeper."""
        if self.is_leaving:
            return
        self.is_leaving = True
        self._lose_leadership(None)
        self._delete_at_once()
        self.belief.end(None)
        if self._deletion is None:
            self.wake()
        else:
            self._deletion.tell(self.told)  # until then there is nothing to do

    def end(self) -> None:
        """Stand no longer, since the election was ended: also where the nomination came only after that."""
        self._is_over = True
        self.wake()

    @property
    def has_ended_for_good(self) -> bool:
        """Whether it stands no more, and never will; its znode may still be there."""
        return self.belief.board.has_ended

    def withdraw_again(self) -> bool:
        """Take the candidate out of ZooKeeper after the background task was cancelled, or refused.

        Return whether there is a background task that does it.
        """
        if self.is_withdrawn or self.task is None:
            return False
        if not self.task.done():
            return True  # another resign() has begun to
        self.withdrawal_error = None
        if self._linked.is_closed_in_order:
            self.is_withdrawn = True
            return False
        if self._linked.is_closed:
            self.withdrawal_error = self._closed_error()
            return False
        self._link = ClientContext.attach(self.client)
        self._spawn(self._withdraw(), f"golea_async resign {self.identity.resource}")
        return True

    async def closed(self) -> None:
        """Wait until nothing is left on the client, if this was the last that used it."""
        if self._link is not None and self.task is not None and self.task.done():
            await self._link.closed()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run the background task; what has to be done at its end is done also when it is cancelled before it began."""
        self.task = self._linked.spawn(work, name, self.has_ended)
        self._linked.listen(self.on_change)
        self._linked.keep_alive.stand(self.identity.resource)

    def has_ended(self, task: asyncio.Task[None]) -> None:
        """Take leave of the client; to be called at the end of the background task."""
        self._end(None)
        self.belief.explain(None)
        if task is self.task:  # else resign() was faster, and has begun to withdraw again
            self._linked.unlisten(self.on_change)
        self._detach()
        if task.cancelled() and not self.is_leaving:  # last: where warnings are errors it raises
            what = self.identity.about("was cancelled and has not resigned")
            warnings.warn(what, ResourceWarning, stacklevel=1)

    def unnoticed_loss(self) -> ElectionError:
        """Say why leadership is lost by a resignation, the clock or the client's state."""
        if self.is_leaving:
            return self.identity.error(NotStandingError, "has resigned")
        return self.identity.client_closed() if self.is_client_closed else self.identity.lapse()

    async def _live(self) -> None:
        """Stand until it is over, then take what is left out of ZooKeeper."""
        try:
            while self._is_being_placed:
                await self._stir()
            await self._stand()
        except ElectionError as error:
            self._end(error)
        except Exception as crash:
            _logger.exception("%s", self.identity.about("has crashed: this is a bug in golea_async"))
            failure = self.identity.error(ElectionError, f"has crashed: {crash!r}; please report it")
            failure.__cause__ = crash
            self._end(failure)
        else:
            self._end(None)
        await self._withdraw()

    def _end(self, error: ElectionError | None) -> None:
        """Stand no longer: belief ends first, then the bodies are cancelled, then the statuses end."""
        if self.belief.board.has_ended:
            return
        self._lose_leadership(error or self.identity.error(NotStandingError, "was cancelled"))
        self.belief.end(error)

    async def _stand(self) -> None:
        """Stand on one connection after the other, until this candidate leaves.

        :raises ElectionError: when the election is over for this candidate.
        """
        while self._attempt is not None or not self.is_leaving:
            self._notice_lost_session()
            if self.is_leaving and self._attempt is None:
                return  # it went with its session
            connection = self._linked.channel
            if connection is None:
                await self._stir()
                continue
            try:
                await self._stand_on(connection)
            except ConnectionLostError:
                _logger.debug("%s", self.identity.about("lost its connection"))

    @property
    def _is_being_placed(self) -> bool:
        """Whether all goes well from the nomination to the first place: the calls that read the answers see to that."""
        if self.is_leaving or self._is_over:
            return False
        attempt = self._attempt
        if attempt is not None:
            return attempt.connection.is_current and not attempt.has_failed
        return self._place is not None and self._place.is_looking

    async def _stand_on(self, connection: Channel) -> None:
        """Be nominated if need be, then keep the place up to date with every event, until this candidate leaves."""
        place = self._place
        if place is None or place.has_looked_on(connection):
            place = place or await self._nominate(connection)
            predecessor, barrier = self._first_to_look_at(place), False
        else:
            # The session goes on, and everything that was watched is unknown. The server may lag behind the former.
            predecessor, barrier = _name(place.followed), True
        while not self.is_leaving:
            await self._find_place(place, connection, predecessor, barrier=barrier)
            while self._holds(place, connection):
                if place.followed is None:
                    self.belief.lead(self, place.own, connection.lease)
                await self._stir()
            if not connection.is_current:
                raise ConnectionLostError
            # At the end of an election all go: thousands of candidates must not list each other.
            is_to_be_looked_at = place.has_seen_done or place.sees_the_followed(connection)
            predecessor, barrier = _name(place.followed) if is_to_be_looked_at else None, False

    def _nominate_at_once(self, connection: Channel) -> None:
        """Send the nomination where nothing has to be waited for: ZooKeeper works while the rest is being set up.

        :raises ConnectionLostError: when the connection has ended.
        """
        self._nominations = Nominations.of(self.client, self.identity.resource, connection.session_id)
        is_first_here = self._nominations.are_idle  # else it is not alone, and the others watch DONE
        self._attempt = self._nominations.begin_at_once(connection, self._data, self)
        self.is_withdrawn = self._attempt is None
        if self._attempt is not None and is_first_here:
            resource, may_be_alone = self.identity.resource, not self._nominations.has_left_others
            with suppress(ConnectionLostError):  # the attempt has heard that, too
                self._outlook = Outlook(connection, resource, f"{resource}/{DONE}", may_be_alone=may_be_alone)

    def nominated(self, own: Nomination | None) -> None:
        """Ask for the place in the very call that reads the reply; the background task sleeps until that is known."""
        attempt, task = self._attempt, self.task
        if attempt is None or task is None:
            return  # its session is lost
        if own is None:
            self.wake()
            return
        self._attempt = None
        place = self._stand_at(own, attempt.connection)
        if self.is_leaving or task.done():
            return
        try:
            place.ask(attempt.connection, self._first_to_look_at(place))
        except ConnectionLostError:
            self.wake()

    async def _nominate(self, connection: Channel) -> Place:
        """Get a znode in this session; return its place."""
        if self._attempt is None:
            await self._delete_former(connection)
            self._nominate_at_once(connection)
        if self._attempt is not None:
            await self._await_attempt(self._attempt)
            place = self._place
        else:
            assert self._nominations is not None, "just now"
            self.is_withdrawn = False
            place = self._stand_at(await self._nominations.nominate(connection, self._data), connection)
        assert place is not None, "a nomination has a place, or has raised"
        return place

    async def _await_attempt(self, attempt: Attempt) -> None:
        """Wait for the nomination that was sent at once."""
        try:
            await attempt.nomination()
        finally:
            self._attempt = None

    def _first_to_look_at(self, place: Place) -> str | None:
        """Return who may be just before a candidate that was just made; None: list."""
        before, nominations = name_before(place.own.name), self._nominations
        assert nominations is not None, "it has just been nominated"
        # In doubt, list: the number before may be the znode of a nomination whose reply was lost, nobody's but ours.
        if before is None or nominations.is_doubtful(self._data) or nominations.has_departed(before):
            return None
        return before

    def _stand_at(self, own: Nomination, shown_on: Channel) -> Place:
        self.identity.candidate_id = own.path
        outlook, self._outlook = self._outlook, None
        self._place = Place(self.identity, own, shown_on, self, outlook)
        return self._place

    def _notice_lost_session(self) -> None:
        """When the session is lost, so is the candidate: say so, and begin anew if that is wanted.

        A znode whose ``ephemeralOwner`` is another session is never counted as one's own.
        """
        if self._linked.is_closed:
            raise self.identity.client_closed()
        if self._nominations is None or not self._linked.has_lost(self._nominations.session_id):
            return
        error = self.identity.session_lost(rejoins=self._rejoin)
        if not self._rejoin:
            raise error
        self._lose_leadership(error)
        if self._place is not None:
            self._nominations.give_up(self._place.own)
            self._former = self._place.own
        self._nominations = self._place = self._attempt = self._outlook = None
        self.belief.rejoin(error)
        self.identity.candidate_id = None

    # ------------------------------------------------------------------ taking a place

    async def _find_place(self, place: Place, connection: Channel, predecessor: str | None, *, barrier: bool) -> None:
        """Find out who is before this candidate, publish that, and watch what it rests on."""
        while not self.is_leaving:
            if self._is_over:
                raise self.identity.over()
            verdict = await self._look(place, connection, predecessor, barrier=barrier)
            barrier = False
            if not isinstance(verdict, Follow):  # it was listed
                await self._sweep(connection)
            if self.is_leaving:
                return
            match verdict:
                case Over():
                    await place.confirm(connection)  # it is to be deleted, and no other at its path
                    raise self.identity.over()
                case Missing():
                    await place.verify(connection)
                case Look(predecessor):
                    await place.read_rest()
                case Follow() | Lead():
                    if self._settle(place, connection, verdict) and place.followed is None:
                        self._linked.keep_alive.hold(place.own.path)
                    await place.confirm(connection)
                    return

    async def _look(self, place: Place, connection: Channel, predecessor: str | None, *, barrier: bool) -> Verdict:
        """Wait for what the place's look says: one that an event, or the nomination, has begun, or a new one."""
        place.ask(connection, predecessor, barrier=barrier)
        while place.is_looking:
            await self._stir()
        return place.verdict()

    def decided(self, place: Place, connection: Channel, verdict: Verdict) -> None:
        """Publish what the answers mean in the very call that reads them; the background task does the rest."""
        if self.belief.board.has_ended or place is not self._place:
            return
        match verdict:
            case Follow() | Lead():
                self._settle(place, connection, verdict)
            case Look(predecessor) if predecessor is not None:
                # It is in the list, so it is the one to follow; whether it still is, its watch will tell.
                if place.is_undisturbed(connection) and not self.is_leaving:
                    self._follow(place, f"{self.identity.resource}/{predecessor}")

    def _holds(self, place: Place, connection: Channel) -> bool:
        """Whether this candidate stands where it was found to stand."""
        return not self.is_leaving and not self._is_over and place.holds(connection)

    def _settle(self, place: Place, connection: Channel, verdict: Follow | Lead) -> bool:
        """Take the place that was found; return False when an event has put it in question already. Idempotent."""
        if self.is_leaving or self._is_over or not place.is_undisturbed(connection):
            return False
        if isinstance(verdict, Lead):
            place.take(connection, None)
            self.belief.lead(self, place.own, connection.lease)
        else:
            followed = f"{self.identity.resource}/{verdict.predecessor}"
            place.take(connection, followed)
            self._follow(place, followed)
        return True

    def _follow(self, place: Place, followed: str) -> None:
        if self.belief.leadership is not None:
            self._lose_leadership(self.identity.error(CandidateDeletedError, f"has found {followed} before it"))
        self.belief.follow(place.own, followed)

    def _lose_leadership(self, cause: ElectionError | None, *, is_in_doubt: bool = False) -> None:
        """Believe in leading no longer, and keep the lease alive no longer. No cause: it resigns."""
        if self._place is not None:
            self._linked.keep_alive.release(self._place.own.path)
        self.belief.lose(cause, is_in_doubt=is_in_doubt)

    # ------------------------------------------------------------------ leaving

    async def _withdraw(self) -> None:
        """Delete everything of this candidate, for as long as it takes: until it, or its session, is gone.

        Only when the work is done: a successor must not overlap with work that is still stopping.
        """
        await self.belief.work_stopped()
        while not self.is_withdrawn:
            if self._linked.is_closed:
                await self._withdraw_with_the_client()
                return
            connection = self._linked.channel
            if connection is None:
                await self._stir()
                continue
            try:
                await self._remove(connection)
            except ConnectionLostError:
                continue
            except ElectionError as refused:
                self.withdrawal_error = refused
                return
            self.is_withdrawn = True

    async def _withdraw_with_the_client(self) -> None:
        """The client will send nothing any more: the znode goes with the session."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._linked.session_timeout):  # as long as aiozk tries to close the session
                while self._linked.is_closing:
                    await self._stir()
        if self._linked.is_closed_in_order:
            self.is_withdrawn = True
        else:
            self.withdrawal_error = self._closed_error()

    def _closed_error(self) -> ResignError:
        return self.identity.not_withdrawn("cannot be deleted, the client's own tasks have ended, and")

    async def _remove(self, connection: Channel) -> None:
        """Delete the own znode, and whatever a lost session or a lost reply has left."""
        if self._attempt is not None:
            with suppress(ElectionError):  # refused: there is nothing to remove
                await self._await_attempt(self._attempt)
        await self._delete_former(connection)
        if self._place is not None:
            await self._delete_own(self._place, connection)
        if self._nominations is not None:
            if self._place is not None:
                self._nominations.give_up(self._place.own)
            self._place = None
            await self._sweep(connection)

    def _delete_at_once(self) -> None:
        """Ask for the deletion where nothing has to be waited for: the successor waits for it."""
        place = self._place
        if place is None or self.task is None or self.task.done() or self.belief.has_work:
            return
        connection = self._linked.channel
        # While the watch of what was shown is silent it stands; else the path may be another candidate's by now.
        if connection is not None and place.sees_its_own(connection):
            self._deletion = Deletion(place, connection)

    async def _delete_own(self, place: Place, connection: Channel) -> None:
        """Delete the own znode, unless it is gone."""
        deletion, self._deletion = self._deletion, None
        if deletion is None:
            if not place.sees_its_own(connection) and not await stands(place.own, connection):
                is_same_session = place.own.session_id == connection.session_id
                self.belief.explain(self.identity.deleted() if is_same_session else None)
                place.leave_watches(connection)
                return
            deletion = Deletion(place, connection)
        accept(await deletion.reply(), exc.NoNode, path=place.own.path, **self.identity.names)
        if self._nominations is not None:
            self._nominations.note_departure(place.own.name, has_followed=place.followed is not None)

    async def _delete_former(self, connection: Channel) -> None:
        """Delete the znode of a lost session where it still stands: aiozk gives up sessions that are alive."""
        former = self._former
        if self.belief.has_work:
            return  # a successor must not overlap with work that is still stopping: it goes later, or by itself
        if former is not None and await stands(former, connection):
            (deleted,) = await connection.send(connection.delete(former.path))
            accept(deleted, exc.NoNode, path=former.path, **self.identity.names)
        self._former = None

    async def _sweep(self, connection: Channel) -> None:
        if self._nominations is not None:
            await self._nominations.sweep(connection, self._data)

    def _detach(self) -> None:
        """Leave nothing of this election on the client."""
        if self._outlook is not None:
            self._outlook.forget()
        connection = self._linked.channel
        if connection is not None and self._place is not None:
            self._place.leave_watches(connection)
        self._linked.keep_alive.stand_no_more(self.identity.resource)
        self._linked.detach()

    # ------------------------------------------------------------------ small things

    @property
    def _linked(self) -> ClientContext:
        assert self._link is not None, "the background task runs between attach and detach"
        return self._link

    def _stir(self) -> Awaitable[None]:
        """Wait for the next event. What is waited for was looked at just before, with no ``await`` in between."""
        self._stirred = self._linked.loop.create_future()
        return self._stirred

    def wake(self) -> None:
        """Have the background task look again."""
        if self._stirred is not None and not self._stirred.done():
            self._stirred.set_result(None)

    def told(self) -> None:
        """Hear that the deletion of the own znode is answered."""
        self.wake()

    def wake_soon(self) -> None:
        """Have it look again when all answers have been read that have come by now: see :class:`Place`."""
        self._linked.wake_soon(self)

    def on_change(self) -> None:
        """Hear that the connection, the session or the lease has come or gone; to be called by the link."""
        self.belief.notice_lapse()
        self.wake()

    def heard(self, event: Event, path: str) -> None:
        """Hear that a watch of the place has fired: believe in leading no longer where it says so."""
        if event is Event.CREATED:  # of the znodes that are watched, only DONE can be missing
            self._lose_leadership(self.identity.over())
        if event is Event.DELETED and self._place is not None and path == self._place.own.path:
            if self.is_client_closed:
                self._lose_leadership(self.identity.client_closed())
            else:  # the quorum, or the end of the session, will tell why
                self._lose_leadership(self.identity.gone(), is_in_doubt=True)
        if self._place is None or not self._place.is_looking:  # else the end of the look will
            self.wake()


def _name(path: str | None) -> str | None:
    return None if path is None else path.rpartition("/")[2]

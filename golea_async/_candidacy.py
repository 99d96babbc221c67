"""The life of one candidate: nominate, take a place, follow, lead, leave.

Each candidacy owns one background task. It does all the talking, one thing after the other, so that between two of its
steps there is one state to think about; everything that happens around it (a watch's event, a connection that comes or
goes, a resignation) only sets ``_stirred``, and the task looks again. What it knows of its place is bound to one
connection: with that it counts as unknown, and is looked up again on the next one.

The decision itself is pure and stands in :mod:`golea_async.standing`.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from contextlib import suppress

import aiozk
from aiozk import exc

from ._identity import Identity
from ._link import Link
from ._nomination import Nomination, Nominations
from ._place import Place
from ._replies import accept, is_missing, is_present
from ._zk import Connection, ConnectionLostError, Event
from .exceptions import (
    CandidateDeletedError,
    ElectionError,
    LeaseExpiredError,
    NotStandingError,
    ResignError,
)
from .leadership import Leadership
from .standing import Follow, Lead, Look, Missing, Over, decide, name_before
from .status import Role, Status, StatusBoard

_logger = logging.getLogger("golea_async.election")


class Candidacy:
    """One candidate in one election, from its start until nothing of it is left in ZooKeeper.

    :ivar identity: whose candidacy it is.
    :ivar board: the statuses.
    :ivar leadership: the present stretch of leading; it may have ended by the clock.
    :ivar task: the background task; None before the start.
    :ivar is_leaving: whether it resigns or has resigned.
    :ivar is_withdrawn: whether nothing of this candidate can be in ZooKeeper.
    :ivar withdrawal_error: why deleting it was given up, or None.
    """

    def __init__(self, zk: aiozk.ZKClient, resource: str, name: str, data: bytes, *, rejoin: bool) -> None:
        self.board = StatusBoard()
        self.task: asyncio.Task[None] | None = None
        self.is_leaving = False
        self.is_withdrawn = True
        self.withdrawal_error: ElectionError | None = None
        self.leadership: Leadership | None = None
        self.client = zk
        self.identity = Identity(resource, name)
        self._data = data
        self._rejoin = rejoin
        self._stirred = asyncio.Event()
        self._link: Link | None = None
        self._is_over = False  # this process has ended the election
        self._nominations: Nominations | None = None
        self._place: Place | None = None  # from the nomination on
        self._former: Nomination | None = None  # of a lost session
        self._leaderships: list[Leadership] = []  # the newest one, and those of the past whose bodies may be stopping

    @property
    def is_client_closed(self) -> bool:
        """Whether the application has closed the client, or is about to."""
        return self._link is None or self._link.is_closed

    def start(self) -> None:
        """Begin to stand, in a background task.

        :raises ValueError: when the client is not running.
        """
        self._link = Link.attach(self.client)
        self.board.publish(Status(Role.CANDIDATE))
        self.task = self._link.spawn(self._live(), f"golea_async {self.identity.resource} {self.identity.name[:100]}")

    def leave(self) -> None:
        """Believe in nothing any more, and have the background task take the candidate out of ZooKeeper."""
        if self.is_leaving:
            return
        self.is_leaving = True
        self._lose_leadership(self.identity.error(NotStandingError, "has resigned"))
        if not self.board.has_ended:
            self.board.end(None)
            self._log_end()
        self._stirred.set()

    def end(self) -> None:
        """Stand no longer, since the election was ended: also where the nomination came only after that."""
        self._is_over = True
        self._stirred.set()

    def withdraw_again(self) -> None:
        """Take the candidate out of ZooKeeper after the background task was cancelled, or refused."""
        self.withdrawal_error = None
        if self._linked.is_closed_in_order:
            self.is_withdrawn = True
            return
        if self._linked.is_closed:
            self.withdrawal_error = self._closed_error()
            return
        self._link = Link.attach(self.client)
        self.task = self._link.spawn(self._withdraw_alone(), f"golea_async resign {self.identity.resource}")

    def unnoticed_loss(self) -> ElectionError:
        """Say why leadership is lost by the clock or the client's state, before anything was told here."""
        return self.identity.client_closed() if self.is_client_closed else self.identity.lapse()

    async def _live(self) -> None:
        """Stand until it is over, then take what is left out of ZooKeeper."""
        try:
            with self._linked.keep_alive.standing(self.identity.resource):
                self._end(await self._outcome())
                await self._withdraw()
        except asyncio.CancelledError:
            if not self.is_leaving:
                what = self.identity.about("was cancelled and has not resigned")
                warnings.warn(what, ResourceWarning, stacklevel=1)
            raise
        finally:
            self._end(None)
            self._detach()

    def _end(self, error: ElectionError | None) -> None:
        """Stand no longer: belief ends first, then the bodies are cancelled, then the statuses end."""
        if self.board.has_ended:
            return
        self._lose_leadership(error or self.identity.error(NotStandingError, "was cancelled"))
        self.board.end(error)
        self._log_end()

    async def _withdraw_alone(self) -> None:
        """What is left of :meth:`_live` when that was cancelled."""
        try:
            with self._linked.keep_alive.standing(self.identity.resource):
                await self._withdraw()
        finally:
            self._detach()

    async def _outcome(self) -> ElectionError | None:
        """Stand; return what ended it, None for a resignation."""
        try:
            with self._linked.listening(self._on_change):
                await self._stand()
        except ElectionError as error:
            return error
        except Exception as crash:
            _logger.exception("%s", self.identity.about("has crashed: this is a bug in golea_async"))
            failure = self.identity.error(ElectionError, f"has crashed: {crash!r}; please report it")
            failure.__cause__ = crash
            return failure
        return None

    async def _stand(self) -> None:
        """Stand on one connection after the other, until this candidate leaves.

        :raises ElectionError: when the election is over for this candidate.
        """
        while not self.is_leaving:
            self._notice_lost_session()
            connection = self._linked.connection
            if connection is None:
                await self._stir()
                continue
            try:
                await self._stand_on(connection)
            except ConnectionLostError:
                _logger.debug("%s", self.identity.about("lost its connection"))

    async def _stand_on(self, connection: Connection) -> None:
        """Be nominated if need be, then keep the place up to date with every event, until this candidate leaves."""
        if self._place is None:
            place, look = await self._nominate(connection)
            barrier = False
        else:
            # The session goes on, and everything that was watched is unknown. The server may lag behind the former.
            place = self._place
            look, barrier = Look(_name(place.followed)), True
        while not self.is_leaving:
            await self._find_place(place, connection, look, barrier=barrier)
            while self._holds(place, connection):
                if place.followed is None:
                    self._lead(place, connection)
                await self._stir()
            if not connection.is_current:
                raise ConnectionLostError
            look, barrier = Look(_name(place.followed) if place.sees_the_followed(connection) else None), False

    async def _nominate(self, connection: Connection) -> tuple[Place, Look]:
        """Get a znode in this session; return its place, and where to look for the one before it."""
        await self._delete_former(connection)
        self.is_withdrawn = False
        self._nominations = Nominations.of(self._linked, self.identity.resource, connection.session_id)
        own, is_alone = await self._nominations.nominate(connection, self._data)
        self.identity.candidate_id = own.path
        self._place = Place(self.identity, own, self._on_event)
        _logger.debug("%s", self.identity.about("is nominated"))
        # In doubt, list: the number before may be the znode of a nomination whose reply was lost, nobody's but ours.
        if is_alone or self._nominations.is_doubtful(self._data):
            return self._place, Look(None)
        return self._place, Look(name_before(own.name))

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
        self._nominations = self._place = None
        self._publish(Status(Role.CANDIDATE, was_following=self.board.latest.now_following, error=error))
        self.identity.candidate_id = None

    # ------------------------------------------------------------------ taking a place

    async def _find_place(self, place: Place, connection: Connection, look: Look, *, barrier: bool) -> None:
        """Find out who is before this candidate, watch that one, and publish the outcome."""
        place.leave()
        while not self.is_leaving:
            if self._is_over:
                raise self.identity.over()
            view = await place.look(connection, look.predecessor, barrier=barrier)
            barrier = False
            if view.children is not None:
                await self._sweep(connection)
            match decide(place.own.name, view):
                case Over():
                    raise self.identity.over()
                case Missing():
                    await self._verify(place, connection)
                case Look() as look:
                    pass
                case Follow(predecessor):
                    self._settle(place, connection, f"{self.identity.resource}/{predecessor}")
                    return
                case Lead():
                    self._settle(place, connection, None)
                    return

    async def _verify(self, place: Place, connection: Connection) -> None:
        """Ask the quorum whether the own znode is gone.

        Its deletion is also what a client hears of its own expiry, and a server that lags may not have it yet. Only
        the quorum's word on the live session is final.

        :raises ElectionOverError: when the election was ended or deleted.
        :raises CandidateDeletedError: when somebody deleted this candidate alone.
        """
        own, resource, names = place.own, self.identity.resource, self.identity.names
        checked, shown, done, parent = await connection.send(
            connection.check(own.path),
            connection.get(own.path),
            connection.exists(place.done),
            connection.exists(resource),
        )
        accept(checked, exc.NoNode, path=own.path, **names)
        if not is_missing(checked) and own.is_shown_by(accept(shown, exc.NoNode, path=own.path, **names)):
            return
        if place.has_seen_done or is_missing(parent) or is_present(done, path=place.done, **names):
            raise self.identity.over()
        raise self.identity.error(
            CandidateDeletedError, "was deleted by somebody: make another AsyncElection to stand again"
        )

    def _holds(self, place: Place, connection: Connection) -> bool:
        """Whether this candidate stands where it was found to stand."""
        return not self.is_leaving and not self._is_over and place.holds(connection)

    def _settle(self, place: Place, connection: Connection, followed: str | None) -> None:
        """Take the place that was found, unless an event has put it in question already."""
        place.take(connection, followed)
        if not self._holds(place, connection):
            return
        if followed is None:
            self._linked.keep_alive.hold(place.own.path)
            self._lead(place, connection)
        else:
            self._follow(place)

    def _follow(self, place: Place) -> None:
        before, own, followed = self.board.latest, place.own, place.followed
        self._lose_leadership(self.identity.error(CandidateDeletedError, f"has found {followed} before it"))
        if (before.role, before.candidate_id, before.now_following) != (Role.FOLLOWER, own.path, followed):
            self._publish(Status(Role.FOLLOWER, own.path, followed, before.now_following))

    def _lead(self, place: Place, connection: Connection) -> None:
        """Lead, as soon as the lease is valid: the first place alone is not enough."""
        self._notice_lapse()
        if self.leadership is not None or not connection.lease.is_valid:
            return
        own = place.own
        if self.board.latest.role is Role.LEADER:  # two stretches are never read as one
            self._publish(Status(Role.CANDIDATE, own.path))
        self.leadership = Leadership(self, connection.lease, own.path, own.czxid)
        self._leaderships = [*(each for each in self._leaderships if each.has_bodies), self.leadership]
        self._publish(Status(Role.LEADER, own.path, None, self.board.latest.now_following, own.czxid))

    def _notice_lapse(self) -> None:
        """See whether the lease has lapsed since; the clock has told everybody who asked."""
        if self.leadership is not None and not self.leadership.is_leased:
            error = self.identity.lapse()
            self._lose_leadership(error)
            self._publish(Status(Role.CANDIDATE, self.identity.candidate_id, error=error))

    def _lose_leadership(self, cause: ElectionError) -> None:
        """Believe in leading no longer, and cancel what runs within it."""
        if self._place is not None and not isinstance(cause, LeaseExpiredError):
            self._linked.keep_alive.release(self._place.own.path)
        if self.leadership is not None:
            self.leadership.lose(cause)
            self.leadership = None

    # ------------------------------------------------------------------ leaving

    async def _withdraw(self) -> None:
        """Delete everything of this candidate, for as long as it takes: until it, or its session, is gone.

        Only when the work is done: a successor must not overlap with work that is still stopping.
        """
        for leadership in list(self._leaderships):
            await leadership.stopped()
        with self._linked.listening(self._stirred.set):
            while not self.is_withdrawn:
                if self._linked.is_closed:
                    await self._withdraw_with_the_client()
                    return
                connection = self._linked.connection
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

    async def _remove(self, connection: Connection) -> None:
        """Delete the own znode, and whatever a lost session or a lost reply has left."""
        await self._delete_former(connection)
        place = self._place
        own = None if place is None else place.own
        # While the watch of what was shown is silent it stands; else the path may be another candidate's by now.
        is_seen = place is not None and place.sees_its_own(connection)
        if own is not None and not is_seen and not await _stands(own, connection):
            own = None
        unused = [] if place is None else place.forget_watches(connection)
        try:
            # The deletion uses up the watch of what is deleted.
            removals = connection.remove_watches(watch for watch in unused if own is None or watch[0] != own.path)
            if own is not None:
                deleted, *_ = await connection.send(connection.delete(own.path), *removals)
                accept(deleted, exc.NoNode, path=own.path, **self.identity.names)
            elif removals:
                await connection.send(*removals)
        finally:
            connection.drop_unused(unused)
        if self._nominations is not None:
            if place is not None:
                self._nominations.give_up(place.own)
            self._place = None
            await self._sweep(connection)

    async def _delete_former(self, connection: Connection) -> None:
        """Delete the znode of a lost session where it still stands: aiozk gives up sessions that are alive."""
        former = self._former
        if any(leadership.has_bodies for leadership in self._leaderships):
            return  # a successor must not overlap with work that is still stopping: it goes later, or by itself
        if former is not None and await _stands(former, connection):
            (deleted,) = await connection.send(connection.delete(former.path))
            accept(deleted, exc.NoNode, path=former.path, **self.identity.names)
        self._former = None

    async def _sweep(self, connection: Connection) -> None:
        if self._nominations is not None:
            await self._nominations.sweep(connection, self._data)

    def _detach(self) -> None:
        """Leave nothing of this election on the client."""
        connection = self._linked.connection
        if connection is not None and self._place is not None:
            connection.drop_unused(self._place.forget_watches(connection))
        self._linked.detach()

    # ------------------------------------------------------------------ small things

    @property
    def _linked(self) -> Link:
        assert self._link is not None, "the background task runs between attach and detach"
        return self._link

    async def _stir(self) -> None:
        """Wait for the next event. What is waited for was looked at just before, with no ``await`` in between."""
        self._stirred.clear()
        await self._stirred.wait()

    def _on_change(self) -> None:
        """The connection, the session or the lease has come or gone."""
        self._notice_lapse()
        self._stirred.set()

    def _on_event(self, event: Event, path: str) -> None:
        """A watch of the place has fired: believe in leading no longer where it says so."""
        if event is Event.CREATED:  # of the znodes that are watched, only DONE can be missing
            self._lose_leadership(self.identity.over())
        if event is Event.DELETED and self._place is not None and path == self._place.own.path:
            gone = self.identity.error(CandidateDeletedError, "is gone from ZooKeeper")
            # The end of its session, by the client's close(), deletes it too.
            self._lose_leadership(self.identity.client_closed() if self.is_client_closed else gone)
        self._stirred.set()

    def _publish(self, status: Status) -> None:
        if self.board.has_ended:
            return
        before = self.board.latest.role
        self.board.publish(status)
        level = logging.WARNING if status.error else logging.INFO
        following = f", following {status.now_following}" if status.now_following else ""
        _logger.log(level, "%s", self.identity.about(f"is {status.role} (was {before}){following}"))

    def _log_end(self) -> None:
        status = self.board.latest
        if status.error is not None:
            _logger.info("%s", status.error)
        elif self.task is not None:
            _logger.info("%s", self.identity.about("resigns"))


async def _stands(nomination: Nomination, connection: Connection) -> bool:
    """Whether this very znode is there: its path may be another candidate's by now."""
    _, shown = await connection.send(connection.check(nomination.path), connection.get(nomination.path))
    return nomination.is_shown_by(accept(shown, exc.NoNode, path=nomination.path, candidate_id=nomination.path))


def _name(path: str | None) -> str | None:
    return None if path is None else path.rpartition("/")[2]

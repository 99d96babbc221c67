"""AsyncElection: what an application holds of its candidate."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, TypeVar

import aiozk

from ._candidacy import Candidacy
from ._ender import end
from ._own_work import OwnWork
from ._protocol.standing import check_name, check_resource
from ._shared.channel import check_client
from ._shared.shielded import completion
from .exceptions import ElectionError, LeadershipLostError, NotStandingError, ResignError
from .leadership import Body, Leadership, current_bodies
from .status import Role, Status

_logger = logging.getLogger("golea_async.election")
_Result = TypeVar("_Result")


class AsyncElection:
    """One candidate in one election.

    It stands from :meth:`start` (or ``async with``) until :meth:`resign`, until the election is ended or deleted, or
    until somebody deletes its znode. One object stands once; afterwards make another. The application makes the
    election node (see :func:`create_election`) and owns the client, which any number of elections may share.

    :param zk: a started aiozk client.
    :param resource: absolute path of the election node within the client's chroot, such as ``/election``.
    :param name: what others read in the candidate's znode; ``host:pid`` when not given.
    :param rejoin: whether to be nominated again after the session was lost. Otherwise that is final.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when the path or the name cannot be one.
    """

    def __init__(
        self,
        zk: aiozk.ZKClient,
        resource: str,
        name: str | None = None,
        *,
        rejoin: bool = True,
    ) -> None:
        check_client(zk)
        self.resource = check_resource(resource)
        self.name = f"{socket.gethostname()}:{os.getpid()}" if name is None else name
        self._zk = zk
        self._candidacy = Candidacy(zk, resource, self.name, check_name(self.name), rejoin=rejoin)

    def __repr__(self) -> str:
        status = self.status
        return f"<AsyncElection {status.candidate_id or self.resource} name={self.name!r} role={status.role}>"

    @property
    def status(self) -> Status:
        """The latest status. Its role is history: only :attr:`is_leader` tells about now."""
        return self._candidacy.belief.board.latest

    @property
    def is_leader(self) -> bool:
        """Whether this candidate leads, so that nobody else can: true only within the lease.

        It reads the clock: right also in the first instruction after a freeze.
        """
        leadership = self._candidacy.belief.leadership
        return leadership is not None and leadership.is_valid

    @property
    def current_leadership(self) -> Leadership | None:
        """The present leadership, None while this does not lead: for who must act as leader or decline."""
        leadership = self._candidacy.belief.leadership
        return leadership if leadership is not None and leadership.is_valid else None

    def statuses(self) -> AsyncIterator[Status]:
        """Subscribe to the statuses: the current one, then every change, until this candidate's election is over.

        It ends without a further status after a resignation; otherwise the last status has the ``error`` that says
        why. Its end is itself a loss of leadership. A cancelled read loses nothing, and a reader that is slow or
        never reads costs bounded memory: changes between two followers may merge, a stretch of leading that was
        never read may vanish, but a loss is always read after its gain, and the last thing read is the truth.
        """
        return self._candidacy.belief.board.reader()

    async def start(self) -> Status:
        """Nominate this candidate and return its first decided status: leader or follower.

        While the client is out of touch this waits; a time limit is the caller's (``asyncio.timeout``). When it fails
        or is cancelled it raises at once; what it may have left in ZooKeeper is deleted in the background, and
        :meth:`resign` waits for that.

        :raises ElectionNotFoundError: when the election node does not exist.
        :raises ElectionOverError: when the election is being ended.
        :raises NotAuthorizedError: when the client may not stand there.
        :raises SessionExpiredError: when the session is lost meanwhile and ``rejoin`` is false.
        :raises ElectionError: when it was started before.
        :raises NotStandingError: when it has resigned before or meanwhile.
        :raises ValueError: when the client was never started, or is closed.
        """
        if self._candidacy.is_leaving and self._candidacy.task is None:
            raise self._candidacy.identity.error(NotStandingError, "has resigned: make another AsyncElection")
        if self._candidacy.task is not None:
            raise self._candidacy.identity.error(
                ElectionError,
                "was started already: one object stands once, make another AsyncElection",
            )
        self._candidacy.start()
        try:
            status = await self._candidacy.belief.board.decision()
        except asyncio.CancelledError:
            self._candidacy.leave()
            raise
        if status.role is Role.NONE:
            resigned = "resigned while it was starting"
            raise status.error or self._candidacy.identity.error(NotStandingError, resigned)
        return status

    async def wait_for_leadership(self) -> Leadership:
        """Wait until this candidate leads, and return that stretch of leading, valid at this instant.

        Cancelled: nothing is left behind; it goes on standing.

        :raises NotStandingError: before the start, and after a resignation.
        :raises ElectionError: what ended the election for this candidate.
        """
        if self._candidacy.task is None:
            raise self._candidacy.identity.error(NotStandingError, "does not stand: start() it first")
        async for _ in self._candidacy.belief.board.reader():
            if (leadership := self.current_leadership) is not None:
                return leadership
        raise self.status.error or self._candidacy.identity.error(NotStandingError, "has resigned")

    def leadership(self) -> AbstractAsyncContextManager[Leadership]:
        """Run a body as the leader: ``async with election.leadership() as leadership: ...``.

        Entering waits for leadership. When it is lost the body is cancelled (once; again every T/3 when it goes on
        regardless), and the block raises :class:`LeadershipLostError` with its cause, also when the body returned
        after the loss. The body's own exception wins over that, and a cancellation from elsewhere stays one.
        Resigning inside the body is no loss. One task enters and leaves: never around a ``yield`` of a fixture or a
        lifespan; start a task there.

        :raises LeadershipLostError: when leadership was lost before the body had ended.
        :raises ElectionError: when entering, what ended the election for this candidate.
        :raises RuntimeError: when another task leaves than has entered.
        """
        return Body(self.wait_for_leadership)

    async def run(self, work: Callable[[Leadership], Awaitable[_Result]]) -> _Result:
        """Run ``work`` as the leader, again after each loss of leadership, until it returns; then resign.

        Starts if need be, and resigns on every way out: a result, an exception, a cancellation.

        :param work: is called with the leadership, and cancelled when that is lost.
        :raises ElectionError: what ended the election for this candidate.
        :raises ResignError: as :meth:`resign`; when ``work`` raised, that is a note on its exception.
        """
        try:
            if self._candidacy.task is None:
                await self.start()
            result = await self._work_until_done(work)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        await self.resign()
        return result

    async def _work_until_done(self, work: Callable[[Leadership], Awaitable[_Result]]) -> _Result:
        while True:
            leadership, body = None, Body(self.wait_for_leadership)
            try:
                async with body as leadership:
                    return await work(leadership)
            except LeadershipLostError:
                if leadership is None or leadership.is_valid:
                    raise  # another candidate's
                if body.ends_its_election:
                    raise  # it was cancelled by the ending that it asked for, and there is nothing to stand in

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.resign()
        except ElectionError as failure:
            if error is None:
                raise
            error.add_note(f"and then: {failure}")
            _logger.warning("%s", failure)

    async def resign(self, *, timeout: float | None = 10) -> None:
        """Leave the election; when this returns, the candidate's znode is gone.

        First nobody here believes in leading any more, then the bodies of :meth:`leadership` are cancelled and awaited
        (but for those that this is called within), and only then is the znode deleted. It may be called before the
        start, twice, from any task, and in a task or scope that is being cancelled: a cancellation that arrives
        meanwhile is held back until this is done.

        :param timeout: seconds to wait; None: no limit.
        :raises ResignError: when it cannot be known within ``timeout`` that the znode is gone. Deleting goes on in
            the background until the znode or the session is gone; another ``resign()`` waits for that.
        :raises NotAuthorizedError: when ZooKeeper does not let the client delete its znode. It stays as long as the
            session.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"the timeout must be None or seconds from 0 on, not {timeout!r}")
        for body in current_bodies.get():
            if body.guards(self._candidacy):
                body.release()
        self._candidacy.leave()
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        try:
            await self._see_withdrawn(timeout)
        except asyncio.CancelledError:
            try:
                await self._withdraw_again(deadline)
            except ResignError as error:
                _logger.warning("%s", error)
            raise
        await self._withdraw_again(deadline)
        await self._candidacy.closed()
        if self._candidacy.withdrawal_error is not None:
            raise self._candidacy.withdrawal_error

    async def _withdraw_again(self, deadline: float | None) -> None:
        """Try once more, in this task's time, where the background task was cancelled or refused.

        The end of ``asyncio.run`` cancels both of them.
        """
        candidacy = self._candidacy
        if candidacy.is_withdrawn or candidacy.task is None or not candidacy.task.done():
            return
        candidacy.withdraw_again()
        await self._see_withdrawn(None if deadline is None else max(0, deadline - asyncio.get_running_loop().time()))

    async def _see_withdrawn(self, timeout: float | None) -> None:
        """Wait for the background task."""
        task = self._candidacy.task
        if task is None:
            return
        try:
            if not await completion(task, timeout):
                raise self._still_there()
        except asyncio.CancelledError:
            if not task.done():
                _logger.warning("%s", self._still_there())
            raise

    def _still_there(self) -> ResignError:
        return self._candidacy.identity.not_withdrawn("is not seen to be gone in time; deleting it goes on, and it")

    async def end(self) -> None:
        """End the election for everybody: all candidates leave, and the election node can be used again.

        As :func:`end_election`. The last status of every candidate, this one too, has an :class:`ElectionOverError`.
        Called from this leader's own work, that goes on until the ending is through, and is cancelled then, at its
        next ``await``: let it return.

        :raises NotStandingError: before the start and after the end.
        :raises ValueError: when the client is being closed.
        """
        if self._candidacy.task is None or self._candidacy.belief.board.has_ended:
            raise self._candidacy.identity.error(
                NotStandingError,
                "does not stand: start() it first, or use `await end_election(zk, resource)`",
            )
        with OwnWork.here(self._zk, self.resource) as work:
            await end(self._zk, self.resource, work, deletes_election=False)
            self._candidacy.end()
            await asyncio.wait({self._candidacy.task})
            await self._candidacy.closed()

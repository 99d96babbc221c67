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

from ._action_driver import end
from ._arguments import check_timeout, check_work
from ._caller import release_own
from ._history import History
from ._leaving import step_down, what_is_left, withdraw
from ._own_work import OwnWork
from ._protocol.paths import check_name, check_resource
from ._reporting import report_on
from ._runner import Runner
from ._shared.channel import check_client
from ._shared.client_context import waiting_noted
from ._shared.held import held
from ._work import leading, work_until_done
from ._zookeeper.arguments import check_flag
from ._zookeeper.log import Log
from ._zookeeper.loops import check_loop, running_loop
from ._zookeeper.process import other_process, this_process
from .exceptions import ElectionError, NotStandingError
from .leadership import Body, Leadership
from .report import ElectionReport, Reason
from .status import Role, Status

_logger = Log(logging.getLogger("golea_async.election"))
_Result = TypeVar("_Result")


class AsyncElection:
    """One candidate in one election.

    It stands from :meth:`start` (or ``async with``, or :meth:`run`) until :meth:`resign`, until the election is ended
    or deleted, or until somebody deletes its znode. Then :meth:`start` begins a new candidacy, with another znode. The
    application makes the election node (:func:`create_election`) and the client, which any number of elections share.

    :param zk: a started aiozk client.
    :param resource: absolute path of the election node within the client's chroot, such as ``/election``.
    :param name: what others read in the candidate's znode; ``host:pid`` when not given.
    :param rejoin: whether to stand again after the session was lost. If false, a lost session is final.
    :param resign_timeout: the ``timeout`` of :meth:`resign` at the end of ``async with`` and of :meth:`run`.
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
        resign_timeout: float | None = 10,
    ) -> None:
        check_client(zk)
        check_flag("rejoin", rejoin)
        check_timeout(resign_timeout, "resign_timeout")
        self.resource: str = check_resource(resource)
        self.name: str = f"{socket.gethostname()}:{os.getpid()}" if name is None else name
        self._zk = zk
        self._process = this_process()  # that has started it
        self._resign_timeout = resign_timeout
        self._resignations = 0
        self._history = History()
        self._runner = Runner(zk, resource, self.name, check_name(self.name), self._history, rejoin=rejoin)

    def __repr__(self) -> str:
        status = self.status
        return f"<AsyncElection {status.candidate_id or self.resource} name={self.name!r} role={status.role}>"

    @property
    def status(self) -> Status:
        """The latest status. Its role is history: only :attr:`is_leader` tells about now."""
        return self._runner.public.board.latest

    @property
    def is_leader(self) -> bool:
        """Whether this candidate leads now, so that nobody else can. It is true only within the lease.

        It reads the clock, so it is right also in the first instruction after a freeze.
        """
        return self.current_leadership is not None

    @property
    def current_leadership(self) -> Leadership | None:
        """The present leadership, or None. A request handler that must act as the leader declines when it is None."""
        leadership = self._runner.public.leadership
        return leadership if leadership is not None and leadership.is_valid else None

    def report(self) -> ElectionReport:
        """Return a snapshot of this candidate for people and machines. It sends nothing.

        Call it anywhere: in another thread, before the start, after the end.
        """
        return report_on(self._zk, self._runner, self._history)

    def statuses(self) -> AsyncIterator[Status]:
        """Subscribe to the statuses: the current one, then every change, until this candidate's election is over.

        After a resignation it ends without a further status. Otherwise the last status has the ``error`` that says
        why. The end is itself a loss of leadership. When :meth:`start` has begun a new candidacy, subscribe anew.

        A cancelled read loses nothing. A slow reader costs bounded memory: changes between two followers may merge,
        and a stretch of leading may vanish before it is read. But a loss is always read after its gain, and the last
        thing read is the truth.
        """
        self._check_process()
        return self._runner.public.board.reader()

    def _check_process(self) -> None:
        """Refuse a forked child: the candidate, its session and its tasks are its parent's.

        :raises ElectionError: when it stands, or is leaving, in another process.
        """
        task = self._runner.task
        if task is None or task.done():
            return
        if (refusal := other_process("this election", self._process)) is not None:
            raise self._runner.identity.error(ElectionError, f"cannot be used here: {refusal}")

    async def start(self) -> Status:
        """Nominate this candidate and return its first decided status: leader or follower.

        While the client is out of touch this waits. Set a time limit with ``asyncio.timeout``. When it fails or is
        cancelled, it raises at once. What it may have left in ZooKeeper is deleted in the background, and
        :meth:`resign` waits for that. After an earlier candidacy it first waits until the former znode is gone.

        :raises ElectionNotFoundError: when the election node does not exist.
        :raises ElectionOverError: when the election is being ended.
        :raises NotAuthorizedError: when the client may not stand there, or may not delete its former znode.
        :raises SessionExpiredError: when the session is lost meanwhile and ``rejoin`` is false.
        :raises ElectionError: when it stands already.
        :raises NotStandingError: when it resigns meanwhile.
        :raises ValueError: when the client was never started, or is closed.
        """
        self._check_process()
        if self._stands:
            raise self._stands_already()
        if self._runner.has_ended_for_good:
            await self._begin_anew(self._runner)
        runner, self._process = self._runner, this_process()
        runner.start()
        try:
            with waiting_noted(self._zk):
                status = await runner.public.board.decision()
        except asyncio.CancelledError:
            runner.leave()
            raise
        if status.role is Role.NONE:
            raise status.error or self._resigned_while_starting(runner)
        return status

    @property
    def _stands(self) -> bool:
        return self._runner.task is not None and not self._runner.has_ended_for_good

    def _check_standing(self, way_out: str) -> None:
        if not self._stands:
            raise self._runner.identity.error(NotStandingError, f"does not stand: {way_out}")

    async def _begin_anew(self, former: Runner) -> None:
        """Wait until nothing of the former candidacy is in ZooKeeper: else it would be followed by its successor."""
        resignations = self._resignations
        release_own(former.public.bodies)  # the work that is being stopped must not be waited for by itself
        if former.task is not None:
            await asyncio.wait({former.task})
            if former.withdraw_again():
                await asyncio.wait({former.task})
        if self._runner is not former:
            raise self._stands_already()
        if self._resignations != resignations:
            raise self._resigned_while_starting(former)
        if (error := what_is_left(former)) is not None:
            raise error
        self._runner = former.anew()

    def _stands_already(self) -> ElectionError:
        return self._runner.identity.error(
            ElectionError, "was started already, and stands: resign() first, or make another AsyncElection"
        )

    def _resigned_while_starting(self, runner: Runner) -> NotStandingError:
        return runner.identity.error(NotStandingError, "resigned while it was starting")

    async def wait_for_leadership(self) -> Leadership:
        """Wait until this candidate leads, and return that stretch of leading, valid at this instant.

        When it is cancelled, nothing is left behind, and the candidate goes on standing.

        :raises NotStandingError: before the start, and after a resignation.
        :raises ElectionError: what ended the election for this candidate.
        """
        self._check_here()
        with waiting_noted(self._zk):
            return await leading(self._runner)

    def leadership(self) -> AbstractAsyncContextManager[Leadership]:
        """Run a body as the leader: ``async with election.leadership() as leadership: ...``.

        Entering waits for leadership. When leadership is lost, the body is cancelled once. A body that goes on is
        cancelled again every T/3, with a WARNING. The block then raises :class:`LeadershipLostError` with its cause,
        also when the body had returned after the loss, or raises a task group's group of nothing but that. Any other
        exception wins, and a cancellation from elsewhere stays one. It is no loss when the body's own task resigns.

        The task that enters must leave. So never put it around a ``yield`` of a fixture or a lifespan: start a task
        there. Use ``asyncio.timeout`` in the body: ``asyncio.wait_for`` of Python 3.11 may swallow the cancellation,
        and then the body goes on until it is cancelled again.

        :raises LeadershipLostError: when leadership was lost before the body had ended.
        :raises ElectionError: when entering, what ended the election for this candidate.
        :raises RuntimeError: when another task leaves than has entered.
        """
        return Body(self.wait_for_leadership)

    async def run(self, work: Callable[[Leadership], Awaitable[_Result]]) -> _Result:
        """Run ``work`` as the leader, again after each loss of leadership, until it returns; then resign.

        It starts the candidate if need be, and resigns on every way out: a result, an exception, a cancellation. Work
        that was cancelled by nobody, and raises ``CancelledError``, has died by that as by any other exception.

        :param work: is called with the leadership, and cancelled when that is lost.
        :raises TypeError: when ``work`` cannot be called so, or cannot be awaited.
        :raises ElectionError: what ended the election for this candidate.
        :raises ResignError: as :meth:`resign`; when ``work`` raised, that is a note on its exception.
        """
        check_work(work)
        self._check_process()
        runner = None
        with held():
            try:
                if not self._stands:
                    await self.start()
                runner = self._runner
                result = await work_until_done(runner, work)
            except BaseException as error:
                await self._withdraw_beside(error, runner or self._runner)
                raise
            await self._withdraw(runner, self._resign_timeout)
            return result

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.resign(timeout=self._resign_timeout)
        else:
            await self._withdraw_beside(error, self._runner)

    async def _withdraw_beside(self, error: BaseException, runner: Runner) -> None:
        """Resign on the way out of an exception, which propagates: a failure is a note on it, and a WARNING."""
        try:
            await self._withdraw(runner, self._resign_timeout)
        except ElectionError as failure:
            error.add_note(f"and then: {failure}")
            _logger.warning("%s", failure, extra=runner.identity.fields(Role.NONE, Reason.RESIGNED, None))

    async def resign(self, *, timeout: float | None = 10) -> None:
        """Leave the election. When this returns, the candidate's znode is gone.

        First this candidate believes no more. Then the bodies of :meth:`leadership` are cancelled and awaited. Only
        then is the znode deleted. Call it before the start, twice, from any task, and in a task that is being
        cancelled: a cancellation that arrives meanwhile is held back until this is done.

        A body's own task may call it: that body goes on, is not waited for, and is to end soon. When something else
        calls it that was begun inside a body (a child task, a signal handler, a timer, a server), that body is
        cancelled and awaited. If its stopping cancels the caller, the body waits for the caller instead.

        :param timeout: seconds to wait, for the bodies too; None: no limit.
        :raises ResignError: when it cannot be known within ``timeout`` that the znode is gone. Deleting goes on in the
            background until the znode or the session is gone; another ``resign()`` waits for that.
        :raises NotAuthorizedError: when ZooKeeper does not let the client delete its znode. It stays as long as the
            session.
        """
        check_timeout(timeout)
        await self._withdraw(self._runner, timeout)

    def _check_here(self) -> None:
        """Refuse a forked child, and another event loop than that of the start: nothing would be heard there."""
        self._check_process()
        if self._runner.task is None:
            running_loop()
        else:
            check_loop(self._runner.task.get_loop(), f"the election of {self.name!r} in {self.resource}")

    async def _withdraw(self, runner: Runner, timeout: float | None) -> None:
        self._check_here()
        self._resignations += 1
        await withdraw(runner, timeout)

    async def step_down(self, *, timeout: float | None = 10) -> None:
        """Give the place away and stand on, at the end of the line. When this returns the candidate is there.

        First this candidate believes no more. Then the bodies of :meth:`leadership` are cancelled and awaited, by the
        rules of :meth:`resign`. Only then does the next one lead. At no moment has the candidate no place, or two. A
        follower goes to the end, too. Alone in the election it leads again, with a new token, when its work has ended.

        A body ends with :class:`LeadershipLostError`, whose cause is a :class:`HandedOverError`; :meth:`run` stands
        on. A cancellation that arrives meanwhile is held back until this is done.

        :param timeout: seconds to wait, for the bodies too; None: no limit.
        :raises ResignError: when it cannot be known within ``timeout``. It goes on in the background; another
            ``step_down()`` waits for that.
        :raises NotStandingError: before the start, after the end, or when it resigns meanwhile.
        :raises ElectionError: what ends the election for this candidate meanwhile, or why ZooKeeper does not let it.
        """
        check_timeout(timeout)
        self._check_here()
        self._check_standing("start() it first")
        await step_down(self._runner, timeout)

    async def end(self) -> None:
        """End the election for everybody: all candidates leave, and the election node can be used again.

        As :func:`end_election`. The last status of every candidate, this one too, has an :class:`ElectionOverError`.
        This leader's own work may call it. That work goes on until the ending is through, and is cancelled at its next
        ``await`` then: let it return.

        :raises NotStandingError: before the start and after the end.
        :raises ValueError: when the client is being closed.
        """
        self._check_process()
        self._check_standing("start() it first, or use `await end_election(zk, resource)`")
        runner = self._runner
        with OwnWork.here(self._zk, self.resource) as work:
            await end(self._zk, self.resource, work, deletes_election=False)
            runner.end()
            if runner.task is not None:
                await asyncio.wait({runner.task})
            await runner.closed()

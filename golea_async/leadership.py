"""Leadership: one uninterrupted stretch of leading, and the bodies that run within it.

Who leads is decided in :mod:`golea_async._protocol.standing`, and until when in :mod:`golea_async._shared.lease`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

import aiozk

from ._cancellation import Cancellation
from ._protocol.identity import Identity
from ._shared.held import hold, let_go
from ._shared.lease import Lease
from ._zookeeper.log import Log
from .exceptions import ElectionError, ElectionOverError, LeadershipLostError, NotStandingError
from .transaction import Transaction

_logger = Log(logging.getLogger("golea_async.leadership"))

# The work has stopped by then. A round trip tells a deletion, a new connection the end of the session.
_LONGEST_DOUBT = 10.0


class Leadership:
    """One uninterrupted stretch of leading. Once lost, it is lost for good.

    :ivar fencing_token: the candidate znode's ``czxid``: never smaller than an earlier leader's of this election. Send
        it with what you write to other systems, so that they can refuse a former leader.
    """

    def __init__(
        self,
        client: aiozk.ZKClient,
        lease: Lease,
        path: str,
        fencing_token: int,
        identity: Identity,
        is_client_closed: Callable[[], bool],
    ) -> None:
        self.fencing_token = fencing_token
        self.identity = identity
        self._client = client
        self._is_client_closed = is_client_closed
        self._lease = lease
        self._stretch = lease.stretch
        self._path = path
        self._is_lost = False
        self._cause: ElectionError | None = None
        self._explained: asyncio.Future[None] | None = None  # while the cause is in doubt
        self._lost = asyncio.Event()
        self._bodies: dict[Body, None] = {}

    def __repr__(self) -> str:
        return f"<Leadership of {self._path} token={self.fencing_token} remaining={self.remaining:.3f}>"

    @property
    def is_valid(self) -> bool:
        """Whether nobody else can lead now. It reads the clock: right also in the first instruction after a freeze."""
        return not self._is_lost and self.is_leased and not self._is_client_closed()

    @property
    def is_leased(self) -> bool:
        """Whether the lease has not lapsed since this began."""
        return self._lease.stretch == self._stretch and self._lease.is_valid

    @property
    def remaining(self) -> float:
        """Seconds for which this stays valid if nothing more is heard of ZooKeeper; 0 when it is lost."""
        return self._lease.remaining if self.is_valid else 0.0

    def check(self) -> None:
        """Return when this is valid.

        :raises LeadershipLostError: when it is not.
        """
        if not self.is_valid:
            raise self.lost_error()

    async def wait_lost(self) -> None:
        """Wait until this is lost. When it is cancelled, nothing is left behind."""
        while self.is_valid:
            await self._lost.wait()

    def transaction(self) -> Transaction:
        """Return a ZooKeeper transaction that commits only while this candidate's znode stands."""
        return Transaction(self._client, self._path, self.check, self.lost_error)

    def lost_error(self) -> LeadershipLostError:
        """Say that this is lost, and why."""
        cause = self._cause or self._untold_cause()
        what = f"does not lead any more (fencing token {self.fencing_token}): stop the work"
        error = LeadershipLostError(self.identity.about(what), resource=cause.resource, candidate_id=self._path)
        error.__cause__ = cause
        return error

    def _untold_cause(self) -> ElectionError:
        if self._is_lost:
            return self.identity.error(NotStandingError, "has resigned")
        return self.identity.client_closed() if self._is_client_closed() else self.identity.lapse()

    def is_all_of(self, error: BaseException | None) -> bool:
        """Whether an error says that this is lost, and nothing else: the bare error, or a task group's group of it."""
        if isinstance(error, BaseExceptionGroup):
            return all(self.is_all_of(each) for each in error.exceptions)
        return isinstance(error, LeadershipLostError) and not self.is_valid

    def lose(self, cause: ElectionError | None, *, is_in_doubt: bool = False) -> None:
        """Be lost from now on, and cancel the bodies. No cause: the candidate resigns, and says so when it is asked.

        :param is_in_doubt: whether the cause is a guess, and :meth:`explain` will be called when it is known.
        """
        if self._is_lost:
            return
        self._is_lost = True
        self._cause = cause
        if is_in_doubt:
            self._explained = asyncio.get_running_loop().create_future()
        self._lost.set()
        for body in list(self._bodies):
            body.stop()

    def explain(self, cause: ElectionError | None) -> None:
        """Say why this was lost, which was in doubt until now. No cause: the guess will do."""
        self._cause = cause or self._cause
        explained, self._explained = self._explained, None
        if explained is not None and not explained.done():
            explained.set_result(None)

    @property
    def cause(self) -> ElectionError | None:
        """Why it was lost, as far as is known."""
        return self._cause

    async def explanation(self) -> None:
        """Wait until the cause of the loss is known, which takes a round trip, but not for an outage to end."""
        if self._explained is not None:
            await asyncio.wait([self._explained], timeout=max(_LONGEST_DOUBT, self._lease.timeout))

    @property
    def bodies(self) -> tuple[Body, ...]:
        """The work within it that has not ended."""
        return tuple(self._bodies)

    async def stopped(self) -> None:
        """Wait until every body has ended, but for those that were released."""
        while self._bodies:
            await asyncio.wait([body.ended for body in self._bodies])

    @property
    def is_over_within_lease(self) -> bool:
        """Whether this was lost by the end of the election alone, and nobody else can lead yet."""
        return isinstance(self._cause, ElectionOverError) and self.is_leased

    @property
    def lease_remaining(self) -> float:
        """Seconds for which the lease holds if it is not renewed."""
        return self._lease.remaining

    @property
    def candidate(self) -> str:
        """The name of the candidate's znode."""
        return self._path.rpartition("/")[2]

    def is_in(self, absolute_path: str) -> bool:
        """Whether this is the leadership of that election, by its path without a chroot."""
        return bool(self._client.normalize_path(self._path.rpartition("/")[0]) == absolute_path)

    def enter(self, body: Body) -> None:
        """Count a body that begins."""
        self._bodies[body] = None

    def leave(self, body: Body) -> None:
        """Count a body that ended, or that nobody waits for any more."""
        self._bodies.pop(body, None)
        if not body.ended.done():
            body.ended.set_result(None)

    @property
    def retry_interval(self) -> float:
        """Seconds after which a body that goes on regardless is cancelled again."""
        return self._lease.timeout / 3


# The bodies within which this code runs, innermost last; a child task inherits them.
current_bodies: ContextVar[tuple[Body, ...]] = ContextVar("golea_async.current_bodies", default=())


class Body:
    """What ``async with election.leadership()`` returns: enters when the candidate leads, and guards what runs inside.

    One task enters and leaves.
    """

    def __init__(self, wait_for_leadership: Callable[[], Awaitable[Leadership]]) -> None:
        self._wait_for_leadership = wait_for_leadership
        self._leadership: Leadership | None = None
        self._task: asyncio.Task[object] | None = None
        self.cancellation: Cancellation = Cancellation()
        self._is_released = False
        self._holds = 0  # calls within it that are ending its election
        self.ends_its_election: bool = False
        self.is_waited_for_once = False  # until it would be cancelled again
        self._timer: asyncio.TimerHandle | None = None
        self._token: Token[tuple[Body, ...]] | None = None
        self._call_when_left: Callable[[Body], None] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Leadership:
        if self._leadership is not None:
            raise RuntimeError("one `leadership()` guards one body: call leadership() again for another one")
        leadership = await self._wait_for_leadership()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("leadership() must be entered in a task")
        self._task, self._leadership = task, leadership
        self.cancellation.begin(task)
        self._token = current_bodies.set((*current_bodies.get(), self))
        hold(self, task)
        leadership.enter(self)
        return leadership

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leadership = self._leadership
        if leadership is None:
            raise RuntimeError("leadership() must be entered before it is left")
        let_go(self)
        task = asyncio.current_task()
        if task is None or task is not self._task:
            self._stop_timer()
            leadership.leave(self)  # it has ended, if in a wrong way: a resignation must not wait for it
            self._has_left()
            raise RuntimeError(
                "leadership() must be left in the task that entered it; a fixture or a lifespan that yields inside "
                "may be driven by another one: start a task there"
            )
        is_lost = not self._is_released and not self.ends_its_election and not leadership.is_valid
        self._stop_timer()
        if self._token is not None:
            current_bodies.reset(self._token)
        try:
            is_ours = await self.cancellation.take_back(task, error)
        finally:
            leadership.leave(self)
            self._task = None  # from now on there is nothing to be cancelled
            self._has_left()
        is_group = isinstance(error, BaseExceptionGroup) and leadership.is_all_of(error)
        if is_ours or is_group or (is_lost and error is None):
            await leadership.explanation()
            lost = leadership.lost_error()
            raise lost from lost.__cause__

    def when_left(self, call: Callable[[Body], None]) -> None:
        """Call once when the body has ended, whoever waits for that or does not."""
        self._call_when_left = call

    def _has_left(self) -> None:
        call, self._call_when_left = self._call_when_left, None
        if call is not None:
            call(self)

    def stop(self) -> None:
        """Cancel the body, and again every T/3 as long as it goes on."""
        task, leadership = self._task, self._leadership
        if task is None or leadership is None or self._is_released or task.done():
            return
        if self._holds and leadership.is_over_within_lease:
            self.ends_its_election = True
            self._timer = task.get_loop().call_later(leadership.lease_remaining, self.stop)
            return
        if self.cancellation.count:
            self._complain(leadership)
        self.cancellation.cancel(task)
        self._timer = task.get_loop().call_later(leadership.retry_interval, self.stop)

    def stands_in(self, absolute_path: str) -> bool:
        """Whether this is a body of a leader of that election, and goes on."""
        return self._leadership is not None and not self.ended.done() and self._leadership.is_in(absolute_path)

    @property
    def candidate(self) -> str:
        """The name of the candidate's znode."""
        return "" if self._leadership is None else self._leadership.candidate

    def hold(self) -> None:
        """Do not cancel the body for the end of its election, which it is ending itself, as long as its lease holds."""
        self._holds += 1

    def let_go(self, caller: asyncio.Task[object] | None) -> None:
        """Have the candidate leave, since all others have.

        A body that ends its election in its own task goes on, and is not waited for; any other is stopped first.
        """
        self.ends_its_election = True
        if caller is self._task and self._leadership is not None:
            self._leadership.leave(self)
        elif self._holds:
            self._holds = 0
            self._stop_if_lost()

    def unhold(self) -> None:
        """Cancel the body when its election is over: the ending is through, or was given up."""
        if self._holds:
            self._holds -= 1
            if not self._holds and self.ends_its_election:
                self._stop_if_lost()

    def _stop_if_lost(self) -> None:
        if self._leadership is not None and not self._leadership.is_valid:
            self._stop_timer()
            self.stop()

    def _complain(self, leadership: Leadership) -> None:
        """Say that the body goes on, and wait for it no more where it seems to wait for who resigns."""
        seconds = self.cancellation.count * leadership.retry_interval
        what = f"lost leadership {seconds:.1f} s ago, and its work goes on; it is cancelled once more"
        hint = "asyncio.wait_for() of Python 3.11 can swallow a cancellation: use asyncio.timeout() there"
        identity, token = leadership.identity, leadership.fencing_token
        _logger.warning("%s (%s)", identity.about(what), hint, extra=identity.fields(None, None, token))
        if self.is_waited_for_once:
            self.wait_no_more()

    def is_run_by(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether this is the body's own task."""
        return task is not None and task is self._task

    def release(self) -> None:
        """Guard the body no longer: its own task resigns, and it is neither cancelled for that nor waited for."""
        if self._leadership is not None:
            self._is_released = self._is_released or self._leadership.is_valid
            self._stop_timer()
            self._leadership.leave(self)

    def wait_no_more(self) -> None:
        """Have nobody wait for the body, which waits for who resigns. It is stopped as any other."""
        if self._leadership is not None:
            self._leadership.leave(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""One candidate of an application: it stands from the application's start to its end, and ends within a grace."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable

from aiozk import exc

from golea_async import (
    AsyncElection,
    ElectionError,
    Leadership,
    SessionExpiredError,
    ZKClient,
    create_election,
)
from golea_async._zookeeper.log import Log

from ._candidates import Candidates
from ._signals import Signals

_logger = Log(logging.getLogger("golea_async.web"))

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two candidacies, after an end that was final for one: an operator's, or ZooKeeper's refusal."""
PASSING = (ElectionError, exc.ZKError, OSError)
"""What ends one candidacy, and not the next."""
CLOSING = 1.0
"""Seconds of the grace that are kept for closing the client."""


def time_to_resign(grace: float) -> float:
    """Return how much of the grace there is for a resignation."""
    return max(grace - CLOSING, grace / 2)


def _ends_the_task(error: BaseException) -> bool:
    """Return whether this task is to end: it was cancelled, or the program ends.

    A CancelledError alone says neither: whoever awaits a task that was cancelled gets one, too.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit))


class Stay:
    """One candidate, from the start of an application to its end.

    :ivar is_ending: whether the application was told to end.
    :ivar has_ended: whether nothing of it is left here, or its time was over.
    """

    def __init__(
        self, zk: ZKClient, election: AsyncElection, work: Callable[[Leadership], Awaitable[object]], grace: float
    ) -> None:
        self.election = election
        self.candidates = Candidates(zk, election)
        self.is_ending = self.has_ended = False
        self._zk = zk
        self._work = work
        self._grace = grace
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._ending: asyncio.Task[None] | None = None
        self._dead_work: BaseException | None = None
        context = contextvars.Context()
        self._standing = self._loop.create_task(self._stand(), name=f"golea_async web {self._where}", context=context)
        self._signals = Signals(self._loop, self.begin_to_end)

    @property
    def _where(self) -> str:
        return self.election.resource

    # ------------------------------------------------------------------ standing

    async def _stand(self) -> None:
        """Stand, and stand again after whatever ended a candidacy, until the work is done or the application ends."""
        pause = FIRST_PAUSE
        while not self.is_ending:
            begun = self._loop.time()
            try:
                await self._zk.start()
                await create_election(self._zk, self._where)
                await self.election.run(self._work_once)
            except BaseException as error:
                if _ends_the_task(error):
                    if isinstance(error, asyncio.CancelledError) and not self.is_ending:
                        _logger.error("was cancelled while it stood in %s: this process stands no more", self._where)
                    raise
                if self._is_final(error):
                    return
                pause = FIRST_PAUSE if self._loop.time() - begun > LONGEST_PAUSE else pause
                _logger.warning("stands in %s again in %g s: %s", self._where, pause, error)
                if isinstance(error, SessionExpiredError):
                    await self._zk.close()  # it has stopped by itself: of a session alone the candidate stands again
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                _logger.info("the work in %s is done; this process does not stand any more", self._where)
                return

    def _is_final(self, error: BaseException) -> bool:
        """Say what ends the standing of this process; return False where it is to stand again."""
        if error is self._dead_work:
            what = f"the work in {self._where} has died ({error!r:.200})"
            _logger.error("%s: this process has resigned and stands no more; others may lead", what, exc_info=error)
        elif self.is_ending:
            pass
        elif self.election.report().crashed:
            _logger.error("%s; this process stands no more, and needs a restart", error)
        elif not isinstance(error, PASSING):
            _logger.error("cannot stand in %s, now or later", self._where, exc_info=error)
        else:
            return False
        return True

    async def _work_once(self, leadership: Leadership) -> None:
        """Do the work, and tell its own errors from those of standing. A loss that it has noticed is none."""
        try:
            await self._work(leadership)
        except BaseException as error:
            if not _ends_the_task(error) and not leadership.is_all_of(error):
                self._dead_work = error
            raise

    # ------------------------------------------------------------------ ending

    def begin_to_end(self) -> None:
        """Begin to resign: on SIGTERM at once, and not only when the server has answered its last request."""
        if self.is_ending:
            return
        self.is_ending = True
        self._deadline = self._loop.time() + self._grace
        # In a context of its own: a signal handler runs in whichever is current, a request's or the work's.
        name, context = f"golea_async web end {self._where}", contextvars.Context()
        self._ending = self._loop.create_task(self._leave(), name=name, context=context)

    async def _leave(self) -> None:
        try:
            await self.election.resign(timeout=time_to_resign(self._grace))
        except ElectionError as error:
            _logger.warning("%s", error)
        self._standing.cancel()

    async def end(self) -> None:
        """Wait until the candidate has resigned and the client is closed, within the grace."""
        self.begin_to_end()
        assert self._ending is not None, "just begun"
        await asyncio.wait({self._ending, self._standing}, timeout=self._deadline - self._loop.time())
        if self._standing.done() and self._ending.done():
            await self._zk.close()
        else:
            _logger.warning(
                "the work in %s has not stopped within %g s: its znode goes with its session", self._where, self._grace
            )
        self._signals.restore()
        self.has_ended = True

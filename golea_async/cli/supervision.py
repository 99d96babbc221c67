"""golea's side of the supervisor: it is started, told each deadline, and replaced by golea when it does not act."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import golea_async
from golea_async import Leadership
from golea_async._zookeeper.guardian_process import GUARD_VARIABLE, MESSAGE_SIZE, now
from golea_async._zookeeper.guardian_start import inherited_guardian, open_pidfd, socketpair

from .descendants import become_subreaper, kill_all_descendants, kill_descendants
from .exits import Exit, Problem

_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from golea_async.cli.supervisor import main; main()"
_START_TIMEOUT = 10.0
STEPS = 48
"""The lease is looked at so many times in a session timeout."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When the command is told, and when it is killed, before the lease ends.

    :ivar timeout: the session timeout that was granted.
    :ivar grace: seconds from SIGTERM to SIGKILL.
    """

    timeout: float
    grace: float

    @property
    def margin(self) -> float:
        """Seconds from SIGKILL to the end of the lease."""
        return self.timeout / 24


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command has ended.

    :ivar code: its exit code, 128 and the signal's number when it was killed.
    :ivar cause: ``itself``; or ``deadline``, ``order``: it was killed; ``too late``: it was not started; ``broken``:
        the supervisor did not act, and golea has killed everything.
    :ivar left: how many processes it has left behind, which were killed.
    """

    code: int
    cause: str
    left: int = 0


class Supervision:
    """One supervisor, which runs one command after the other.

    :ivar broken: is set when the supervisor is dead, or did nothing when it should have.
    """

    def __init__(self, command: Sequence[str], stuck: Callable[[list[int]], None]) -> None:
        self._stuck = stuck
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[Ending] | None = None
        self._is_killing = False
        self.broken: asyncio.Event = asyncio.Event()
        self._number, self._heard = 0, 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        try:
            become_subreaper()  # of the supervisor's orphans, should that be killed
            pidfd = open_pidfd()
            self._socket, theirs = socketpair()
            # On this door the client asks the supervisor to guard its session, as it would ask `golea guard`.
            self._door, inside = socketpair(names_senders=True)
            with theirs, inside:
                passed = (pidfd, theirs.fileno(), inside.fileno())
                root = str(Path(golea_async.__file__).parents[1])
                numbers = map(str, (os.getpid(), *passed))
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _PROGRAM, root, *numbers, *command],
                    pass_fds=passed,
                    process_group=0,
                )
            os.close(pidfd)
        except (AttributeError, OSError) as error:
            raise Problem(f"golea run needs Linux 5.3 or newer, with /proc: {error}", Exit.CONFIGURATION) from None
        # `golea guard` as process 1 ends all that runs there: first it has to wait for the supervisor.
        self._guard = inherited_guardian(self._process.pid)
        os.environ[GUARD_VARIABLE] = f"{self._door.fileno()}:{os.fstat(self._door.fileno()).st_ino}"
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket.fileno(), self._read)

    async def ready(self) -> None:
        """Wait until it supervises.

        :raises Problem: it does not.
        """
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await self._ready
        except (TimeoutError, ConnectionError):
            raise Problem("golea's supervisor has not started", Exit.CONFIGURATION) from None

    async def close(self) -> None:
        """Have it end. Nothing of it, and of the command, is left."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._door.close()
        os.environ.pop(GUARD_VARIABLE, None)
        await asyncio.to_thread(self._process.wait)
        if self._guard is not None:
            self._guard.close()

    # ------------------------------------------------------------------ a command

    async def run(self, leadership: Leadership, environment: dict[str, str], timing: Timing) -> Ending:
        """Run the command while leading; return how it ended, when nothing of it is left.

        Cancelled: the command is stopped, and awaited all the same. With ``grace`` where the lease goes on, such as
        when the election is ended; at once where the znode may be gone.
        """
        if self.broken.is_set():  # before there was a command
            return Ending(Exit.BUG, "broken")
        ended: asyncio.Future[Ending] = self._loop.create_future()
        self._ended, self._is_killing = ended, False
        if self._guard is not None:
            with suppress(OSError):
                self._guard.send(json.dumps({"patience": timing.timeout}).encode(), socket.MSG_NOSIGNAL)
        self._send(
            start=environment,
            deadline=now() + leadership.remaining,
            grace=timing.grace,
            margin=timing.margin,
            group=os.getpgrp() if _has_terminal() else 0,
            ignored=[number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN],
        )
        pump = asyncio.create_task(self._tell_deadlines(leadership, timing, ended))
        cancelled = False
        try:
            while not ended.done():
                try:
                    await asyncio.wait([ended])
                except asyncio.CancelledError:
                    cancelled = True
                    self._send(stop=timing.grace if _is_leased(leadership) else 0)
        finally:
            pump.cancel()
        if cancelled:
            raise asyncio.CancelledError
        return ended.result()

    @property
    def ending(self) -> Ending | None:
        """How the latest command has ended."""
        return self._ended.result() if self._ended is not None and self._ended.done() else None

    @property
    def is_running(self) -> bool:
        """Whether a command runs."""
        return self._ended is not None and not self._ended.done()

    async def signal(self, number: int, group: int) -> None:
        """Send the command a signal; return when it was sent, or after a second.

        :param group: the process group that has got it already, and the command with it if it is there; 0: none.
        """
        if self.is_running:
            order = self._send(signal=number, group=group, at=now())
            heard = self._waiting[order] = self._loop.create_future()
            await asyncio.wait([heard], timeout=1)

    async def _tell_deadlines(self, leadership: Leadership, timing: Timing, ended: asyncio.Future[Ending]) -> None:
        """Tell each new deadline. What the supervisor should have done by now and has not, do it here."""
        told, last_heard, since = 0.0, self._heard, now()
        while not ended.done():
            # In this order: what is computed is never later than the lease's end.
            deadline = now() + leadership.remaining
            if leadership.is_valid and deadline > told + timing.timeout / 1000:
                told = deadline
                self._send(deadline=deadline)
            if self._heard != last_heard or self._heard == self._number:
                last_heard, since = self._heard, now()
            is_late = told > 0 and now() > told - timing.margin / 2
            if self._is_killing:  # what holds much memory takes time to end
                if is_late:  # the supervisor may have been frozen since: what has come below it meanwhile is killed
                    await asyncio.to_thread(kill_descendants, self._process.pid)
            elif is_late or now() > since + timing.timeout / 4:
                self._broken()
            await asyncio.sleep(timing.timeout / STEPS)

    def _broken(self) -> None:
        """Kill everything from here: the supervisor is dead, or does nothing."""
        if not self.broken.is_set():
            self.broken.set()
            self._killing = asyncio.create_task(self._kill())

    async def _kill(self) -> None:
        def stuck(processes: list[int]) -> None:
            self._loop.call_soon_threadsafe(self._stuck, processes)

        await asyncio.to_thread(kill_all_descendants, stuck, reap=lambda _process, _status: None)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(Ending(Exit.BUG, "broken"))

    # ------------------------------------------------------------------ messages

    def _send(self, **order: Any) -> int:
        """Send an order without ever waiting, and return its number: whether it is heard is looked at later."""
        self._number += 1
        message = json.dumps({**order, "number": self._number}).encode()
        try:
            self._socket.send(message, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        except OSError:
            self._broken()
        return self._number

    def _read(self) -> None:
        try:
            message = self._socket.recv(MESSAGE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            self._take(json.loads(message))
            return
        self._loop.remove_reader(self._socket.fileno())
        if not self._ready.done():
            self._ready.set_exception(ConnectionError())
        self._broken()

    def _take(self, said: dict[str, Any]) -> None:
        if "ready" in said and not self._ready.done():
            self._ready.set_result(None)
        elif "heard" in said:
            self._heard = said["heard"]
            for number in [number for number in self._waiting if number <= self._heard]:
                if not (heard := self._waiting.pop(number)).done():
                    heard.set_result(None)
        elif "killing" in said:
            self._is_killing = True
        elif "stuck" in said:
            self._stuck(said["stuck"])
        elif "ended" in said and self._ended is not None and not self._ended.done():
            self._ended.set_result(Ending(said["ended"], said["cause"], said["left"]))


def _has_terminal() -> bool:
    """Return whether there is a terminal: then the command is in golea's process group, and gets Ctrl-C and Ctrl-Z.

    Without one it has a group of its own. Else its end could leave golea's group orphaned, with whatever else is in it:
    with a golea that is stopped in it the kernel sends SIGHUP to all of them.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _is_leased(leadership: Leadership) -> bool:
    """Return whether nobody else can lead yet, although leadership was lost: the znode is there, and is kept."""
    try:
        leadership.check()
    except golea_async.LeadershipLostError as loss:
        return not isinstance(
            loss.__cause__,
            golea_async.CandidateDeletedError | golea_async.SessionExpiredError | golea_async.LeaseExpiredError,
        )
    return True

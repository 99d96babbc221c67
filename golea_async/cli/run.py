"""``golea run``: run a program while leading."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from golea_async import (
    AsyncElection,
    ElectionError,
    ElectionOverError,
    Leadership,
    LeadershipLostError,
    Role,
    ZKClient,
    create_election,
)
from golea_async.guardian import main as guard_as_process_1

from .exits import Exit, Problem
from .options import Json, Resource, Seconds, ZooKeeperOptions
from .output import remark, remark_json, settle, speak_in_background
from .session import PATIENCE, Limit, configure_logging, connected
from .signals import ENDING, listen
from .supervision import Ending, Supervision, Timing

_DEFAULTS = ZooKeeperOptions()
_T = TypeVar("_T")
SESSION_TIMEOUT = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a command that has ended soon is run again."""


def run(
    resource: Resource,
    /,
    *command: Annotated[str, Parameter(help="The command and its arguments, behind --.", allow_leading_hyphen=True)],
    name: Annotated[str | None, Parameter(help="Name of this candidate (host:pid).")] = None,
    create: Annotated[bool, Parameter(help="Make the election when there is none.")] = False,
    wait: Annotated[float | None, Seconds, Parameter(help="Seconds after which to give up; 0: lead at once.")] = None,
    restart: Annotated[bool, Parameter(help="Stand and run again when the command has ended, or was stopped.")] = False,
    grace: Annotated[
        float | None,
        Parameter(help="Seconds between SIGTERM and SIGKILL, at most a sixth of the session timeout (that)."),
    ] = None,
    json: Json = False,
    zookeeper: ZooKeeperOptions = _DEFAULTS,
) -> int:
    """Run a command while leading. It is dead before anybody else leads.

    The command finds GOLEA_FENCING_TOKEN, GOLEA_CANDIDATE_ID and GOLEA_RESOURCE in its environment. When leadership is
    being lost it gets SIGTERM, and then it and all that it has started are killed in time; when it ends, what it has
    left behind is killed before golea resigns. Signals are passed on to it. The session timeout is 30 s unless you say
    else.

    Example: `golea run /my-service/migrator --create -- ./migrate --all`

    Exit code: that of the command, 128 and the signal's number when a signal has ended it; 76 leadership was lost, 75
    it did not lead within `--wait`, 73 the election was ended, 126 and 127 it cannot be run, 66 no election.
    """
    if not command:
        raise Problem(f"which command? golea run {resource} -- COMMAND", Exit.USAGE)
    if command[0].startswith("-"):
        raise Problem(f"golea run has no option {command[0]}; see golea run --help", Exit.USAGE)
    timeout = zookeeper.session_timeout or SESSION_TIMEOUT
    _timing(timeout, grace)
    if os.getpid() == 1:  # its supervisor would end with it: `golea guard` waits for the supervisor
        guard_as_process_1(["--", sys.executable, *sys.orig_argv[1:]])

    async def work() -> int:
        runner = Runner(resource, command, restart=restart, grace=grace, json=json)
        return await runner.run(zookeeper, timeout, name=name, create=create, wait=wait)

    configure_logging()
    try:
        return asyncio.run(work())
    finally:
        settle()


def _timing(timeout: float, grace: float | None) -> Timing:
    if grace is not None and not 0 <= grace <= timeout / 6:
        raise Problem(
            f"--grace {grace:g}: at most {timeout / 6:g} s, a sixth of the session timeout, which is {timeout:g} s",
            Exit.USAGE,
        )
    return Timing(timeout, timeout / 6 if grace is None else grace)


class _Stopped(Exception):  # noqa: N818  # a signal asks for it
    """Somebody wants golea to end while no command runs."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Runner:
    """One ``golea run``."""

    def __init__(
        self, resource: str, command: tuple[str, ...], *, restart: bool, grace: float | None, json: bool
    ) -> None:
        self._resource, self._command = resource, command
        self._restart, self._grace, self._json = restart, grace, json
        self._ending_signal: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._signalling: set[asyncio.Task[None]] = set()
        self._only_at_once = False

    async def run(
        self, zookeeper: ZooKeeperOptions, timeout: float, *, name: str | None, create: bool, wait: float | None
    ) -> int:
        """Stand, run the command, and return golea's exit code."""
        listen(self._heard)
        speak_in_background()
        self._supervision = Supervision(self._command, self._stuck)
        try:
            await self._supervision.ready()
            return await self._unless_stopped(self._connect_and_run(zookeeper, timeout, name, wait, create=create))
        except _Stopped as stopped:
            return 128 + stopped.number
        finally:
            await self._supervision.close()

    async def _connect_and_run(
        self, zookeeper: ZooKeeperOptions, timeout: float, name: str | None, wait: float | None, *, create: bool
    ) -> int:
        self._only_at_once = wait == 0
        give_up_at = asyncio.get_running_loop().time() + wait if wait else None
        patience = PATIENCE if self._only_at_once else None
        at_most = Limit(wait, "--wait", Exit.GAVE_UP)
        async with connected(
            zookeeper, patience=patience, at_most=at_most, session_timeout=timeout, guardian=True
        ) as zk:
            granted = float(zk.session.timeout)
            if abs(granted - timeout) > 0.001:
                self._say(
                    "granted",
                    f"ZooKeeper grants a session timeout of {granted:g} s, not {timeout:g} s",
                    granted=granted,
                )
            _timing(granted, self._grace)
            if create:
                try:
                    async with asyncio.timeout_at(give_up_at):
                        await create_election(zk, self._resource)
                except TimeoutError:
                    raise self._too_late() from None
            election = AsyncElection(zk, self._resource, name)
            try:
                return await self._run_again_and_again(zk, election, give_up_at)
            finally:
                await self._resign(election)

    async def _run_again_and_again(self, zk: ZKClient, election: AsyncElection, give_up_at: float | None) -> int:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = await self._run_once(zk, election, give_up_at)
            if not self._restart or self._ending_signal.done():
                return code
            await self._resign(election)
            pause = FIRST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else pause
            self._say("restart", f"stands again in {pause:g} s (--restart)", code=code)
            await asyncio.sleep(pause)
            pause, give_up_at, self._only_at_once = min(2 * pause, LONGEST_PAUSE), None, False

    async def _run_once(self, zk: ZKClient, election: AsyncElection, give_up_at: float | None) -> int:
        """Stand, and run the command while leading; return the exit code that follows."""
        try:
            async with asyncio.timeout_at(give_up_at) as limit:
                if election.status.role is Role.NONE:
                    status = await election.start()
                    if self._only_at_once and status.role is not Role.LEADER:
                        raise TimeoutError
                    if status.now_following:
                        text = f"{status.candidate_id} follows {status.now_following}"
                        self._say("follows", text, candidate_id=status.candidate_id, following=status.now_following)
                async with election.leadership() as leadership:
                    limit.reschedule(None)
                    ending = await self._run_while_leading(zk, leadership, election)
        except LeadershipLostError as loss:
            ended = self._supervision.ending
            if ended is not None and ended.cause == "itself":
                return self._ended_by_itself(ended)
            return self._lost(loss.__cause__)
        except TimeoutError:
            raise self._too_late() from None
        if ending.cause == "itself":
            return self._ended_by_itself(ending)
        if ending.cause == "broken":
            raise Problem("golea's supervisor was killed or stopped: the command was killed, too", Exit.BUG)
        return self._lost(None)

    def _too_late(self) -> Problem:
        text = f"{self._resource}: did not lead in time (--wait). Who leads: golea status {self._resource}"
        return Problem(text, Exit.GAVE_UP)

    async def _run_while_leading(self, zk: ZKClient, leadership: Leadership, election: AsyncElection) -> Ending:
        timing = _timing(float(zk.session.timeout), self._grace)
        candidate = election.status.candidate_id or ""
        environment = {
            "GOLEA_FENCING_TOKEN": str(leadership.fencing_token),
            "GOLEA_CANDIDATE_ID": candidate,
            "GOLEA_RESOURCE": self._resource,
        }
        text = f"{candidate} leads, fencing token {leadership.fencing_token}: runs {self._command[0]}"
        self._say("leads", text, candidate_id=candidate, fencing_token=leadership.fencing_token)
        while True:
            ending = await self._supervision.run(leadership, environment, timing)
            if ending.cause != "too late":
                return ending
            await asyncio.sleep(timing.margin / 2)  # the lease is being renewed

    def _ended_by_itself(self, ending: Ending) -> int:
        if ending.left:
            self._say("left", f"{ending.left} processes that the command had left behind were killed", left=ending.left)
        return ending.code

    def _lost(self, cause: BaseException | None) -> int:
        """Say why the command was stopped; return the exit code."""
        why = str(cause) if cause is not None else f"{self._resource}: the lease was not renewed in time"
        self._say("lost", f"{why}. The command is dead", reason=type(cause).__name__)
        return Exit.OVER if isinstance(cause, ElectionOverError) else Exit.LOST

    async def _resign(self, election: AsyncElection) -> None:
        try:
            await election.resign()
        except ElectionError as error:
            self._say("resigning", f"{error}")

    # ------------------------------------------------------------------ signals

    async def _unless_stopped(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do the work, and cancel it when a signal asks for the end while no command runs.

        :raises _Stopped: then.
        """
        task: asyncio.Future[Any] = asyncio.create_task(work)
        await asyncio.wait([task, self._ending_signal], return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and not self._supervision.is_running:
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                raise _Stopped(self._ending_signal.result())
        result: _T = await task
        return result

    def _heard(self, number: signal.Signals, group: int) -> None:
        task = asyncio.create_task(self._pass_on(number, group))
        self._signalling.add(task)
        task.add_done_callback(self._signalling.discard)

    async def _pass_on(self, number: signal.Signals, group: int) -> None:
        """Pass a signal on, unless the command was in the process group that got it."""
        is_running = self._supervision.is_running
        await self._supervision.signal(number, group)
        if number == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif number in ENDING:
            if not self._ending_signal.done():
                self._ending_signal.set_result(number)
            elif not is_running:
                os._exit(128 + number)

    # ------------------------------------------------------------------ words

    def _stuck(self, processes: list[int]) -> None:
        named = ", ".join(map(str, processes[:10]))
        self._say("stuck", f"waits for processes that were killed and have not ended: {named}", processes=processes)

    def _say(self, event: str, text: str, **values: Any) -> None:
        if self._json:
            remark_json({"event": event, "text": text, **values})
        else:
            remark(text)

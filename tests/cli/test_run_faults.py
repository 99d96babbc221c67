"""`golea run`: the command is dead before anybody else's begins, whatever becomes of golea and whatever it is.

All cases are played side by side, each with two candidates whose commands write to one log.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from golea_async.cli.exits import Exit
from golea_async.testing import Ensemble
from tests.support.command import PATIENCE, Golea, golea
from tests.support.proxy import Proxy

BEATING = Path(__file__).parents[1] / "support" / "beating.py"
SESSION_TIMEOUT = 8.0
GRACE = 0.2
STARTING_AT_ONCE = 3
PLAYED_AT_ONCE = 11


@dataclass
class Case:
    """Two candidates with one log; the first leads."""

    name: str
    log: Path
    proxy: Proxy
    first: Golea
    second: Golea
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[tuple[int, int, str]]:
        """What the commands have written: token, process id, event."""
        if not self.log.exists():
            return []
        rows = [line.split() for line in self.log.read_text().splitlines()]
        return [(int(token), int(process), event) for token, process, event in rows]

    async def until(self, what: str, seen: Callable[[list[tuple[int, int, str]]], bool]) -> None:
        """Wait until the log has something."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not seen(self.lines()):
                    if self.second.process.returncode is not None:
                        break
                    await asyncio.sleep(0.02)
                else:
                    return
        said = {name: await each.words() for name, each in {"first": self.first, "second": self.second}.items()}
        raise AssertionError(f"{self.name}: not seen that {what}: {said}, {self.lines()[-3:]}")

    def command(self) -> int:
        """The first command's process id."""
        return next(process for _, process, event in self.lines() if event == "begin")


def overlaps(lines: list[tuple[int, int, str]]) -> list[str]:
    """Lines of a leader of the past behind the first line of a later one: there must be none."""
    newest, found = 0, []
    for number, (token, process, event) in enumerate(lines):
        newest = max(newest, token)
        if token < newest:
            found.append(f"line {number}: {event} of process {process}, token {token}, beside token {newest}")
    return found


def test_an_overlap_is_found() -> None:
    lines = [(5, 1, "begin"), (5, 1, "beat"), (7, 2, "begin"), (5, 3, "beat"), (7, 2, "beat")]
    assert overlaps(lines) == ["line 3: beat of process 3, token 5, beside token 7"]
    assert overlaps(lines[:3]) == []


# ------------------------------------------------------------------ faults of golea, and of the command


def kill(case: Case) -> None:
    os.kill(case.first.pid, signal.SIGKILL)


def crash(case: Case) -> None:
    os.kill(case.first.pid, signal.SIGSEGV)


def freeze(case: Case) -> None:
    os.kill(case.first.pid, signal.SIGSTOP)


def suspend(case: Case) -> None:
    os.kill(case.first.pid, signal.SIGTSTP)


def cut_off(case: Case) -> None:
    case.proxy.request_gate.swallow()
    case.proxy.reply_gate.swallow()


def freeze_both(case: Case) -> None:
    os.kill(case.command(), signal.SIGSTOP)
    freeze(case)


def kill_beside_a_frozen_command(case: Case) -> None:
    os.kill(case.command(), signal.SIGSTOP)
    kill(case)


def nothing(case: Case) -> None:
    """The command ends by itself."""
    del case


Fault = Callable[[Case], None]

IN_SHORT: dict[str, tuple[str, Fault]] = {
    "golea is cut off": ("plain", cut_off),
    "golea is frozen": ("plain", freeze),
    "golea is suspended": ("plain", suspend),
    "golea is killed": ("plain", kill),
    "golea crashes": ("plain", crash),
    "the command is frozen": ("plain", freeze_both),
    "the command ignores SIGTERM": ("ignores", freeze),
    "the command forks a tree": ("tree", freeze),
    "the command forks a daemon": ("daemon", kill),
    "the command fills its output pipe": ("pipe", cut_off),
    "the command leaves children": ("leaves", nothing),
}
"""Name, kind of command, and what happens."""

IN_FULL: dict[str, tuple[str, Fault]] = {
    f"{kind}, {fault.__name__}": (kind, fault)
    for kind in ("plain", "ignores", "tree", "daemon", "pipe", "memory")
    for fault in (cut_off, freeze, suspend, kill, crash, freeze_both, kill_beside_a_frozen_command)
}


EXPECTED: dict[Fault, int] = {
    kill: -signal.SIGKILL,
    kill_beside_a_frozen_command: -signal.SIGKILL,
    crash: -signal.SIGSEGV,
    nothing: 5,
}
"""What the first golea exits with."""


@asynccontextmanager
async def two_candidates(
    name: str, kind: str, ensemble: Ensemble, resource: str, directory: Path, starting: asyncio.Semaphore
) -> AsyncIterator[Case]:
    """Start two candidates; the first leads and its command beats, the second follows."""
    log = directory / f"{name.replace(' ', '-').replace(',', '')}.log"
    settings = ("--session-timeout", f"{SESSION_TIMEOUT:g}", "--grace", f"{GRACE:g}")
    arguments = ("run", resource, "--create", *settings, "--")
    command = (sys.executable, "-I", "-S", str(BEATING), str(log), kind)
    read_end, write_end = os.pipe()
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(ensemble.servers[0].port))
        stack.callback(os.close, read_end)
        async with starting:
            with os.fdopen(write_end, "wb"):  # nobody reads it
                first = await stack.enter_async_context(golea(proxy.address, *arguments, *command, stdout=write_end))
            await first.says(r"leads")
            case = Case(name, log, proxy, first, first)
            await case.until("the first beats", lambda lines: len(lines) > 20)
            second = (*command[:-1], "plain")
            case.second = await stack.enter_async_context(golea(ensemble.hosts, *arguments, *second))
            await case.second.says("leads|follows")
        yield case


async def play(name: str, ensemble: Ensemble, directory: Path, starting: asyncio.Semaphore, full: bool) -> Case:
    """Play one case, to the end of both candidates."""
    kind, fault = (IN_FULL if full else IN_SHORT)[name]
    resource = f"/run-{abs(hash(name)):x}"
    async with two_candidates(name, kind, ensemble, resource, directory, starting) as case:
        if kind == "memory":
            await case.until("it is filled", lambda lines: any(event == "filled" for _, _, event in lines))
        fault(case)
        await case.until("the second beats", lambda lines: len({token for token, _, _ in lines}) == 2)
        beats = len(case.lines())
        await case.until("the second goes on", lambda lines: len(lines) > beats + 20)
        case.proxy.request_gate.open()
        case.proxy.reply_gate.open()
        if fault in (freeze, suspend, freeze_both):
            os.kill(case.first.pid, signal.SIGCONT)
        code = await case.first.ends()
        if code != EXPECTED.get(fault, Exit.LOST):
            case.problems.append(f"the first ended with {code}: {case.first.said}")
        with suppress(ProcessLookupError):
            case.second.process.terminate()
        if (code := await case.second.ends()) != 128 + signal.SIGTERM:
            case.problems.append(f"the second ended with {code}: {case.second.said}")
        case.problems += overlaps(case.lines())
        return case


async def play_all(ensemble: Ensemble, directory: Path, *, full: bool) -> None:
    starting, playing, memory = (asyncio.Semaphore(number) for number in (STARTING_AT_ONCE, PLAYED_AT_ONCE, 1))

    async def play_in_turn(name: str) -> Case:
        async with memory if name.startswith("memory") else playing:
            return await play(name, ensemble, directory, starting, full)

    cases = await asyncio.gather(*map(play_in_turn, IN_FULL if full else IN_SHORT))
    assert {case.name: case.problems for case in cases if case.problems} == {}


@pytest.mark.long
async def test_the_command_is_dead_before_anybody_else_leads(real_ensemble: Ensemble, tmp_path: Path) -> None:
    await play_all(real_ensemble, tmp_path, full=False)


@pytest.mark.minutes
@pytest.mark.timeout(900)
async def test_every_kind_of_command_in_every_fault(real_ensemble: Ensemble, tmp_path: Path) -> None:
    await play_all(real_ensemble, tmp_path, full=True)

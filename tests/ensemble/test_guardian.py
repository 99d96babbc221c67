"""The guardian: when a program is dead its session is closed at once, and never while it lives.

A session of ten seconds cannot end by itself in less than half of them: what is gone by then was closed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.elections import eventually, is_there, soon, until_gone
from tests.support.ensemble import Ensemble, SharedEnsemble
from tests.support.guarded import Nursery, Program, guardians_of, nursery
from tests.support.wire import WireClient

OwnEnsemble = Callable[..., Ensemble]

TIMEOUT = 10.0
LATEST = TIMEOUT / 2
ALIVE = 1.0
"""For so long a test looks on while a program lives; a guardian that were wrong would act within milliseconds."""


@pytest.fixture
async def programs() -> AsyncIterator[Nursery]:
    async with nursery() as programs:
        yield programs


async def guarded(program: Program) -> int:
    """Return the process id of the program's guardian, when it has been told of the session."""
    await eventually(lambda: len(guardians_of(program.pid)) == 1)
    (guardian,) = guardians_of(program.pid)
    await asyncio.sleep(0.1)
    return guardian


async def closed_in_time(wire: WireClient, program: Program) -> None:
    async with asyncio.timeout(LATEST):
        await until_gone(wire, program.path)


async def lives(wire: WireClient, *programs: Program) -> None:
    """Look on for a while: the sessions stay."""
    await asyncio.sleep(ALIVE)
    for program in programs:
        assert await is_there(wire, program.path), program.name


async def test_each_way_to_die(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    deeds = ["wait", "exit", "abort", "segfault", "fail in a thread", "reconnect", "lose the session", "fork"]
    started = [
        await programs.start(deed.replace(" ", "-"), ensemble.hosts, deed, timeout=TIMEOUT, chroot="/" + deed[:4])
        for deed in deeds
    ]
    for program in started:
        await guarded(program)
    await lives(wire, *started)
    for program in started:
        program.kill(signal.SIGUSR1)
    for program in started:
        if program.name in ("wait", "reconnect", "lose-the-session"):
            program.kill()
        elif program.name == "fork":
            await soon(program.is_done.wait())
            program.kill()
        await closed_in_time(wire, program)
        await eventually(lambda program=program: guardians_of(program.pid) == [])

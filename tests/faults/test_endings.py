"""An election is ended while its leader is cut off, frozen or busy: two must not lead, whatever the leader hears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from .checker import overlap_time
from .cluster import SESSION_TIMEOUT, Cluster
from .run import Candidate, Run
from .scenarios import start_both

pytestmark = pytest.mark.asyncio(loop_scope="package")  # as the cluster's


@asynccontextmanager
async def blocked(run: Run, candidate: Candidate) -> Any:
    blocking = asyncio.create_task(run.block(candidate, 2 * SESSION_TIMEOUT))
    yield
    await blocking


AWAY: dict[str, Callable[[Run, Candidate], AbstractAsyncContextManager[None]]] = {
    "cut off": lambda run, candidate: run.cut_off(candidate),
    "frozen": lambda run, candidate: run.frozen(candidate),
    "blocked": blocked,
}


@pytest.mark.parametrize("away", AWAY)
async def test_while_the_leader_is_away(away: str, cluster: Cluster) -> None:
    """The follower stands anew as soon as it can, and leads when the former leader's session is over.

    The leader that was away hears of the end, if that was told before its session ended: that is final. Else it hears
    of its session's end, and stands again by itself.
    """
    async with Run(cluster, f"The election is ended while its leader is {away}") as run:
        a, b = await start_both(run)
        async with AWAY[away](run, a):
            await run.end_election()
            await run.until(lambda: b in run.deposed, "b is told")
            await run.rejoin(b)
            await run.until_leads(b)
        await run.until(lambda: a in run.deposed or run.follows(a), "a is told that its election or session is over")
        if a in run.deposed:
            await run.rejoin(a)
        await run.settle()
    assert run.faults() == [], run.log()
    assert overlap_time(run.record) == 0

"""The rows of the table of faults: each takes a new run with any of the libraries, and does one thing to it.

In each of them `a` leads and `b` stands behind it when the fault comes. What must hold is the tests' to say, how well
it goes the benchmark's. A library that hangs, or has two leaders for ever, must not stop a scenario: a scenario waits
for what ours does, and for the others at most `PATIENCE`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.ensemble import Server
from tests.support.proxy import Rule
from tests.support.wire import OpCode

from .cluster import SESSION_TIMEOUT, SYNC_LIMIT, TICK, Cluster
from .contenders import Library
from .run import Candidate, Run

PATIENCE = 4 * SESSION_TIMEOUT
OURS = (Library.GOLEA, Library.GOLEA_GUARDED, Library.GOLEA_ON_AIOZK)
CREATES = (OpCode.CREATE, OpCode.CREATE2)


@dataclass(frozen=True)
class Scenario:
    """A row: its name, what it says above its timeline, and what is done."""

    name: str
    title: str
    play: Callable[[Run], Awaitable[None]]
    library: Library | None = None
    """Which one it is about; None: any."""


async def play(
    scenario: Scenario,
    cluster: Cluster,
    library: Library = Library.GOLEA,
    *,
    hold: float = 2.0,
    session_timeout: float = SESSION_TIMEOUT,
) -> Run:
    """Run it to its end, and return the run with its record.

    `hold`: seconds that a fault goes on when there may be two leaders already.
    """
    async with Run(
        cluster, scenario.title, library=scenario.library or library, hold=hold, session_timeout=session_timeout
    ) as run:
        await scenario.play(run)
        await finish(run)
    return run


async def finish(run: Run) -> None:
    if run.library in OURS:
        await run.settle()
    else:
        await run.end()


async def start_both(run: Run, *, on: Server | None = None, b_on: Server | None = None) -> tuple[Candidate, Candidate]:
    a = await run.start("a", on=on)
    await run.until_leads(a)
    return a, await run.start("b", on=b_on)


async def wait(run: Run, awaitable: Awaitable[None]) -> None:
    """Wait for what ours does without fail, and for other libraries' so long as is of use."""
    if run.library in OURS:
        await awaitable
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await awaitable
    except TimeoutError:
        return


# ---------------------------------------------------------------------- two leaders?


async def leader_cut_off(run: Run) -> None:
    a, b = await start_both(run)
    async with run.cut_off(a):
        await wait(run, run.until_leads(b))
        await asyncio.sleep(run.hold)  # time to go on believing


async def leader_cut_off_one_way(run: Run) -> None:
    a, _ = await start_both(run)
    async with run.cut_off(a, "from ZooKeeper"):
        # What the client sends may keep its session alive: b leads when a's client gives up, or later.
        await wait(run, run.until_believes_no_more(a))
    await wait(run, run.until(lambda: bool(run.leaders), "somebody leads"))
    await asyncio.sleep(run.hold)


async def follower_cut_off(run: Run) -> None:
    a, _ = await start_both(run, on=await run.cluster.follower(), b_on=await run.cluster.leader())
    async with run.server_cut_off(_server_of(run, a)):
        await asyncio.sleep(run.record.patience + run.hold)


async def follower_cut_off_no_way_out(run: Run) -> None:
    """Nor can `a` go elsewhere: its own server is all that it reaches."""
    server = await run.cluster.follower()
    a, b = await start_both(run, on=server, b_on=await run.cluster.leader())
    async with run.confined(a, server), run.server_cut_off(server):
        await wait(run, run.until_leads(b))
        await asyncio.sleep(run.hold)


async def both_on_the_follower_cut_off(run: Run) -> None:
    """The follower's server goes on answering its reads and pings, and never tells that the leader is gone."""
    server = await run.cluster.follower()
    a, b = await start_both(run, on=server, b_on=server)
    async with run.server_cut_off(server):
        await run.kill(a)
        await wait(run, run.until_leads(b))
        await asyncio.sleep(run.hold)


async def zookeepers_leader_cut_off(run: Run) -> None:
    a, _ = await start_both(run, on=await run.cluster.leader(), b_on=await run.cluster.follower())
    async with run.server_cut_off(_server_of(run, a)):
        await asyncio.sleep(SYNC_LIMIT * TICK)  # then its followers have noticed, and elect another one
        await wait(run, run.until(lambda: bool(run.leaders), "somebody leads"))
        await asyncio.sleep(SESSION_TIMEOUT)


async def zookeepers_leader_stranded(run: Run) -> None:
    a, _ = await start_both(run, on=await run.cluster.leader(), b_on=await run.cluster.follower())
    async with run.leader_stranded(_server_of(run, a)):
        await asyncio.sleep(run.record.patience + run.hold)


async def zookeepers_leader_stranded_no_way_out(run: Run) -> None:
    server = await run.cluster.leader()
    a, b = await start_both(run, on=server, b_on=await run.cluster.follower())
    async with run.confined(a, server), run.leader_stranded(server):
        await wait(run, run.until_leads(b))
        await asyncio.sleep(run.hold)


async def leader_frozen(run: Run) -> None:
    a, b = await start_both(run)
    async with run.frozen(a):
        await wait(run, run.until_leads(b))
    await asyncio.sleep(run.hold)


async def leader_blocked(run: Run) -> None:
    a, b = await start_both(run)
    blocked = asyncio.create_task(run.block(a, 2.5 * SESSION_TIMEOUT))
    await wait(run, run.until_leads(b))
    await blocked


# ---------------------------------------------------------------------- leadership stays


async def server_killed(run: Run) -> None:
    a, _ = await start_both(run, on=await run.cluster.follower())
    killed = a.server
    async with run.server_killed(_server_of(run, a)):
        await wait(run, run.until_connected(a, elsewhere=killed))
        await asyncio.sleep(SESSION_TIMEOUT)


async def zookeepers_leader_killed(run: Run) -> None:
    a, _ = await start_both(run, on=await run.cluster.leader())
    killed = a.server
    async with run.server_killed(_server_of(run, a)):
        await wait(run, run.until_connected(a, elsewhere=killed))
        await asyncio.sleep(SESSION_TIMEOUT)


async def rolling_restart(run: Run) -> None:
    await start_both(run)
    leader = await run.cluster.leader()
    for server in [*(each for each in run.cluster.servers if each is not leader), leader]:
        async with run.server_killed(server):
            pass
    await asyncio.sleep(SESSION_TIMEOUT)


async def ensemble_away(run: Run) -> None:
    await start_both(run)
    async with run.ensemble_away():
        await asyncio.sleep(2.5)
    await wait(run, run.until(lambda: bool(run.leaders), "somebody leads"))
    await asyncio.sleep(SESSION_TIMEOUT)


# ---------------------------------------------------------------------- nobody leads?


async def follower_away_while_leader_resigns(run: Run) -> None:
    a, b = await start_both(run)
    async with run.cut_off(b):
        await run.resign(a)
        # Long enough for the end of the connection, not for the end of the session.
        await asyncio.sleep(SESSION_TIMEOUT / 2)
    await wait(run, run.until_leads(b))
    await asyncio.sleep(run.hold)


async def nomination_reply_lost(run: Run) -> None:
    a = await run.start("a")
    await run.until_leads(a)
    b = await run.start("b", joins=False)
    async with losing_next_reply(run, b):
        await wait(run, run.join(b))
    await run.resign(a)
    await wait(run, run.until_leads(b))
    await asyncio.sleep(run.hold)


async def leader_killed(run: Run) -> None:
    a, b = await start_both(run)
    await run.kill(a)
    await wait(run, run.until_leads(b))
    await asyncio.sleep(run.hold)


async def guarded_leader_killed(run: Run) -> None:
    a, b = await start_both(run)
    await asyncio.sleep(SESSION_TIMEOUT / 4)  # by then its guardian knows of the session
    await run.kill(a)
    await run.until_leads(b)
    await asyncio.sleep(run.hold)


@asynccontextmanager
async def losing_next_reply(run: Run, candidate: Candidate) -> AsyncIterator[Rule]:
    """The candidate's next create is done, and its connection reset instead of the reply."""
    (proxy,) = (proxy for proxy in candidate.proxies if proxy.open_connections)
    with run.band("reply lost", candidate.name, hinders=[candidate]):
        rule = proxy.lose_next_reply(CREATES)
        yield rule
        await rule


def _server_of(run: Run, candidate: Candidate) -> Server:
    assert candidate.server is not None, f"{candidate} has a connection"
    return run.cluster.servers[candidate.server]


ROWS = {
    scenario.name: scenario
    for scenario in (
        Scenario("leader-cut-off", "The leader is cut off from all servers", leader_cut_off),
        Scenario("leader-cut-off-one-way", "The leader hears nothing from any server", leader_cut_off_one_way),
        Scenario("follower-cut-off", "The leader's server is cut off from the ensemble", follower_cut_off),
        Scenario(
            "follower-cut-off-no-way-out",
            "The leader's server is cut off from the ensemble, and the leader reaches no other",
            follower_cut_off_no_way_out,
        ),
        Scenario(
            "both-on-the-follower-cut-off",
            "The server of both is cut off from the ensemble, and the leader is killed",
            both_on_the_follower_cut_off,
        ),
        Scenario(
            "zookeepers-leader-cut-off",
            "The leader's server is ZooKeeper's leader, cut off from both followers; nobody is told",
            zookeepers_leader_cut_off,
        ),
        Scenario(
            "zookeepers-leader-stranded",
            "The leader's server is ZooKeeper's leader; its followers elect another one, and it is not told",
            zookeepers_leader_stranded,
        ),
        Scenario(
            "zookeepers-leader-stranded-no-way-out",
            "ZooKeeper's leader is cut off, its followers elect another; the leader reaches that server alone",
            zookeepers_leader_stranded_no_way_out,
        ),
        Scenario("leader-frozen", "The leader is frozen past its session", leader_frozen),
        Scenario("leader-blocked", "The leader's event loop is blocked past its session", leader_blocked),
        Scenario("server-killed", "The leader's ZooKeeper server is killed", server_killed),
        Scenario(
            "zookeepers-leader-killed", "The leader's server is killed: ZooKeeper's leader", zookeepers_leader_killed
        ),
        Scenario("rolling-restart", "All servers are restarted, one after the other", rolling_restart),
        Scenario("ensemble-away", "The whole ensemble is away for 2.5 s", ensemble_away),
        Scenario(
            "follower-away-while-leader-resigns",
            "The follower is cut off while the leader resigns",
            follower_away_while_leader_resigns,
        ),
        Scenario("nomination-reply-lost", "The reply to the follower's nomination is lost", nomination_reply_lost),
        Scenario("leader-killed", "The leader's process is killed", leader_killed),
        Scenario(
            "leader-killed-guardian",
            "The leader's process is killed, and has a guardian",
            guarded_leader_killed,
            Library.GOLEA_GUARDED,
        ),
        Scenario(
            "leader-frozen-guardian",
            "The leader is frozen past its session, and has a guardian",
            leader_frozen,
            Library.GOLEA_GUARDED,
        ),
    )
}

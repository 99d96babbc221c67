"""A forked child has its parent's client in memory, sockets and all, and must not send a byte through it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import asyncio, os, sys
import aiozk
import golea_async
from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper

OURS = sys.argv[1] == "ours"


async def refused(what, call):
    try:
        async with asyncio.timeout(5):
            await call()
    except (golea_async.ElectionError, golea_async.NotSentError) as error:
        if "belongs to process" in str(error):
            return
        print(f"{what}: {error!r}")
    except TimeoutError:
        print(f"{what} waits")
    else:
        print(f"{what} was not refused")


async def work(_):
    print("leads in the child")


async def iterate(iterate_over):
    await anext(iterate_over())


async def child(zk, election, leadership):
    if election.is_leader or leadership.is_valid or election.current_leadership or leadership.remaining:
        print("believes in the child")
    other = AsyncElection(zk, "/e", "other")
    calls = {
        "start": election.start,
        "start of another": other.start,
        "run": lambda: election.run(work),
        "run of another": lambda: other.run(work),
        "resign": election.resign,
        "end": election.end,
        "wait_for_leadership": election.wait_for_leadership,
        "statuses": lambda: iterate(election.statuses),
        "create_election": lambda: create_election(zk, "/f"),
        "list_candidates": lambda: golea_async.list_candidates(zk, "/e"),
        "get_leader": lambda: golea_async.get_leader(zk, "/e"),
        "observe_leader": lambda: iterate(lambda: golea_async.observe_leader(zk, "/e")),
        "depose": lambda: golea_async.depose(zk, election.status.candidate_id),
        "end_election": lambda: golea_async.end_election(zk, "/e"),
        "delete_election": lambda: golea_async.delete_election(zk, "/e"),
    }
    if OURS:
        calls |= {
            "get": lambda: zk.get("/e"),
            "create": lambda: zk.create("/g"),
            "client's start": zk.start,
            "session_events": lambda: iterate(zk.session_events),
            "close": zk.close,
        }
    for what, call in calls.items():
        await refused(what, call)


async def main(zookeeper):
    zk = (ZKClient if OURS else aiozk.ZKClient)(zookeeper.hosts, session_timeout=2)
    await zk.start()
    await create_election(zk, "/e")
    election = AsyncElection(zk, "/e", "parent")
    await election.start()
    leadership = await election.wait_for_leadership()
    before, connection = zookeeper.znodes(), zk.session.conn
    sessions = {each.session_id for each in zookeeper.sessions()}
    process = os.fork()
    if not process:
        try:
            asyncio.run(child(zk, election, leadership))
        finally:
            sys.stdout.flush()
            os._exit(0)
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.01)
    await zk.exists("/e")
    # Of several sessions one is the client's: it goes to another server when a busy one is late to make it.
    no_more_sessions = {each.session_id for each in zookeeper.sessions()} <= sessions
    print(zookeeper.znodes() == before, no_more_sessions, election.is_leader, zk.session.conn is connection)
    await election.resign()
    await zk.close()


with MemoryZooKeeper() as zookeeper:
    asyncio.run(main(zookeeper))
"""


@pytest.mark.parametrize("client", ["ours", "aiozk's"])
def test_a_forked_child_is_refused_everywhere(client: str) -> None:
    """And whatever it tried, its parent leads on, through the same connection."""
    done = subprocess.run([sys.executable, "-c", CHILD, client], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["True True True True"], done.stdout + done.stderr

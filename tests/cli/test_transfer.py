"""`golea transfer`, and `golea depose` that asks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from golea_async import AsyncElection, ZKClient
from golea_async.cli.exits import Exit
from golea_async.testing import MemoryZooKeeper
from tests.support.command import ask, ask_json, golea


async def test_the_youngest_leads_in_one_move(memory: MemoryZooKeeper, client: ZKClient, leader: AsyncElection) -> None:
    resource = leader.resource
    async with AsyncExitStack() as stack:
        names = ["ben", "cleo"]
        others = [await stack.enter_async_context(AsyncElection(client, resource, name)) for name in names]
        seen = await ask_json(memory.hosts, "transfer", resource, "--to", "youngest")
        assert seen["name"] == "cleo"
        async with asyncio.timeout(10):
            await others[1].wait_for_leadership()
        code, out, _ = await ask(memory.hosts, "transfer", resource, "--to", "cleo")
        assert (code, out.startswith(f"cleo leads {resource}, fencing token ")) == (Exit.DONE, True)


async def test_who_stands_alone_keeps_leading(memory: MemoryZooKeeper, leader: AsyncElection) -> None:
    code, _, err = await ask(memory.hosts, "transfer", leader.resource)
    assert code == Exit.UNFIT
    assert f"golea status {leader.resource}" in err
    assert leader.is_leader


async def test_who_is_meant_must_stand(memory: MemoryZooKeeper, leader: AsyncElection, client: ZKClient) -> None:
    code, _, err = await ask(memory.hosts, "transfer", leader.resource, "--to", "nobody")
    assert (code, f"golea status {leader.resource}" in err) == (Exit.NOT_FOUND, True)
    await leader.resign()
    code, _, err = await ask(memory.hosts, "transfer", leader.resource, "--to", "youngest")
    assert (code, "nobody stands" in err) == (Exit.UNFIT, True)
    async with AsyncElection(client, leader.resource, "twin"), AsyncElection(client, leader.resource, "twin") as second:
        code, _, err = await ask(memory.hosts, "transfer", leader.resource, "--to", "twin")
        assert (code, str(second.status.candidate_id) in err) == (Exit.USAGE, True)


async def test_the_command_of_run_is_stopped_first(memory: MemoryZooKeeper, client: ZKClient, election: str) -> None:
    async with golea(memory.hosts, "run", election, "--", "sleep", "1000") as command:
        await command.says("leads")
        async with AsyncElection(client, election, "eve") as eve:
            assert (await ask(memory.hosts, "transfer", election))[0] == Exit.DONE
            async with asyncio.timeout(10):
                await eve.wait_for_leadership()
            assert await command.ends() == Exit.LOST

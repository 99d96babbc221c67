"""What `golea status` and `golea watch` show of an election in which somebody moves."""

from __future__ import annotations

import asyncio

import pytest
from aiozk import WatchEvent

from golea_async import AsyncElection, Candidate, ZKClient, list_candidates
from golea_async.cli import snapshot
from golea_async.cli.snapshot import take_snapshot
from tests.support.elections import soon


async def test_who_steps_down_is_shown_all_the_time(client: ZKClient, election: str) -> None:
    elections = [AsyncElection(client, election, name) for name in ("ada", "bob", "cleo")]
    for each in elections:
        await each.start()

    async def look() -> None:
        for _ in range(50):
            shown = await take_snapshot(client, election)
            assert sorted(each.name for each in shown.candidates) == ["ada", "bob", "cleo"]

    looking = asyncio.create_task(look())
    turn = 0
    while not looking.done():
        await elections[turn % 3].step_down()
        turn += 1
    await looking
    for each in elections:
        await each.resign()


async def test_a_change_while_it_reads_is_told(
    client: ZKClient, election: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `golea watch` would show what was until the next change."""
    ada = AsyncElection(client, election, "ada")

    async def list_and_change(zk: ZKClient, resource: str) -> list[Candidate]:
        listed = await list_candidates(zk, resource)
        await ada.start()
        return listed

    monkeypatch.setattr(snapshot, "list_candidates", list_and_change)
    changed = client.wait_for_events([WatchEvent.CHILDREN_CHANGED], election)
    assert not (await take_snapshot(client, election, watch=True)).candidates
    await soon(changed)
    await ada.resign()

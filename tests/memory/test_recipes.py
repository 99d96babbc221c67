"""aiozk's recipes on ZKClient while any one of their requests, or the reply to it, is lost with its connection."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import re
from collections.abc import Awaitable, Callable

import pytest

from golea_async.client import OutcomeUnknownError, ZKClient
from golea_async.testing import MemoryZooKeeper
from tests.support.proxy import Action, Frame, Proxy
from tests.support.wire import OpCode

Recipe = Callable[[ZKClient, str], Awaitable[None]]

OF_THE_CLIENT = {OpCode.CREATE_SESSION, OpCode.PING, OpCode.SET_WATCHES, OpCode.CLOSE_SESSION}
CREATES = {OpCode.CREATE, OpCode.CREATE2}
WATCH_EVENT = 0
EPHEMERAL = re.compile(r"[0-9]{10}$")
PATIENCE = 30.0


async def lock(client: ZKClient, path: str) -> None:
    recipe = client.recipes.Lock(path)
    await recipe.acquire()
    await recipe.release()


async def shared_lock(client: ZKClient, path: str) -> None:
    recipe = client.recipes.SharedLock(path)
    async with recipe.reader_lock:
        pass
    async with recipe.writer_lock:
        pass


async def barrier(client: ZKClient, path: str) -> None:
    recipe = client.recipes.Barrier(f"{path}/barrier")
    await recipe.create()
    waiting = asyncio.ensure_future(client.recipes.Barrier(f"{path}/barrier").wait())
    await asyncio.sleep(0)
    await recipe.lift()
    await waiting


async def double_barrier(client: ZKClient, path: str) -> None:
    recipe = client.recipes.DoubleBarrier(path, min_participants=1)
    await recipe.enter()
    await recipe.leave()


async def election(client: ZKClient, path: str) -> None:
    recipe = client.recipes.LeaderElection(path)
    await recipe.volunteer()
    await recipe.wait_for_leadership()
    await recipe.resign()


async def party(client: ZKClient, path: str) -> None:
    recipe = client.recipes.Party(path, "name")
    await recipe.join()
    await recipe.leave()


async def lease(client: ZKClient, path: str) -> None:
    recipe = client.recipes.Lease(path)
    assert await recipe.obtain(dt.timedelta(seconds=0.01))
    while await client.get_children(path):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)


async def counter(client: ZKClient, path: str) -> None:
    recipe = client.recipes.Counter(f"{path}/counter")
    await recipe.start()
    assert await recipe.get_value() == 0
    await client.delete(f"{path}/counter")


async def tree_cache(client: ZKClient, path: str) -> None:
    recipe = client.recipes.TreeCache(path)
    await recipe.start()
    await recipe.stop()


RECIPES: list[Recipe] = [lock, shared_lock, barrier, double_barrier, election, party, lease, counter, tree_cache]


async def play(recipe: Recipe, zookeeper: MemoryZooKeeper, proxy: Proxy, path: str) -> bool:
    """Run a recipe; return whether it came through.

    Then nothing of it is left. Else it has raised that an outcome is unknown, and nothing that would block others, an
    ephemeral znode of the session, is left while the session lives.
    """
    async with ZKClient(proxy.address, session_timeout=6) as client, asyncio.timeout(PATIENCE):
        raised = False
        try:
            await recipe(client, path)
        except OutcomeUnknownError:
            raised = True
        while left := [each for each in zookeeper.znodes() if each.startswith(f"{path}/")]:
            if raised and not any(EPHEMERAL.search(each) for each in left):
                break
            assert raised, left
            await asyncio.sleep(0.01)
        return not raised


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__)
async def test_each_request_and_each_reply_of_a_recipe_is_lost(
    recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    """Creates are sent once, and then raise; all the rest comes through."""
    caplog.set_level(logging.CRITICAL, "aiozk")
    with MemoryZooKeeper() as zookeeper:
        async with Proxy(zookeeper.servers[0].port) as proxy, ZKClient(zookeeper.hosts) as own:
            await own.create("/calm")
            assert await play(recipe, zookeeper, proxy, "/calm")
            sent = sum(count for opcode, count in proxy.requests.items() if opcode not in OF_THE_CLIENT)
            for which in range(sent):
                for lose in (proxy.on_request, proxy.on_reply):
                    path = await own.create(f"/faulty-{which}-{lose.__name__}")
                    rule = lose(Nth(which), Action.RESET)
                    came_through = await play(recipe, zookeeper, proxy, path)
                    if rule.happened.done():  # a watch may have made a request needless
                        assert came_through is (rule.happened.result().opcode not in CREATES)


class Nth:
    """Finds the request of that number, from 0, of those that the recipe itself has sent, or the reply to it."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, frame: Frame) -> bool:
        if frame.opcode in OF_THE_CLIENT or frame.opcode == WATCH_EVENT:
            return False
        self._left -= 1
        return self._left == -1

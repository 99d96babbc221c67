"""``golea status`` and ``golea watch``."""

from __future__ import annotations

import asyncio
import logging
import time

from aiozk import WatchEvent

from golea_async import ZKClient
from golea_async.client import SessionState

from .exits import Exit
from .options import Json, Resource, ZooKeeperOptions
from .output import console, is_terminal, say, say_json
from .picture import lines, live_picture, picture, summary
from .session import connected, no_election, run_async
from .snapshot import Snapshot, State, take_snapshot

_DEFAULTS = ZooKeeperOptions()
_EVENTS = (WatchEvent.CREATED, WatchEvent.DELETED, WatchEvent.CHILDREN_CHANGED)
_CODES = {
    State.LED: Exit.DONE,
    State.NOBODY_STANDS: Exit.NO,
    State.BEING_ENDED: Exit.OVER,
    State.NO_ELECTION: Exit.NOT_FOUND,
}
PAUSE = 0.2
"""Seconds between two looks: a hundred candidates that come at once are one change."""
REFRESH = 1.0


def status(resource: Resource, /, *, json: Json = False, zookeeper: ZooKeeperOptions = _DEFAULTS) -> int:
    """Say who leads, who follows, and what is in the way.

    It reads behind a quorum write: as of now. Whether the leader believes it, only its process knows.

    Example: `golea status /my-service/scheduler`

    Exit code: 0 somebody leads, 1 nobody stands, 66 no election, 73 it is being ended, 69 no ZooKeeper.
    """

    async def work() -> int:
        async with connected(zookeeper) as zk:
            snapshot = await take_snapshot(zk, resource)
        if json:
            say_json(snapshot.as_json())
        elif snapshot.state is State.NO_ELECTION:
            raise no_election(resource, zookeeper.where)
        elif is_terminal():
            (screen := console()).print(picture(snapshot, screen))
        else:
            for line in lines(snapshot):
                say(line)
        return _CODES[snapshot.state]

    return run_async(work)


def watch(resource: Resource, /, *, json: Json = False, zookeeper: ZooKeeperOptions = _DEFAULTS) -> int:
    """Follow an election: a live table in a terminal, a line for each change in a pipe.

    It goes on through everything, until Ctrl-C: ZooKeeper away, the election deleted and made again.

    Example: `golea watch /my-service/scheduler | tee -a leaders.log`

    Exit code: 130 after Ctrl-C, 69 when `--timeout` is over before ZooKeeper was reached.
    """

    async def work() -> int:
        async with connected(zookeeper, patience=None) as zk:
            if is_terminal() and not json:
                await _show_live(zk, resource)
            else:
                await _print_changes(zk, resource, json=json)
        return 0

    return run_async(work)


# ------------------------------------------------------------------ watch


async def _next_change(changed: asyncio.Future[None]) -> None:
    """Wait for a watch, and then for a moment: what comes together is one change."""
    try:
        await changed
    finally:
        changed.cancel()
    await asyncio.sleep(PAUSE)


async def _print_changes(zk: ZKClient, resource: str, *, json: bool) -> None:
    """Print a line for each change of leader, of the number of followers, or of the election."""
    before: tuple[object, ...] | None = None
    while True:
        changed = zk.wait_for_events(_EVENTS, resource)
        snapshot = await take_snapshot(zk, resource, watch=True)
        now = (snapshot.state, snapshot.leader, len(snapshot.candidates), snapshot.foreign)
        if now != before:
            at = time.time()
            if json:
                say_json({"at": round(at, 3), **snapshot.as_json()}, indent=None)
            else:
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(at))
                say(f"{stamp} {summary(snapshot)}{_followers(snapshot)}")
        before = now
        await _next_change(changed)


def _followers(snapshot: Snapshot) -> str:
    if snapshot.state is not State.LED:
        return ""
    count = len(snapshot.candidates) - 1
    return f", {count} follower{'s' * (count != 1)}"


async def _show_live(zk: ZKClient, resource: str) -> None:
    """Show a table that follows the election, and whether ZooKeeper is in touch."""
    from rich.live import Live  # noqa: PLC0415

    with Live(console=(screen := console()), auto_refresh=False, screen=True) as live:
        snapshot: Snapshot | None = None
        in_touch = True
        logging.getLogger("golea_async").setLevel(logging.CRITICAL)  # the picture says it

        async def look() -> None:
            nonlocal snapshot
            while True:
                changed = zk.wait_for_events(_EVENTS, resource)
                snapshot = await take_snapshot(zk, resource, watch=True)
                await _next_change(changed)

        async def listen() -> None:
            nonlocal in_touch
            async for event in zk.session_events():
                in_touch = event.state is SessionState.CONNECTED

        async def draw() -> None:
            while True:
                if snapshot is not None:
                    live.update(live_picture(snapshot, screen, in_touch=in_touch), refresh=True)
                await asyncio.sleep(PAUSE if snapshot is None else REFRESH)

        async with asyncio.TaskGroup() as group:
            group.create_task(look())
            group.create_task(draw())
            group.create_task(listen())

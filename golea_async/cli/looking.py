"""``golea status`` and ``golea watch``."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from aiozk import WatchEvent

from golea_async import ZKClient
from golea_async.client import SessionState

from .exits import Exit, Problem
from .options import Json, Resource, ZooKeeperOptions
from .output import aligned, console, duration, is_terminal, printable, say, say_json
from .session import connected, run_async
from .snapshot import Snapshot, Standing, State, take_snapshot

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

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
WIDE = 100
"""Columns of a terminal in which sessions have room."""


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
            raise Problem(
                f"there is no election {resource}. To make it: golea create {resource}", _CODES[snapshot.state]
            )
        elif is_terminal():
            (screen := console()).print(picture(snapshot, screen.width))
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


# ------------------------------------------------------------------ status


def summary(snapshot: Snapshot) -> str:
    """Return the first line."""
    leader = snapshot.leader
    match snapshot.state:
        case State.NO_ELECTION:
            return f"{snapshot.resource}: no election"
        case State.NOBODY_STANDS:
            return f"{snapshot.resource}: nobody stands"
        case State.BEING_ENDED:
            left = len(snapshot.candidates)
            return f"{snapshot.resource}: being ended or deleted; {left} candidate{'s' * (left != 1)} left"
    assert leader is not None
    return (
        f"{snapshot.resource}: {leader.name} leads, fencing token {leader.fencing_token}, "
        f"standing for {duration(snapshot.age(leader))}"
    )


def remarks(snapshot: Snapshot) -> list[str]:
    """Return what an operator should know."""
    found = []
    if snapshot.state is State.BEING_ENDED:
        found.append(f"DONE is there: nobody can stand. To finish it: golea end {snapshot.resource}")
    found += [
        f"{candidate.id} is persistent: no session takes it away, and who is behind it never leads. "
        f"To remove it: golea depose {candidate.id}"
        for candidate in snapshot.candidates
        if not candidate.session
    ]
    if snapshot.foreign:
        found.append(f"foreign children, which keep golea delete from working: {', '.join(snapshot.foreign)}")
    return found


def _role(snapshot: Snapshot, index: int) -> str:
    if snapshot.state is State.BEING_ENDED:
        return "leaving"
    return "follower" if index else "leader"


def _row(snapshot: Snapshot, index: int, candidate: Standing) -> tuple[str, ...]:
    return (
        _role(snapshot, index),
        candidate.id.rpartition("/")[2],
        str(candidate.fencing_token),
        duration(snapshot.age(candidate)),
        f"0x{candidate.session & (2**64 - 1):x}" if candidate.session else "persistent",
        candidate.name,
    )


HEADER = ("role", "candidate", "token", "standing for", "session", "name")


def lines(snapshot: Snapshot) -> list[str]:
    """Return a snapshot as plain lines."""
    rows = [_row(snapshot, index, candidate) for index, candidate in enumerate(snapshot.candidates)]
    table = aligned([HEADER, *rows]) if rows else []
    return [summary(snapshot), *table, *remarks(snapshot)]


def picture(snapshot: Snapshot, width: int, *, height: int | None = None, note: str = "") -> Group:
    """Return a snapshot for a terminal.

    :param width: the columns that there are: a narrow terminal has none for sessions.
    :param height: the lines that there are: what does not fit is counted.
    """
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    parts: list[RenderableType] = [Text(printable(summary(snapshot)), style="bold")]
    if snapshot.candidates:
        most = len(snapshot.candidates) if height is None else max(1, height - 8)
        parts.append(_table(snapshot, most, width))
        if (hidden := len(snapshot.candidates) - most) > 0:
            parts.append(Text(f"and {hidden} more followers: golea status {printable(snapshot.resource)} | less"))
    parts += [Text(printable(remark), style="red") for remark in remarks(snapshot)]
    if note:
        parts.append(Text(printable(note), style="dim"))
    return Group(*parts)


def _table(snapshot: Snapshot, most: int, width: int) -> RenderableType:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    shown = [index for index, title in enumerate(HEADER) if title != "session" or width >= WIDE]
    for index in shown:
        table.add_column(HEADER[index], no_wrap=HEADER[index] != "name", overflow="fold")
    for index, candidate in enumerate(snapshot.candidates[:most]):
        row = _row(snapshot, index, candidate)
        cells = [Text(printable(row[column])) for column in shown]
        table.add_row(*cells, style="bold green" if _role(snapshot, index) == "leader" else "")
    return table


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
        logging.getLogger("golea_async").setLevel(logging.CRITICAL)  # the last line of the picture says it

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
                    touch = "" if in_touch else "OUT OF TOUCH with ZooKeeper. "
                    note = f"{touch}Ctrl-C ends it. {time.strftime('%H:%M:%S')}"
                    live.update(picture(snapshot, screen.width, height=screen.height, note=note), refresh=True)
                await asyncio.sleep(PAUSE if snapshot is None else REFRESH)

        async with asyncio.TaskGroup() as group:
            group.create_task(look())
            group.create_task(draw())
            group.create_task(listen())

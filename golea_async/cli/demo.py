"""``golea demo``: processes elect leaders and lose them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from golea_async.testing import ZooKeeperNotInstalledError

from .demo_play import Demo, ensemble_stage, memory_stage
from .demo_terms import ALL_IS_WELL, Chronicle, table, verdict
from .exits import Exit, Problem
from .output import console, is_terminal, say
from .session import run_async

if TYPE_CHECKING:
    from rich.console import RenderableType

FRAME = 0.1
"""Seconds between two pictures of the live table."""


def demo(
    *,
    ensemble: Annotated[bool, Parameter(help="On three real ZooKeeper servers, not on one in memory.")] = False,
    guardian: Annotated[
        bool, Parameter(negative="--no-guardian", help="A killed leader's session is closed at once (it is).")
    ] = True,
    candidates: Annotated[int, Parameter(help="How many processes stand (5).")] = 5,
    rounds: Annotated[int, Parameter(help="How many leaders are lost (6).")] = 6,
) -> int:
    """Watch five processes elect leaders and lose them, in about twenty seconds.

    Leaders are killed with SIGKILL or told to resign, in turn; half-way the ZooKeeper server to which the leader is
    connected is lost, and the leader goes on leading. Every process says each 5 ms whether it believes to lead.

    Example: `golea demo --candidates 3 --rounds 2`

    Exit code: 0 all was well, 1 two led at once or a fencing token went down, 78 no ZooKeeper for `--ensemble`.
    """
    if candidates < 2 or rounds < 1:
        raise Problem("it takes two candidates and one round", Exit.USAGE)

    async def work() -> int:
        return await _play(candidates, rounds, real=ensemble, guardian=guardian)

    return run_async(work)


async def _play(candidates: int, rounds: int, *, real: bool, guardian: bool) -> int:
    kind = "three real ZooKeeper servers" if real else "a ZooKeeper in memory (--ensemble: a real one)"
    say(f"Starting {kind}")
    try:
        with (ensemble_stage if real else memory_stage)(guardian=guardian) as stage:
            say(f"ZooKeeper is at {stage.hosts}")
            say(f"Session timeout {stage.session_timeout:g} s")
            chronicle = Chronicle(say)
            if is_terminal():
                async with _live(chronicle):
                    await Demo(stage, chronicle).play(candidates, rounds)
            else:
                await Demo(stage, chronicle).play(candidates, rounds)
    except ZooKeeperNotInstalledError as missing:
        raise Problem(f"{missing}\nThe one in memory needs nothing: golea demo", Exit.CONFIGURATION) from None
    problems = verdict(chronicle.terms)
    for line in ["", *table(chronicle.terms), "", *(problems or [ALL_IS_WELL])]:
        say(line)
    return Exit.NO if problems else Exit.DONE


# ------------------------------------------------------------------ the live table


@asynccontextmanager
async def _live(chronicle: Chronicle) -> AsyncIterator[None]:
    """Show the candidates, and the latest events under them, in place of all events one after the other."""
    from rich.live import Live  # noqa: PLC0415

    events: deque[str] = deque(maxlen=200)
    chronicle.show = events.append
    screen = console()
    with Live(console=screen, auto_refresh=False, transient=True) as live:

        async def draw() -> None:
            while True:
                live.update(_picture(chronicle, events, screen.height), refresh=True)
                await asyncio.sleep(FRAME)

        drawing = asyncio.create_task(draw())
        try:
            yield
        finally:
            drawing.cancel()


def _picture(chronicle: Chronicle, events: deque[str], height: int) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    now = time.monotonic()
    leading = [term for term in chronicle.terms if term.how_it_ended is None]
    if leading:
        title = Text(f"{leading[-1].leader} leads, for {now - leading[-1].begin:.1f} s", style="bold")
    else:
        last = max((term.end for term in chronicle.terms), default=None)
        title = Text("Nobody leads" + ("" if last is None else f", for {now - last:.1f} s"), style="bold red")
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("candidate", "state", "fencing token", "led for"):
        shown.add_column(name, no_wrap=True, justify="right" if name in {"fencing token", "led for"} else "left")
    most = max(3, (height - 6) * 2 // 3)
    for name, state in list(chronicle.states.items())[-most:]:
        term = next((each for each in reversed(chronicle.terms) if each.leader == name), None)
        ended = not (state == "leads" or state.startswith("follows"))
        leads = state == "leads"
        led = f"{(term.end if term.how_it_ended else now) - term.begin:.1f} s" if term else ""
        cell = Text(state, style="not bold green" if leads else "")  # a bold green is hard to read on white
        style = "bold" if leads else "dim" if ended else ""
        shown.add_row(name, cell, str(term.token) if term else "", led, style=style)
    room = max(1, height - 6 - min(most, len(chronicle.states)))
    latest = [Text(line, no_wrap=True, overflow="ellipsis") for line in list(events)[-room:]]
    return Group(title, shown, Text(), *latest)

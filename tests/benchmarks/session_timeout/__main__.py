"""Measure, and draw what was measured."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import time
from contextlib import ExitStack
from pathlib import Path

from golea_async.testing import Ensemble

from . import deeds, limits
from .picture import Figures, draw, into_page
from .processes import bury_all

DOCS = Path(__file__).resolve().parents[3] / "docs"
FIGURES, PICTURE, PAGE = (
    DOCS / "figures" / "session-timeout.json",
    DOCS / "figures" / "session-timeout.svg",
    DOCS / "choosing-t.md",
)
SESSION_TIMEOUTS = (2.0, 4.0, 6.0, 10.0, 20.0, 30.0)
TICK = 0.5


def measure(session_timeouts: list[float], rounds: int) -> Figures:
    rows: dict[str, dict[str, object]] = {f"{each:g}": {} for each in session_timeouts}
    with Ensemble(3, tick=TICK, max_session_timeout=60) as ensemble, ExitStack() as stack:
        stack.callback(bury_all)  # the ensemble's end waits for what they hold
        for each in session_timeouts:
            rows[f"{each:g}"]["leaderless"] = found = deeds.measure(ensemble.hosts, each, rounds)
            print(each, {name: [round(second, 3) for second in seconds] for name, seconds in found.items()}, flush=True)
        for each, kept in limits.blocks(ensemble.hosts, session_timeouts).items():
            rows[f"{each:g}"]["blocks"] = kept
            print(each, kept, flush=True)
    for each, led in asyncio.run(limits.latencies(session_timeouts)).items():
        rows[f"{each:g}"]["latencies"] = led
        print(each, led, flush=True)
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}"
    return {"date": time.strftime("%Y-%m-%d"), "where": where, "tick": TICK, "rows": rows}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="measure nothing, draw what was measured before")
    parser.add_argument("--rounds", type=int, default=4, help="of each deed and each T (default: 4)")
    parser.add_argument("--only", type=float, nargs="+", metavar="T", help="print these; writes nothing")
    options = parser.parse_args()
    logging.getLogger("golea_async").setLevel(logging.ERROR)  # losses are what is measured here
    if options.only:
        print(json.dumps(measure(options.only, options.rounds)))
    else:
        if not options.draw:
            FIGURES.write_text(json.dumps(measure(list(SESSION_TIMEOUTS), options.rounds), indent=1) + "\n")
        figures = json.loads(FIGURES.read_text())
        PICTURE.write_text(draw(figures))
        PAGE.write_text(into_page(PAGE.read_text(), figures))

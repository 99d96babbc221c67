"""The picture on top of the README: a leader that is cut off, with three libraries.

    python -m tests.benchmarks.cut_off             # a minute and a half: measures, and draws
    python -m tests.benchmarks.cut_off --redraw    # draws what was measured last

The scenario is `leader-cut-off` of `tests/faults`, for each library on an ensemble of its own. The cut goes on until
two could have led for ten seconds, and the run for some seconds more. What was measured is in
docs/timelines/cut-off.json, and drawn in cut-off.svg beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from tests.faults.checker import overlaps
from tests.faults.cluster import SESSION_TIMEOUT, Cluster
from tests.faults.contenders import Library
from tests.faults.record import Interval, Record, joined
from tests.faults.run import Run
from tests.faults.scenarios import Scenario, leader_cut_off, play
from tests.support.programs import ROOT

HOLD = 10.0
FOLDER = ROOT / "docs" / "timelines"
MEASURED, PICTURE = FOLDER / "cut-off.json", FOLDER / "cut-off.svg"
LIBRARIES = (Library.GOLEA, Library.AIOZK, Library.KAZOO)

WIDTH, LEFT, RIGHT, TOP = 1000, 190, 200, 78
LANE, GAP, PANEL_GAP = 24, 6, 26
BEFORE, AFTER = 2.0, 3.0
BLUE, ORANGE, WRONG, RIGHT_COLOUR, FAULT = "#2a6fbb", "#d9822b", "#e60026", "#2e7d4f", "#c0392b"
TEXT, FAINT = "#1f2933", "#7b8794"
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"


async def cut_off_and_healed(run: Run) -> None:
    await leader_cut_off(run)
    await asyncio.sleep(AFTER + 0.5)


SCENARIO = Scenario("cut-off", "The leader is cut off from all servers", cut_off_and_healed)


@dataclass(frozen=True)
class Measured:
    """One library's run. Times are seconds since the cut began."""

    library: str
    healed: float
    believed: dict[str, list[Interval]]
    both: list[Interval]
    went_on: bool
    """Whether two led when the run ended."""


async def measure(library: Library) -> Measured:
    """Play the scenario, and take what the picture shows from its record."""
    async with Cluster() as cluster:
        run = await play(SCENARIO, cluster, library, hold=HOLD)
    return taken_from(run.record, library)


def taken_from(record: Record, library: Library) -> Measured:
    cut = record.faults[0]

    def since(interval: Interval) -> Interval:
        return round(interval[0] - cut.start, 3), round(interval[1] - cut.start, 3)

    believed = {
        name: [since((each.first[0], each.last[1])) for each in record.beliefs if each.candidate == name]
        for name in record.candidates
    }
    both = [since(each) for each in joined(interval for *_, interval in overlaps(record))]
    went_on = bool(both) and both[-1][1] + cut.start > record.ended - 0.5  # the last samples take a moment
    return Measured(str(library), round(cut.end - cut.start, 3), believed, both, went_on)


# ---------------------------------------------------------------------- the picture


def draw(runs: list[Measured]) -> str:
    """Return the picture: a panel for each library."""
    height = TOP + len(runs) * (2 * (LANE + GAP) + PANEL_GAP) + 34
    scale = Scale(max(run.healed for run in runs) + AFTER)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' {FONT}>",
        f"<rect width='{WIDTH}' height='{height}' fill='white'/>",
        text(16, 28, "The leader is cut off from ZooKeeper", size=18, weight="bold"),
        text(
            16, 50, f"Session timeout {SESSION_TIMEOUT:g} s. A bar: this candidate believes that it leads.", fill=FAINT
        ),
        *axis(scale, height - 34),
    ]
    for index, run in enumerate(runs):
        parts += panel(run, scale, TOP + index * (2 * (LANE + GAP) + PANEL_GAP))
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True)
class Scale:
    """From seconds to places."""

    end: float

    def x(self, moment: float) -> float:
        share = (min(max(moment, -BEFORE), self.end) + BEFORE) / (self.end + BEFORE)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def axis(scale: Scale, bottom: float) -> Iterator[str]:
    for second in range(0, int(scale.end) + 1, 2):
        x = scale.x(second)
        yield f"<line x1='{x}' x2='{x}' y1='{TOP - 8}' y2='{bottom - 12}' stroke='#dfe4e9'/>"
        yield text(x, bottom + 6, f"{second} s", fill=FAINT, size=12, anchor="middle")


def panel(run: Measured, scale: Scale, top: float) -> Iterator[str]:
    """Draw two lanes, what was hurt, and the time with two leaders."""
    yield text(16, top + LANE + 8, run.library, weight="bold", size=15)
    lanes = {name: top + index * (LANE + GAP) for index, name in enumerate(run.believed)}
    for (name, y), colour in zip(lanes.items(), (BLUE, ORANGE), strict=True):
        yield text(LEFT - 10, y + 17, name, fill=colour, anchor="end", weight="bold")
        yield box(scale.x(-BEFORE), scale.x(scale.end), y, LANE, "#f4f6f8")
        if name == min(lanes):
            yield box(scale.x(0), scale.x(run.healed), y, LANE, FAULT, opacity=0.18)
        for start, end in run.believed[name]:
            yield box(scale.x(start), scale.x(end), y + 5, LANE - 10, colour)
    yield text(scale.x(0) + 3, top - 4, "a is cut off", fill=FAULT, size=12)
    for start, end in run.both:
        left, right = scale.x(start), scale.x(end)
        yield (
            f"<rect x='{left}' y='{top - 2}' width='{right - left:.1f}' height='{2 * LANE + GAP + 4}' "
            f"fill='none' stroke='{WRONG}' stroke-width='3'/>"
        )
    yield from verdict(run, top)


def verdict(run: Measured, top: float) -> Iterator[str]:
    """Say for how long two led while the one was cut off, and whether they did when the run ended."""
    length = sum(min(end, run.healed) - start for start, end in run.both)
    words = f"{length:.1f} s" + (" and on" if run.went_on else "") if run.both else "0 s"
    yield text(WIDTH - RIGHT + 14, top + 18, "two leaders for", fill=FAINT)
    yield text(WIDTH - RIGHT + 14, top + 42, words, fill=WRONG if run.both else RIGHT_COLOUR, size=20, weight="bold")


def text(
    x: float, y: float, words: str, *, fill: str = TEXT, size: int = 14, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f"<text x='{x}' y='{y}' fill='{fill}' font-size='{size}' text-anchor='{anchor}' font-weight='{weight}'>"
        f"{words}</text>"
    )


def box(left: float, right: float, top: float, height: float, fill: str, *, opacity: float = 1.0) -> str:
    width = max(right - left, 0)
    return f"<rect x='{left}' y='{top}' width='{width:.1f}' height='{height}' fill='{fill}' fill-opacity='{opacity}'/>"


async def measure_all() -> list[Measured]:
    return [await measure(library) for library in LIBRARIES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="draw what was measured last")
    if not parser.parse_args().redraw:
        runs = asyncio.run(measure_all())
        MEASURED.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")
    PICTURE.write_text(draw([Measured(**each) for each in json.loads(MEASURED.read_text())]))


if __name__ == "__main__":
    main()

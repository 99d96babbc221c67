"""What was measured, as lines of a table: on the terminal while the run goes on, and in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import aiozk
import kazoo.version

from golea_async.testing import Ensemble

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


class Contestant(StrEnum):
    FLOOR = "bare requests"
    OUR_REQUESTS = "golea_async's requests, bare"
    OURS = "golea_async"
    OURS_ON_AIOZK = "golea_async on aiozk's client"
    RECIPE = "aiozk's recipe"
    KAZOO = "kazoo"


COLUMNS = [contestant for contestant in Contestant if contestant is not Contestant.OUR_REQUESTS]
"""Its figures only stand beside ours, as what was found."""

Samples = Mapping[Contestant, Sequence[float]]


@dataclass(frozen=True)
class Line:
    """One row: samples of some contestants, and what of them is compared with an aim."""

    what: str
    unit: str
    samples: Samples
    aim: str = ""
    found: str = ""

    def cell(self, contestant: Contestant) -> str:
        values = self.samples.get(contestant)
        return "" if values is None else spread(values)


@dataclass
class Report:
    """The lines of a run, in the order in which they were measured."""

    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Keep a line, and print it at once."""
        self.lines.append(line)
        print(f"\n{line.what} [{line.unit}]" + (f", aim: {line.aim}" if line.aim else ""))
        for contestant in Contestant:
            if cell := line.cell(contestant):
                print(f"    {contestant:32}{cell}")
        if line.found:
            print(f"    {'found':32}{line.found}")
        print(end="", flush=True)


def spread(values: Sequence[float]) -> str:
    """The median, and where there are several values the least and the most (of many, all but a tenth each side)."""
    ordered = sorted(values)
    beyond = len(ordered) // 10
    middle = _figure(statistics.median(ordered))
    if len(ordered) == 1:
        return middle
    return f"{middle} ({_figure(ordered[beyond])}..{_figure(ordered[-1 - beyond])})"


def ratio(samples: Samples, over: Contestant, under: Contestant = Contestant.FLOOR) -> float:
    return statistics.median(samples[over]) / statistics.median(samples[under])


def times(samples: Samples, *others: Contestant) -> str:
    """How many times the floor ours takes; then how many times ours the others take."""
    own = f"{ratio(samples, Contestant.OURS):.2f} times"
    if Contestant.OUR_REQUESTS in samples:
        own += f" (our requests alone, bare: {ratio(samples, Contestant.OUR_REQUESTS):.2f})"
    beside = [f"{other} {ratio(samples, other, Contestant.OURS):.2f} times ours" for other in others]
    return "; ".join([own, *beside])


def _figure(value: float) -> str:
    if value == int(value):
        return f"{int(value)}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def conditions(ensemble: Ensemble, scale: str) -> str:
    """Where and when this was measured."""
    answer = ensemble.servers[0].four_letter("srvr")
    version = re.search(r"version: ([\w.]+)", answer)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.machine()} with {os.cpu_count()} cores that three "
        f"ZooKeeper servers share with the clients (load before the run: {load}), "
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"ZooKeeper {version[1] if version else 'of unknown version'}, aiozk {aiozk.__version__}, "
        f"kazoo {kazoo.version.__version__}, {scale}."
    )


def write(report: Report, where: str) -> None:
    """Put the table between the markers of the document."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{where}\n\n{_table(report)}\n\n{END}{after}")


def _table(report: Report) -> str:
    heads = ["what, and its unit", *COLUMNS, "aim", "found"]
    rows = [
        [f"{line.what}, {line.unit}", *map(line.cell, COLUMNS), line.aim, f"**{line.found}**" if line.found else ""]
        for line in report.lines
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * len(heads), *rows])

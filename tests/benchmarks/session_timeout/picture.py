"""The figures as a table for the page, and as a picture."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from math import log10
from typing import Any

Figures = dict[str, Any]
"""What was measured: `date`, `where`, `tick`, and `rows`, which has for each T, as text, what each part has found."""


# ---------------------------------------------------------------------- the table


def into_page(page: str, figures: Figures) -> str:
    """Return the page with the tables in their places."""
    for name, text in (("measured", table(figures)), ("blocks", table_of_blocks(figures))):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        assert after, f"the page has no {begin} … {end}"
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def table(figures: Figures) -> str:
    heads = (
        "T",
        "leader killed: the next one leads after",
        "the same with a guardian",
        "cut off: it stops leading after",
        "cut off: the next one leads after",
        "frozen: the next one leads after",
        "a blocked loop costs the lead from",
        "the lead is kept while writes take",
    )
    rows = [heads, tuple("---" for _ in heads), *(cells(each, row) for each, row in figures["rows"].items())]
    where = f"{figures['date']}, {figures['where']}, ZooKeeper's `tickTime` {figures['tick']:g} s."
    return "\n".join((where, "", *(f"| {' | '.join(row)} |" for row in rows)))


def cells(session_timeout: str, row: dict[str, Any]) -> tuple[str, ...]:
    found, t = row["leaderless"], float(session_timeout)
    guarded = [1000 * seconds for seconds in found["killed, guardian"]]
    both = ("", ", guardian")  # a guardian does nothing for a program that lives
    return (
        f"{session_timeout} s",
        spread(found["killed"]),
        f"**{statistics.median(guarded):.0f} ms** ({max(guarded):.0f} ms at most)",
        spread([each for guardian in both for each in found[f"cut off{guardian}: believed"]]),
        spread([each for guardian in both for each in found[f"cut off{guardian}"]]),
        spread([each for guardian in both for each in found[f"frozen{guardian}"]]),
        f"{shortest_block(row['blocks']) * t:.1f} s",
        f"{longest_latency(row['latencies']) * t:.1f} s",
    )


def table_of_blocks(figures: Figures) -> str:
    kept: dict[str, list[int]] = {}
    for row in figures["rows"].values():
        for share, (times, of) in row["blocks"].items():
            before = kept.setdefault(share, [0, 0])
            kept[share] = [before[0] + times, before[1] + of]
    rows = [f"| {share} T | {times} of {of} ({times / of:.0%}) |" for share, (times, of) in kept.items()]
    return "\n".join(("| blocked for | the lead was kept |", "|---|---|", *rows))


def spread(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f} s"


def shortest_block(kept: dict[str, list[int]]) -> float:
    """Return the shortest share of T for which a blocked loop has cost the lead at least once."""
    return min(float(share) for share, (times, of) in kept.items() if times < of)


def longest_latency(led: dict[str, list[float]]) -> float:
    """Return the longest share of T that every answer may take before the lead is lost at least once."""
    lossy = [float(share) for share, (_, losses) in led.items() if losses]
    return max((float(share) for share in led if float(share) < min(lossy, default=1)), default=0)


# ---------------------------------------------------------------------- the picture

WIDTH, HEIGHT = 1000, 470
LEFT, RIGHT, TOP, BOTTOM = 80, 290, 70, 60
FASTEST, SLOWEST = 0.01, 100.0
TEXT, FAINT, GRID = "#1f2933", "#7b8794", "#dfe4e9"
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
TITLE = "What a session timeout costs, and what it bears"
SUBTITLE = "Measured on three ZooKeeper servers. Each dot is one leader. Both scales are logarithmic."
LINES = (
    # what was done, its colour, its name, and how far above its line's end that name stands
    ("killed", "#c0392b", "killed, no guardian", 30),
    ("frozen", "#8e5bb5", "frozen", -8),
    ("cut off", "#d9822b", "cut off from ZooKeeper", -46),
    ("killed, guardian", "#3a9d5d", "killed, with a guardian", 10),
)
BEARS = "#2a6fbb"


def draw(figures: Figures) -> str:
    """Draw how long it takes until the next one leads, and how long a leader may be blocked, over T."""
    rows = {float(each): row for each, row in figures["rows"].items()}
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' {FONT} font-size='12'>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
        f"<text x='16' y='26' font-size='16' font-weight='bold' fill='{TEXT}'>{TITLE}</text>",
        f"<text x='16' y='46' fill='{FAINT}'>{SUBTITLE}</text>",
        *axes(sorted(rows)),
        *series(rows),
        *limit(rows),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def x(session_timeout: float) -> float:
    share = (log10(session_timeout) - log10(1.7)) / (log10(36) - log10(1.7))
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def y(seconds: float) -> float:
    share = (log10(seconds) - log10(FASTEST)) / (log10(SLOWEST) - log10(FASTEST))
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def axes(session_timeouts: Sequence[float]) -> Iterable[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for seconds, words in ((0.01, "10 ms"), (0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"), (100.0, "100 s")):
        yield f"<line x1='{LEFT}' x2='{right}' y1='{y(seconds)}' y2='{y(seconds)}' stroke='{GRID}'/>"
        yield f"<text x='{LEFT - 8}' y='{y(seconds) + 4}' text-anchor='end' fill='{FAINT}'>{words}</text>"
    for each in session_timeouts:
        yield f"<line x1='{x(each)}' x2='{x(each)}' y1='{TOP}' y2='{bottom}' stroke='{GRID}'/>"
        yield f"<text x='{x(each)}' y='{bottom + 18}' text-anchor='middle' fill='{FAINT}'>{each:g} s</text>"
    middle = (LEFT + right) / 2
    yield f"<text x='{middle}' y='{bottom + 42}' text-anchor='middle' fill='{TEXT}'>session timeout T</text>"


def series(rows: dict[float, dict[str, Any]]) -> Iterable[str]:
    """Dots for each leader, a line through the medians, and its name where the line ends, one below the other."""
    for number, (name, colour, words, above) in enumerate(LINES):
        for each, row in rows.items():
            shift = 5 * (number - 1)
            for seconds in row["leaderless"][name]:
                yield f"<circle cx='{x(each) + shift}' cy='{y(seconds)}' r='2.5' fill='{colour}' fill-opacity='0.6'/>"
        medians = {each: statistics.median(row["leaderless"][name]) for each, row in rows.items()}
        yield path(medians, colour)
        yield label(words, "until the next one leads", colour, y(medians[max(rows)]) - above)


def limit(rows: dict[float, dict[str, Any]]) -> Iterable[str]:
    blocks = {each: each * shortest_block(row["blocks"]) for each, row in rows.items()}
    yield path(blocks, BEARS, dashed=True)
    yield label("a blocked event loop", "costs the lead from here on", BEARS, y(blocks[max(rows)]) + 56)


def path(points: dict[float, float], colour: str, *, dashed: bool = False) -> str:
    corners = " ".join(f"{x(each)},{y(seconds)}" for each, seconds in sorted(points.items()))
    dashes = " stroke-dasharray='6 4'" if dashed else ""
    return f"<polyline points='{corners}' fill='none' stroke='{colour}' stroke-width='2'{dashes}/>"


def label(first: str, second: str, colour: str, height: float) -> str:
    left = WIDTH - RIGHT + 14
    return (
        f"<text x='{left}' y='{height:.1f}' fill='{colour}' font-weight='bold'>{first}</text>"
        f"<text x='{left}' y='{height + 14:.1f}' fill='{colour}' font-size='11'>{second}</text>"
    )

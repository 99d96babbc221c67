"""Draws a record as SVG: a lane for each candidate with its belief and lease, ZooKeeper's truth, and the faults."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from .checker import leaderless_time, moves, overlap_time, overlaps
from .record import Band, Belief, Record, View

WIDTH = 1000
MARGIN_LEFT, MARGIN_RIGHT = 110, 20
TOP = 74
LANE, SERVER_LANE, GAP = 58, 24, 8
COLOURS = ("#2a6fbb", "#d9822b", "#3a9d5d", "#8e5bb5")
FAULT, TEXT, FAINT, WRONG = "#c0392b", "#1f2933", "#7b8794", "#e60026"
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"


def draw(record: Record) -> str:
    """The whole picture."""
    return _Drawing(record).svg()


class _Drawing:
    def __init__(self, record: Record) -> None:
        self.record = record
        self.colours = dict(zip(record.candidates, COLOURS * len(record.candidates), strict=False))
        self.servers = sorted({f"server {view.server}" for view in record.views})
        self.lanes: dict[str, tuple[int, int]] = {}  # the upper edge and the height
        bottom = TOP
        for lane in [*record.candidates, "ZooKeeper", *self.servers]:
            height = LANE if lane in record.candidates else SERVER_LANE
            self.lanes[lane] = (bottom, height)
            bottom += height + GAP
        self.bottom = bottom

    def svg(self) -> str:
        height = self.bottom + 66
        parts = [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' {FONT} font-size='12'>",
            f"<rect width='{WIDTH}' height='{height}' fill='white'/>",
            *self.head(),
            *self.lane_names(),
            *self.axis(),
            *self.bands(),
            *self.stalls(),
            *(part for belief in self.record.beliefs for part in self.belief(belief)),
            *self.truth(),
            *self.overlaps(),
            *self.legend(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def x(self, moment: float) -> float:
        moment = min(max(moment, self.record.started), self.record.ended)
        length = self.record.ended - self.record.started
        share = (moment - self.record.started) / length
        return round(MARGIN_LEFT + share * (WIDTH - MARGIN_LEFT - MARGIN_RIGHT), 1)

    def head(self) -> Iterator[str]:
        record = self.record
        yield f"<text x='16' y='26' font-size='16' font-weight='bold' fill='{TEXT}'>{escape(record.title)}</text>"
        summary = (
            f"session timeout {record.session_timeout:g} s, tick {record.tick:g} s. Two leaders: "
            f"{overlap_time(record):.3f} s. Moves: {moves(record)}. Nobody led: {leaderless_time(record):.3f} s"
        )
        yield f"<text x='16' y='46' fill='{FAINT}'>{summary}</text>"

    def lane_names(self) -> Iterator[str]:
        for name, (top, height) in self.lanes.items():
            yield _box(MARGIN_LEFT, WIDTH - MARGIN_RIGHT, top, height, "#f4f6f8")
            colour = self.colours.get(name, TEXT)
            weight = "bold" if name in self.colours else "normal"
            yield (
                f"<text x='{MARGIN_LEFT - 10}' y='{top + height / 2 + 4}' text-anchor='end' fill='{colour}' "
                f"font-weight='{weight}'>{escape(name)}</text>"
            )

    def axis(self) -> Iterator[str]:
        length = self.record.ended - self.record.started
        step = next(step for step in (1, 2, 5, 10, 30, 60, 300, 3600) if length / step <= 20 or step == 3600)
        for number in range(int(length / step) + 1):
            x = self.x(self.record.started + number * step)
            yield f"<line x1='{x}' x2='{x}' y1='{TOP - 6}' y2='{self.bottom - GAP}' stroke='#dfe4e9'/>"
            yield (
                f"<text x='{x}' y='{self.bottom + 8}' text-anchor='middle' fill='{FAINT}' font-size='11'>"
                f"{number * step} s</text>"
            )

    def bands(self) -> Iterator[str]:
        """Faults, each in the lane of what it hurts, its name at the lane's upper edge."""
        free: dict[str, list[float]] = {}  # for each lane, where the last name on each of its lines ends
        for band in sorted(self.record.faults, key=lambda each: each.start):
            for lane in self.servers if band.target == "ensemble" else [band.target]:
                if lane in self.lanes:
                    yield from self.band(band, lane, free.setdefault(lane, []))

    def band(self, band: Band, lane: str, free: list[float]) -> Iterator[str]:
        top, height = self.lanes[lane]
        start, end = self.x(band.start), self.x(band.end)
        title = f"<title>{escape(band.label)}</title>"
        yield _box(start, max(end, start + 2), top, height, FAULT, opacity=0.18, inside=title)
        line = next((index for index, right in enumerate(free) if right < start), len(free))
        free[line : line + 1] = [start + 7 * len(band.label)]
        if line < height // 13:
            yield f"<text x='{start + 3}' y='{top + 11 + 12 * line}' font-size='10' fill='{FAULT}'>{band.label}</text>"

    def belief(self, belief: Belief) -> Iterator[str]:
        """A bar for belief in the lower part of the lane, and above it the seconds that the lease has left."""
        top, height = self.lanes[belief.candidate]
        colour = self.colours[belief.candidate]
        start, end = self.x(belief.first[0]), self.x(belief.last[1])
        words = f"token {belief.token}" if belief.token is not None else ""
        yield _box(start, max(end, start + 1.5), top + height - 18, 16, colour, inside=f"<title>{words}</title>")
        if words and end - start > 7 * len(words):
            yield f"<text x='{start + 4}' y='{top + height - 6}' font-size='10' fill='white'>{words}</text>"
        floor, scale = top + height - 20, (height - 22) / (5 / 6 * self.record.session_timeout)
        if any(left for _, left in belief.leases):
            points = [f"{self.x(at)},{floor - left * scale:.1f}" for at, left in belief.leases]
            corners = " ".join([f"{start},{floor}", *points, f"{end},{floor}"])
            yield f"<polygon points='{corners}' fill='{colour}' fill-opacity='0.3'/>"

    def stalls(self) -> Iterator[str]:
        """When a candidate's process took no samples, frozen or starved."""
        for name, start, end in self.record.stalls:
            top, height = self.lanes[name]
            yield _box(self.x(start), self.x(end), top + height - 12, 4, FAINT)

    def truth(self) -> Iterator[str]:
        """Who is the first candidate, as the server that is furthest shows it."""
        top, height = self.lanes["ZooKeeper"]
        views = _latest_views(self.record.views)
        ends = [*(view.at for view in views[1:]), self.record.ended]
        for view, end in zip(views, ends, strict=True):
            if view.first is not None:
                colour = self.colours.get(view.holder or "", FAINT)
                words = f"<title>{escape(view.first)} of {escape(str(view.holder))}</title>"
                yield _box(self.x(view.at), self.x(end), top + 5, height - 10, colour, opacity=0.75, inside=words)

    def overlaps(self) -> Iterator[str]:
        upper, (top, height) = TOP - 6, self.lanes[self.record.candidates[-1]]
        for *_, (start, end) in overlaps(self.record):
            left, right = self.x(start), self.x(end)
            yield (
                f"<rect x='{left}' y='{upper}' width='{max(right - left, 2):.1f}' height='{top + height - upper}' "
                f"fill='none' stroke='{WRONG}' stroke-width='2.5'/>"
            )

    def legend(self) -> Iterator[str]:
        y, colour = self.bottom + 38, COLOURS[0]
        entries = (
            (colour, 1.0, "believes to lead"),
            (colour, 0.3, "seconds left of its lease"),
            (colour, 0.75, "first in ZooKeeper"),
            (FAULT, 0.18, "fault"),
            (FAINT, 1.0, "did not run"),
        )
        x = MARGIN_LEFT
        for fill, opacity, words in entries:
            yield _box(x, x + 18, y - 10, 12, fill, opacity=opacity)
            yield f"<text x='{x + 24}' y='{y}' fill='{TEXT}' font-size='11'>{words}</text>"
            x += 60 + 6 * len(words)


def _latest_views(views: list[View]) -> list[View]:
    """Each view that shows something later than all before it, and another first candidate."""
    shown: list[View] = []
    newest = -1
    for view in sorted(views, key=lambda each: each.at):
        if view.pzxid > newest:
            newest = view.pzxid
            if not shown or (view.first, view.token) != (shown[-1].first, shown[-1].token):
                shown.append(view)
    return shown


def _box(
    left: float, right: float, top: float, height: float, fill: str, *, opacity: float = 1.0, inside: str = ""
) -> str:
    size = f"x='{left}' y='{top}' width='{max(right - left, 0):.1f}' height='{height}'"
    return f"<rect {size} fill='{fill}' fill-opacity='{opacity}'>{inside}</rect>"

"""What a terminal shows of an election: it fits, it can be read on light and on dark, and no name controls it."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console, Group

from golea_async.cli.picture import lines, live_picture, picture
from golea_async.cli.snapshot import Snapshot, Standing, State

SIZES = [(80, 24), (200, 50), (80, 8), (40, 12)]
NAMES = {
    "short": ["ada", "eve"],
    "ordinary": [f"worker-{number:03}.eu-west-1.example.internal:{4000 + number}" for number in range(300)],
    "long": ["a-very-long-name-" * 6, "x" * 1_000_000],
    "right to left": ["\u05e9\u05dc\u05d5\u05dd", "\u202e\u05e9\u05dc", "\u2067\u05e9\u05dc\u2069 end"],
    "wide": ["日本語の候補者" * 10, "e\u0301\u0301", "👩\u200d👧 family"],
    "controls": ["\x1b[31mred\x07", "two\r\nlines\ttab", "[bold]markup[/bold]", "\x9b31m"],
    "none": [""],
}
SGR = re.compile(r"\x1b\[([0-9;]*)m")
READABLE = {"", "0", "1", "2", "31", "32"}
"""Bold, dim, red and green: no bright colour, no yellow and no white, which some backgrounds swallow."""


def election(names: list[str], *, persistent: bool = False, foreign: int = 0) -> Snapshot:
    since = time.time() - 3600
    candidates = tuple(
        Standing(f"/svc/a/le_{number:010}", name, 4711 + number, since, 0 if persistent else 0x1001A376E6A0014)
        for number, name in enumerate(names)
    )
    return Snapshot("/svc/a", State.LED, candidates, tuple(f"notes-{number}" for number in range(foreign)))


def shown(what: Group, screen: Console) -> str:
    screen.print(what)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def a_screen(width: int, height: int) -> Console:
    return Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system="standard", highlight=False
    )


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("kind", NAMES)
def test_a_live_picture_fits_the_screen(kind: str, width: int, height: int) -> None:
    screen = a_screen(width, height)
    written = shown(live_picture(election(NAMES[kind]), screen, in_touch=False), screen)
    text = SGR.sub("", written)
    assert "\x1b" not in text
    assert len(text.splitlines()) <= height
    assert "OUT OF TOUCH" in text
    assert {code for codes in SGR.findall(written) for code in codes.split(";")} <= READABLE
    count = len(NAMES[kind])
    rows = len(re.findall(r"^(leader|follower)", text, re.MULTILINE))
    assert rows == count or f"and {count - rows} more: golea status /svc/a" in text


@pytest.mark.parametrize("kind", NAMES)
def test_a_picture_has_all_names_without_a_control(kind: str) -> None:
    screen = a_screen(80, 24)
    text = SGR.sub("", shown(picture(election(NAMES[kind]), screen), screen))
    assert "\x1b" not in text
    assert len(re.findall(r"^(leader|follower)", text, re.MULTILINE)) == len(NAMES[kind])
    assert len(text) < 100_000


def test_what_tells_names_apart_is_not_cut_off() -> None:
    screen = a_screen(80, 24)
    text = shown(live_picture(election(NAMES["ordinary"]), screen, in_touch=True), screen)
    assert re.search(r"worker-003.*…\S*:4003", text)


def test_remarks_say_what_to_type_and_leave_room() -> None:
    snapshot = election(["restored"] * 30, persistent=True, foreign=30)
    *_, persistent, foreign = lines(snapshot)
    assert persistent.endswith("golea depose /svc/a/le_0000000029 --force")
    assert "notes-4 and 25 more. If they elect a leader, too, two lead" in foreign
    screen = a_screen(80, 24)
    text = SGR.sub("", shown(live_picture(snapshot, screen, in_touch=True), screen))
    assert len(text.splitlines()) <= 24
    assert "and 28 more remarks: golea status /svc/a" in text


def test_a_candidate_without_a_name_is_called_by_its_znode() -> None:
    title, _, row = lines(election([""]))
    assert title.startswith("/svc/a: le_0000000000 leads, ")
    assert row.endswith("(no name)")

"""An election in words and tables: for a pipe, for a terminal, and for one in which it stays on the screen.

Colours are those of the terminal's own palette, and only on single words: whatever is long is in its default colour, so
that it can be read on a light and on a dark background.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .output import aligned, duration, printable, shortened
from .snapshot import Snapshot, Standing, State

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table

HEADER = ("role", "candidate", "token", "standing for", "session", "name")
NAME = len(HEADER) - 1
COLUMNS = {"session": 100, "token": 60, "standing for": 60}
"""How wide a terminal must be to have room for these."""
LONGEST_NAME = 60
"""Characters of a name in a sentence. Tables have the whole name; but of one of a megabyte a terminal shows less."""
LONGEST_CELL = 1000
_MOST_NAMED = 5
_MOST_REMARKS = 3
_GAP = 2


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
        f"{snapshot.resource}: {shortened(leader.label, LONGEST_NAME)} leads, fencing token {leader.fencing_token}, "
        f"standing for {duration(snapshot.age(leader))}"
    )


def remarks(snapshot: Snapshot) -> list[str]:
    """Return what an operator should know."""
    found = []
    if snapshot.state is State.BEING_ENDED:
        found.append(f"DONE is there: nobody can stand. To finish it: golea end {snapshot.resource}")
    found += [
        f"{candidate.id} is persistent: no session takes it away, and who is behind it never leads. "
        f"To remove it: golea depose {candidate.id} --force"
        for candidate in snapshot.candidates
        if not candidate.session
    ]
    if snapshot.foreign:
        named = ", ".join(shortened(child, LONGEST_NAME) for child in snapshot.foreign[:_MOST_NAMED])
        more = len(snapshot.foreign) - _MOST_NAMED
        found.append(
            f"foreign children, which keep golea delete from working: {named}{f' and {more} more' * (more > 0)}. "
            "If they elect a leader, too, two lead: give each election a path of its own"
        )
    return found


def _role(snapshot: Snapshot, index: int) -> str:
    if snapshot.state is State.BEING_ENDED:
        return "leaving"
    return "follower" if index else "leader"


def _row(snapshot: Snapshot, index: int, candidate: Standing) -> list[str]:
    row = (
        _role(snapshot, index),
        candidate.id.rpartition("/")[2],
        str(candidate.fencing_token),
        duration(snapshot.age(candidate)),
        f"0x{candidate.session & (2**64 - 1):x}" if candidate.session else "persistent",
        candidate.name or "(no name)",
    )
    return [printable(cell) for cell in row]


def lines(snapshot: Snapshot) -> list[str]:
    """Return a snapshot as plain lines."""
    rows = [_row(snapshot, index, candidate) for index, candidate in enumerate(snapshot.candidates)]
    table = aligned([HEADER, *rows]) if rows else []
    return [summary(snapshot), *table, *remarks(snapshot)]


def _rows(snapshot: Snapshot, most: int) -> list[list[str]]:
    """Return the first rows for a terminal."""
    candidates = (replace(each, name=shortened(each.name, LONGEST_CELL)) for each in snapshot.candidates[:most])
    return [_row(snapshot, index, candidate) for index, candidate in enumerate(candidates)]


def picture(snapshot: Snapshot, screen: Console) -> Group:
    """Return a snapshot for a terminal: it has as many lines as it takes."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    rows = _rows(snapshot, len(snapshot.candidates))
    table = [_table(rows, screen, folds=True)] if rows else []
    told = [Text(printable(remark), style="red") for remark in remarks(snapshot)]
    return Group(Text(printable(summary(snapshot)), style="bold"), *table, *told)


def live_picture(snapshot: Snapshot, screen: Console, *, in_touch: bool) -> Group:
    """Return a snapshot that fits the terminal: what has no room is counted.

    A candidate has one line, so of a long name the middle is left out.
    """
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    told = remarks(snapshot)
    if len(told) > _MOST_REMARKS:
        more = len(told) - _MOST_REMARKS
        told[_MOST_REMARKS:] = [f"and {more} more remarks: golea status {snapshot.resource}"]
    texts = [Text(printable(remark), style="red") for remark in told]
    title = Text(printable(summary(snapshot)), style="bold")
    note = Text(f"{'' if in_touch else 'OUT OF TOUCH with ZooKeeper. '}Ctrl-C ends it. {time.strftime('%H:%M:%S')}")
    note.stylize("dim" if in_touch else "bold red")
    around = sum(len(text.wrap(screen, screen.width)) for text in [title, note, *texts])
    room = max(1, screen.height - around - 1)  # below the header
    parts: list[RenderableType] = [title, note]
    if snapshot.candidates:
        count = len(snapshot.candidates)
        most = count if count <= room else max(1, room - 1)  # the last line is for those that have no room
        parts.append(_table(_rows(snapshot, most), screen, folds=False))
        if count > most:
            parts.append(Text(f"and {count - most} more: golea status {printable(snapshot.resource)}", no_wrap=True))
    return Group(*parts, *texts)


def _table(rows: list[list[str]], screen: Console, *, folds: bool) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim")
    shown = [index for index, title in enumerate(HEADER) if screen.width >= COLUMNS.get(title, 0)]
    for index in shown:
        table.add_column(HEADER[index], no_wrap=not (folds and index == NAME), overflow="fold" if folds else "crop")
    others = [max(len(HEADER[index]), *(len(row[index]) for row in rows)) + _GAP for index in shown if index != NAME]
    room = max(len(HEADER[NAME]), screen.width - sum(others) - _GAP)
    for row in rows:
        name = row[NAME] if folds else _fitted(row[NAME], room)
        is_leader = row[0] == "leader"
        cells = [Text(cell) for cell in [*(row[index] for index in shown if index != NAME), name]]
        if is_leader:
            cells[0].stylize("not bold green")
        table.add_row(*cells, style="bold" if is_leader else "")
    return table


def _fitted(text: str, cells: int) -> str:
    """Return the text with its middle left out where it is wider than that: what tells names apart is at the end."""
    from rich.cells import cell_len  # noqa: PLC0415

    if cell_len(text) <= cells:
        return text
    head, tail = text[: cells // 2], text[-cells // 2 :]
    while cell_len(head) > (cells - 1) // 2:
        head = head[:-1]
    while cell_len(tail) > cells - 1 - cell_len(head):
        tail = tail[1:]
    return f"{head}…{tail}"

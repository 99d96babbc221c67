"""What is printed: for people in a terminal, as plain lines in a pipe, or as JSON.

Names in ZooKeeper are anybody's: nothing of them may reach a terminal as a control sequence, or be taken for markup.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDEST_COLUMN = 60


def printable(text: str, *, keep: str = "") -> str:
    """Return the text with each control character, and each that is none, as an escape."""
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        else character.encode("unicode_escape").decode()
        for character in text
    )


def shortened(text: str, longest: int) -> str:
    """Return a text that may be a megabyte long."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def is_terminal() -> bool:
    """Return whether a person looks at what is printed."""
    return sys.stdout.isatty()


def console() -> Console:
    """Return the terminal."""
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, markup=False)


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def remark(text: str) -> None:
    """Print a line beside the result."""
    sys.stderr.write(f"golea: {printable(text)}\n")
    sys.stderr.flush()


def say_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=not _is_utf8()) + "\n")
    sys.stdout.flush()


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with columns; nothing is cut. The last column is as long as it is."""
    texts = [[printable(cell) for cell in row] for row in rows]
    widths = [min(max(map(len, column)), WIDEST_COLUMN) for column in zip(*texts, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in texts]


def duration(seconds: float) -> str:
    """Return a duration in two units at most."""
    seconds = max(0, round(seconds))
    for size, unit, smaller, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{seconds} s"


def remark_json(value: Any) -> None:
    """Print a line of JSON beside the result."""
    sys.stderr.write(json.dumps(value) + "\n")
    sys.stderr.flush()

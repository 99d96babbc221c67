"""What is printed: for people in a terminal, as plain lines in a pipe, or as JSON.

Names in ZooKeeper are anybody's: nothing of them may reach a terminal as a control sequence, or be taken for markup.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
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
    aside(f"golea: {printable(text)}\n")


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
    aside(json.dumps(value) + "\n")


# ------------------------------------------------------------------ standard error

_MOST_WAITING, _PATIENCE = 1000, 1.0
_waiting: queue.SimpleQueue[bytes | threading.Event] | None = None
_unsaid = 0


def aside(text: str) -> None:
    """Write to standard error; every command says there what is no result. Where that fails nobody can be told."""
    global _unsaid  # noqa: PLW0603
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, ValueError):  # somebody has put something else there
        sys.stderr.write(text)
        return
    data = text.encode(sys.stderr.encoding, "backslashreplace")
    if _waiting is None:
        _write(descriptor, data)
    elif _waiting.qsize() >= _MOST_WAITING:
        _unsaid += 1
    else:
        if _unsaid:
            _waiting.put(b"golea: %d lines are missing here: nobody read standard error\n" % _unsaid)
            _unsaid = 0
        _waiting.put(data)


def speak_in_background() -> None:
    """Have nothing wait for whoever reads standard error: a full pipe, or a stopped terminal, would cost the lease.

    What does not fit is left out, and that is said later. A thread writes: to have the stream itself never block would
    change it for all that share it, such as the command. Its signals are the caller's: blocked.
    """
    global _waiting  # noqa: PLW0603
    lines = _waiting = queue.SimpleQueue()
    descriptor = sys.stderr.fileno()

    def write_in_thread() -> None:
        while True:
            item = lines.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                _write(descriptor, item)

    threading.Thread(target=write_in_thread, name="golea-words", daemon=True).start()


def settle() -> None:
    """Before the end, give what waits a moment to be written."""
    if _waiting is not None:
        written = threading.Event()
        _waiting.put(written)
        written.wait(_PATIENCE)


def _write(descriptor: int, data: bytes) -> None:
    # Past Python's own buffer: what is left in there when a write fails would change the exit code.
    with suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]

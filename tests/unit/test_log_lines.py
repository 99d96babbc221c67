"""docs/log-lines.md has every log line of the library, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from golea_async._history import _REASONS, reason_of

from .log_lines import GAP, PACKAGE, Line, lines

PAGE = (Path(__file__).parents[2] / "docs" / "log-lines.md").read_text()


def on_the_page() -> list[Line]:
    """Return the rows of the page's tables: a line is in a column of its own, as code."""
    found = []
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        if (logger := re.match(r"`(golea_async\.\w+)`", section)) is not None:
            rows = re.findall(r"^\| ([A-Z, ]+) \| (`+)(.+?) ?\2 \| \S", section, re.MULTILINE)
            found += [Line(logger[1], frozenset(levels.split(", ")), text) for levels, _, text in rows]
    return found


def test_the_page_has_each_line_once_and_nothing_else() -> None:
    shown = on_the_page()
    assert set(shown) == lines()
    assert len(shown) == len(set(shown))


def test_no_line_and_no_logger_is_beyond_what_is_read() -> None:
    assert GAP not in {line.text for line in lines()}, "add where the text is written to WRITTEN_IN"
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    named = {name for source in sources for name in re.findall(r'getLogger\("(golea_async\.\w+)"\)', source)}
    assert named == {line.logger for line in lines()}


def test_the_page_has_each_reason_for_a_loss() -> None:
    causes = {words for _, words in _REASONS.values()} | {reason_of(None)[1]}
    lapse = "lease expired"
    lapses = {f"{lapse}, the event loop was blocked for … s", f"{lapse}, ZooKeeper's quorum was silent for … s"}
    (section,) = re.findall(r"^### Why leadership was lost\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^\| `(.+?)` \| ", section, re.MULTILINE)) == causes - {lapse} | lapses

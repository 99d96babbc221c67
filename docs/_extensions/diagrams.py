"""Diagrams of the pages without a browser's script: a sequence diagram is drawn, a state diagram becomes a table.

The pages have them in Mermaid's language, which code hosts draw by themselves. Mermaid itself is a large script that a
page would have to load. This understands what the pages use, and warns of everything else.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

WIDTH, MARGIN, HEAD = 760, 20, 34
LINE, CHARACTER = 15, 6.4
FRAME_MARGIN = 10
ARROW = re.compile(r"(\w+)\s*(-?->>|--?x)\s*(\w+)\s*:\s*(.*)")
NOTE = re.compile(r"Note over (\w+)\s*:\s*(.*)")
PARTICIPANT = re.compile(r"participant (\w+)(?: as (.*))?")
FRAME = re.compile(r"(alt|opt|loop)\b\s*(.*)")
STATE = re.compile(r'state "(.*)" as (\w+)')
TRANSITION = re.compile(r"(\w+|\[\*\])\s*-->\s*(\w+|\[\*\])(?:\s*:\s*(.*))?")


class DiagramError(Exception):
    """A line that this does not understand."""


class MermaidDirective(Directive):
    """What stands in a block ``mermaid``."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        kind, *lines = [line.strip() for line in self.content if line.strip()]
        try:
            html = {"sequenceDiagram": sequence, "stateDiagram-v2": states}[kind](lines)
        except (DiagramError, KeyError) as error:
            logger.warning(
                "a diagram cannot be drawn: %s", error, location=(self.state.document["source"], self.lineno)
            )
            return []
        return [nodes.raw("", html, format="html")]


# ---------------------------------------------------------------------- a state diagram


def states(lines: list[str]) -> str:
    """Return a table of the transitions, by the state that is left."""
    names: dict[str, str] = {"[*]": "the end"}
    leaving: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        if match := STATE.fullmatch(line):
            names[match[2]] = match[1]
        elif match := TRANSITION.fullmatch(line):
            leaving.setdefault(match[1], []).append((match[3] or "", match[2]))
        else:
            raise DiagramError(line)
    rows = []
    for state, ways in leaving.items():
        if state != "[*]":
            first = f'<td rowspan="{len(ways)}">{escape(names[state])}</td>'
            for when, to in ways:
                rows.append(f"<tr>{first}<td>{escape(when)}</td><td>{escape(names[to])}</td></tr>")
                first = ""
    head = "<thead><tr><th>from</th><th>when</th><th>to</th></tr></thead>"
    body = "\n".join(rows)
    table = f'<table class="docutils">{head}<tbody>{body}</tbody></table>'
    return f'<div class="table-wrapper docutils container">{table}</div>'


# ---------------------------------------------------------------------- a sequence diagram


def sequence(lines: list[str]) -> str:
    """Return the drawing as SVG."""
    drawing = Drawing()
    for line in lines:
        drawing.take(line)
    return drawing.svg()


@dataclass
class Frame:
    """An ``alt``, ``opt`` or ``loop`` that is open."""

    kind: str
    top: float


@dataclass
class Drawing:
    """A drawing that grows downwards, line by line."""

    columns: dict[str, str] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    y: float = HEAD + 2 * MARGIN

    def take(self, line: str) -> None:
        """Draw what one line says."""
        if match := PARTICIPANT.fullmatch(line):
            self.columns[match[1]] = match[2] or match[1]
        elif match := ARROW.fullmatch(line):
            self.message(*match.groups())
        elif match := NOTE.fullmatch(line):
            self.note(*match.groups())
        elif match := FRAME.fullmatch(line):
            self.open_frame(match[1], match[2])
        elif line == "else" or line.startswith("else "):
            self.divide_frame(line.removeprefix("else").strip())
        elif line == "end":
            self.close_frame()
        else:
            raise DiagramError(line)

    def x(self, name: str) -> float:
        """Return the middle of a participant's column."""
        width = (WIDTH - 2 * MARGIN) / len(self.columns)
        return MARGIN + width * (list(self.columns).index(name) + 0.5)

    def message(self, source: str, arrow: str, target: str, words: str) -> None:
        left, right = self.x(source), self.x(target)
        length = abs(right - left)
        lines = wrapped(words, max(length, 220) - 20)
        self.parts += text((left + right) / 2 if length else left + 30, self.y, lines, "middle" if length else "start")
        self.y += LINE * len(lines)
        kind = "reply" if arrow.startswith("--") else "call"
        if length:
            self.parts.append(f'<path class="{kind}" d="M {left} {self.y} H {right}"/>')
            self.parts.append(head_of(arrow, right, self.y, forward=right > left))
        else:
            self.parts.append(f'<path class="{kind}" d="M {left} {self.y - 6} h 22 v 12 h -18"/>')
            self.parts.append(head_of(arrow, left, self.y + 6, forward=False))
        self.y += LINE + 8

    def note(self, over: str, words: str) -> None:
        width = min(300, (WIDTH - 2 * MARGIN) / len(self.columns) + 60)
        lines = wrapped(words, width - 16)
        middle = min(max(self.x(over), MARGIN + width / 2), WIDTH - MARGIN - width / 2)
        height = LINE * len(lines) + 10
        top = self.y - LINE + 3
        self.parts.append(box("note", middle - width / 2, top, width, height))
        self.parts += text(middle, top + LINE + 1, lines, "middle")
        self.y = top + height + LINE + 8

    # Frames that are open lie within each other: the outermost is the widest.

    def open_frame(self, kind: str, words: str) -> None:
        self.frames.append(Frame(kind, self.y - LINE))
        self.label_frame(f"{kind}: {words}" if words else kind)

    def divide_frame(self, words: str) -> None:
        left, width = self.sides()
        self.parts.append(f'<path class="frame" stroke-dasharray="4 3" d="M {left} {self.y - LINE} h {width}"/>')
        self.label_frame(f"else: {words}" if words else "else")

    def label_frame(self, words: str) -> None:
        left, width = self.sides()
        lines = wrapped(words, width - 20)
        self.parts += text(left + 8, self.y + 2, lines, "start", "label")
        self.y += LINE * len(lines) + 12

    def close_frame(self) -> None:
        left, width = self.sides()
        frame = self.frames.pop()
        self.parts.append(box("frame", left, frame.top, width, self.y - LINE - frame.top))
        self.y += LINE - 3

    def sides(self) -> tuple[float, float]:
        """Return the left side and the width of the innermost open frame."""
        inset = FRAME_MARGIN * len(self.frames)
        return inset, WIDTH - 2 * inset

    def svg(self) -> str:
        bottom = self.y
        columns = "".join(self.column(name, bottom) for name in self.columns)
        body = "\n".join(self.parts)
        what = escape(", ".join(self.columns.values()), quote=True)
        return (
            f'<svg class="sequence" viewBox="0 0 {WIDTH} {bottom:.0f}" role="img" '
            f'aria-label="Sequence of messages: {what}">\n{columns}\n{body}\n</svg>'
        )

    def column(self, name: str, bottom: float) -> str:
        x, words = self.x(name), self.columns[name]
        width = len(words) * CHARACTER + 24
        line = f'<path class="life" d="M {x} {MARGIN + HEAD} V {bottom:.0f}"/>'
        head = box("head", x - width / 2, MARGIN, width, HEAD)
        return line + head + "".join(text(x, MARGIN + HEAD / 2 + 4, [words], "middle"))


def wrapped(words: str, width: float) -> list[str]:
    return textwrap.wrap(words, max(int(width / CHARACTER), 12)) or [""]


def text(x: float, y: float, lines: list[str], anchor: str, kind: str = "words") -> Iterator[str]:
    for number, line in enumerate(lines):
        place = f'x="{x:.1f}" y="{y + LINE * number:.1f}" text-anchor="{anchor}"'
        yield f'<text class="{kind}" {place}>{escape(line)}</text>'


def box(kind: str, left: float, top: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="3"/>'


def head_of(arrow: str, x: float, y: float, *, forward: bool) -> str:
    """Return the head of an arrow, or the cross of a message that is lost."""
    back = -8 if forward else 8
    if arrow.endswith("x"):
        middle = x + 2 * back
        return f'<path class="lost" d="M {middle - 5} {y - 5} l 10 10 m 0 -10 l -10 10"/>'
    return f'<path class="tip" d="M {x} {y} l {back} -4 v 8 z"/>'


def setup(site: Sphinx) -> dict[str, bool]:
    site.add_directive("mermaid", MermaidDirective)
    return {"parallel_read_safe": True}

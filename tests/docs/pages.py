"""The blocks of a page, and what runs each of them.

A block of Python either runs, or the line before it is ``<!-- not run: REASON -->``. Three kinds of block run:

- **A piece** runs in the page's own namespace, after the pieces above it. ``await``, ``async with`` and ``async for``
  may stand at its top level. These names are there: ``zk``, a started client; ``resource``, the path of an election
  node, ``/my-service/scheduler``; ``HOSTS``, where ZooKeeper is. What else a page needs and does not show stands in a
  comment that readers do not see: ``<!--- invisible-code-block: python`` on a line, the code, ``-->``.
- **A program** has ``asyncio.run(`` or ``if __name__`` in it. It runs as a process. When it has ended by itself, or
  when its candidate stands, it gets Ctrl-C, and then it ends within seconds and without an error.
- **A file** has its name behind the language: ```` ```python test_service.py````. All files of a page are written into
  one folder, and pytest runs there.

Each page has a ZooKeeper in memory of its own. Where a block says ``zk1:2181,zk2:2181,zk3:2181`` or
``127.0.0.1:2181``, that one is meant.

In a block ``console`` a line that begins with ``$`` is a command. It is not run: `commands.py` says what is checked.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import CodeType
from typing import Any

from sybil import Document, Example
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer
from sybil.region import Region

from golea_async import ZKClient, create_election
from golea_async.testing import MemoryZooKeeper
from tests.support.programs import ROOT, Program, program

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NOT_RUN = re.compile(r"<!-- not run: \S.*-->\n+\Z")
PLACES = re.compile(r"\bzk1:2181,zk2:2181,zk3:2181\b|\b127\.0\.0\.1:2181\b")
RESOURCE = "/my-service/scheduler"
PLUGIN = "golea_async.testing.pytest_plugin"  # as where the package is installed
PYTEST_INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
PIECE_SECONDS = 20.0
"""A piece that takes as long as this waits for something that does not come."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Example]:
    """Return the blocks of a page that have a language, and the invisible ones, from top to bottom."""
    document = Document.parse(str(page), _fenced, _invisible)
    return list(document.examples())


def _fenced(document: Document) -> list[Region]:
    return _regions(document, FencedCodeBlockLexer(r".+", {"language": "arguments", "source": "source"}))


def _invisible(document: Document) -> list[Region]:
    return _regions(document, DirectiveInHTMLCommentLexer("invisible-code-block", r"\w+"))


def _regions(document: Document, lexer: Any) -> list[Region]:
    found = list(lexer(document))
    for region in found:
        region.parsed = textwrap.dedent(region.lexemes["source"])
    return found


def language(block: Example) -> str:
    """Return the first word behind the fence."""
    return str(block.region.lexemes["arguments"]).split()[0]


def file_name(block: Example) -> str | None:
    """Return the second word behind the fence, where there is one."""
    words = str(block.region.lexemes["arguments"]).split()
    return words[1] if len(words) > 1 else None


def says_why_not(block: Example) -> bool:
    """Whether the line before the block says that it is not run."""
    return NOT_RUN.search(block.document.text, 0, block.start) is not None


def runs(block: Example) -> bool:
    return language(block) == "python" and not says_why_not(block)


def is_program(block: Example) -> bool:
    return "asyncio.run(" in block.parsed or "if __name__" in block.parsed


# ---------------------------------------------------------------------- Python


class Page:
    """A page whose pieces and programs are being run, on a ZooKeeper of its own."""

    def __init__(self, page: Path, directory: Path) -> None:
        self._blocks = [block for block in blocks(page) if runs(block) and file_name(block) is None]
        self._directory = directory
        self._namespace: dict[str, Any] = {"__name__": "page"}

    def run(self) -> None:
        """Run all of it, in one event loop."""
        if not self._blocks:
            return
        with (
            MemoryZooKeeper(3) as self._zookeeper,
            asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
        ):
            runner.run(self._run())

    async def _run(self) -> None:
        async with ZKClient(self._zookeeper.hosts, session_timeout=4) as zk:
            await create_election(zk, RESOURCE)
            for block in self._blocks:
                code = PLACES.sub(self._zookeeper.hosts, block.parsed)
                if is_program(block):
                    await self._run_program(block, code)
                else:
                    self._namespace |= {"zk": zk, "resource": RESOURCE, "HOSTS": self._zookeeper.hosts}
                    async with asyncio.timeout(PIECE_SECONDS):
                        await self._run_piece(compiled(block, code))

    async def _run_piece(self, code: CodeType) -> None:
        result = eval(code, self._namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            await result

    async def _run_program(self, block: Example, code: str) -> None:
        script = self._directory / f"line_{block.line}.py"
        script.write_text(code)
        before = self._candidates()
        async with program(str(script), ZOOKEEPER=self._zookeeper.hosts, HOSTS=self._zookeeper.hosts) as process:
            end = asyncio.create_task(process.rest())
            await self._until_it_stands(end, before)
            await stopped(block, process, end)

    async def _until_it_stands(self, end: asyncio.Task[int], before: set[str]) -> None:
        """Wait for its candidate, or for its end."""
        async with asyncio.timeout(PIECE_SECONDS):
            while not end.done() and not self._candidates() - before:
                await asyncio.wait({end}, timeout=0.05)

    def _candidates(self) -> set[str]:
        return {path for path in self._zookeeper.znodes() if "/le_" in path}


def compiled(block: Example, code: str) -> CodeType:
    """Compile a piece so that a traceback shows the page's own lines."""
    padded = "\n" * block.line + code
    made: CodeType = compile(padded, block.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return made


async def stopped(block: Example, process: Program, end: asyncio.Task[int]) -> None:
    """Press Ctrl-C unless the program has ended, and see that it ends well."""
    interrupted = not end.done()
    if interrupted:
        process.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(PIECE_SECONDS):
        code = await end
    ended_well = code == 0 or (interrupted and process.lines[-1:] == ["KeyboardInterrupt"])
    assert ended_well, f"{block.path}:{block.line}: exit code {code}\n" + "\n".join(process.lines)


def run_files(page: Path, directory: Path) -> str:
    """Write the files that a page shows into a folder, run pytest there, and return what it says."""
    for name, code in files(page).items():
        (directory / name).write_text(code)
    (directory / "pytest.ini").write_text(PYTEST_INI)
    command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider"]
    ended = subprocess.run(
        command, cwd=directory, check=False, capture_output=True, text=True, env=_environment(directory)
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def files(page: Path) -> dict[str, str]:
    """Return the files that a page shows, by name."""
    return {name: block.parsed for block in blocks(page) if runs(block) and (name := file_name(block))}


def _environment(directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return kept | {"PYTHONPATH": f"{ROOT}:{directory}"}

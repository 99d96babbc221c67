"""What the pages show works: code, commands, links. `pages.py` says which block is run in which way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from .commands import check_commands
from .links import broken_links
from .pages import PAGES, Page, blocks, files, language, name_of, run_files

LANGUAGES = {"console", "dockerfile", "go", "ini", "java", "json", "mermaid", "python", "sql", "text", "toml", "yaml"}
every_page = pytest.mark.parametrize("page", PAGES, ids=map(name_of, PAGES))


@pytest.fixture
def may_block(never_blocks: BlockBuster) -> Iterator[None]:
    """Let a page's own code block: it imports while the loop runs, and a short example may call SQLite in place."""
    never_blocks.deactivate()
    yield
    never_blocks.activate()


@every_page
@pytest.mark.usefixtures("may_block")
def test_the_code_runs(page: Path, tmp_path: Path) -> None:
    Page(page, tmp_path).run()


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in PAGES if files(page)], ids=name_of)
def test_the_files_are_a_suite_that_passes(page: Path, tmp_path: Path) -> None:
    assert " passed" in run_files(page, tmp_path)


@every_page
def test_the_commands_are_there(page: Path) -> None:
    check_commands(page)


@every_page
def test_every_block_has_a_language_that_is_dealt_with(page: Path) -> None:
    """`pycon`, `py`, or `python` in another spelling would neither be run nor be missed."""
    for block in blocks(page):
        spelled = language(block)
        assert spelled in LANGUAGES or spelled.startswith("{"), f"{name_of(page)}:{block.line}: {spelled}"


@every_page
def test_the_links_lead_somewhere(page: Path) -> None:
    assert not broken_links(page)

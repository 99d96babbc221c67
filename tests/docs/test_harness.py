"""That a page which shows something wrong is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from .commands import check_commands, commands
from .links import broken_links
from .pages import Page, run_files

PIECE = "```python\n{}\n```\n"


def page_of(directory: Path, text: str) -> Path:
    page = directory / "page.md"
    page.write_text(text)
    return page


def test_pieces_share_a_namespace_and_may_await(tmp_path: Path) -> None:
    text = PIECE.format("import asyncio\nawait asyncio.sleep(0)\nmade = 1")
    text += "<!--- invisible-code-block: python\nmade += 1\n-->\n\n"
    Page(page_of(tmp_path, text + PIECE.format("assert made == 2, made")), tmp_path).run()


def test_a_piece_has_a_client_and_an_election(tmp_path: Path) -> None:
    code = "from golea_async import AsyncElection\nasync with AsyncElection(zk, resource) as election:\n"
    code += "    assert election.is_leader and '127.0.0.1' in HOSTS"
    Page(page_of(tmp_path, PIECE.format(code)), tmp_path).run()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("assert 1 == 2", AssertionError),
        ("undefined", NameError),
        ("await zk.get('/nothing')", Exception),
        ("import asyncio\nasync def main():\n    return undefined\nasyncio.run(main())", AssertionError),
    ],
    ids=["piece", "name", "await", "program"],
)
def test_code_that_fails_is_noticed(tmp_path: Path, code: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        Page(page_of(tmp_path, PIECE.format(code)), tmp_path).run()


def test_the_traceback_names_the_page_and_its_line(tmp_path: Path) -> None:
    page = page_of(tmp_path, "# Title\n\n" + PIECE.format("made = 1\nassert made == 2"))
    with pytest.raises(AssertionError) as failure:
        Page(page, tmp_path).run()
    last = failure.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(page), 5)


def test_a_block_that_says_why_is_not_run(tmp_path: Path) -> None:
    Page(page_of(tmp_path, "<!-- not run: needs a printer -->\n" + PIECE.format("undefined")), tmp_path).run()


def test_a_block_that_does_not_say_why_is_run(tmp_path: Path) -> None:
    with pytest.raises(NameError):
        Page(page_of(tmp_path, "<!-- not run: -->\n" + PIECE.format("undefined")), tmp_path).run()


def test_a_file_whose_test_fails_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="1 failed"):
        run_files(page_of(tmp_path, "```python test_it.py\ndef test_it():\n    assert False\n```\n"), tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "golea stat /svc/a",
        "golea status /svc/a --nonsense",
        "GOLEA_HOSTS=zk1:2181 golea run /svc/a --when leading -- ./job",
        "python3 noxfile.py test",
        "pip install 'golea-async[command]'",
        "cd / && golea nothing | less",
    ],
)
def test_a_command_that_is_not_there_is_noticed(tmp_path: Path, line: str) -> None:
    page = page_of(tmp_path, f"```console\n$ {line}\nwhat it says\n```\n")
    with pytest.raises(AssertionError):
        check_commands(page)


def test_commands_that_are_there_pass(tmp_path: Path) -> None:
    text = "```console\n$ GOLEA_HOSTS=zk1 golea run /svc/a --create \\\n    -- ./job --option\n"
    text += "$ golea status /svc/a | less\n"
    text += "$ python3 noxfile.py tests -- -k resign\n$ pip install 'golea-async[cli,otel]'\n```\n"
    page = page_of(tmp_path, text)
    assert [words[0] for _, words in commands(page)] == ["golea", "golea", "less", "python3", "pip"]
    check_commands(page)


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, "# One `two`\n\n[a](#one-two) [b](#three) [c](page.md#one-two) [d](none.md) [e](https://x)\n"
    )
    assert broken_links(page) == ["#three", "none.md#"]

"""The commands that a page shows, in blocks ``console``, behind ``$``.

They are not run. For ``golea`` the command and its options must exist; for ``noxfile.py`` the tasks; for
``pip install golea-async[...]`` the extras.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import cyclopts

from golea_async.cli.app import make_app
from tests.support.programs import ROOT

from .pages import blocks, language, says_why_not


def commands(page: Path) -> list[tuple[int, list[str]]]:
    """Return the commands that a page shows, as words, each with the line of its block."""
    return [
        (block.line, words)
        for block in blocks(page)
        if language(block) == "console" and not says_why_not(block)
        for line in re.findall(r"^\s*\$ (.*)$", block.parsed.replace("\\\n", " "), re.MULTILINE)
        for words in _simple_commands(line)
    ]


def _simple_commands(line: str) -> list[list[str]]:
    """Take a line of shell apart where one command ends and the next begins; leave out variables before a command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;()<>"):
            found.append([])
        elif found[-1] or not re.match(r"\w+=", word):
            found[-1].append(word)
    return [words for words in found if words]


def check_commands(page: Path) -> None:
    """See that each command of a page is there."""
    for line, words in commands(page):
        try:
            check_command(words)
        except AssertionError as error:
            error.add_note(f"{page}:{line}: {' '.join(words)}")
            raise


def check_command(words: list[str]) -> None:
    """See that a command is there, with these options."""
    match words:
        case ["golea", *arguments]:
            check_golea(arguments)
        case [str(python), "-m", "golea_async", *arguments] if python.startswith("python"):
            check_golea(arguments)
        case [str(python), "noxfile.py", *arguments] if python.startswith("python"):
            check_tasks(arguments)
        case ["pip", "install", *packages]:
            check_extras(packages)


def check_golea(arguments: list[str]) -> None:
    """Parse the arguments as ``golea`` does. A file that an option names need not be there."""
    here = str(ROOT / "README.md")
    with_files = [here if re.match(r"(/\w[\w-]*)+/[\w-]+\.\w+$", word) else word for word in arguments]
    app = make_app(arguments[0] if arguments else "")
    try:
        _, bound, _ = app.parse_args(with_files, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise AssertionError(str(error)) from error
    program_to_run = bound.arguments.get("command")
    assert not program_to_run or not program_to_run[0].startswith("-"), f"no option {program_to_run[0]}"


def check_tasks(arguments: list[str]) -> None:
    """See that noxfile.py has these tasks."""
    there = re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    asked = arguments[: arguments.index("--")] if "--" in arguments else arguments
    assert set(asked) <= set(there), f"noxfile.py has {there}, not {asked}"


def check_extras(packages: list[str]) -> None:
    """See that this package has these extras."""
    there = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package in packages:
        name, _, extras = package.partition("[")
        if name == "golea-async" and extras:
            assert set(extras.rstrip("]").split(",")) <= set(there), package

"""The log lines of the library, read from its source: which logger, at which levels, in which words.

Each line is a template: `…` stands for what is filled in. A few calls log a text that is written elsewhere, such as an
error's; `WRITTEN_IN` says where.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.parsed import parsed

PACKAGE = Path(__file__).parents[2] / "golea_async"
GAP = "…"
METHODS = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"}
PLACE = re.compile(r"%(?:s|g|#x|\.1f)")
ABOUT = f"candidate {GAP} ({GAP}) "
"""What `Identity.about` puts before a text."""

_IDENTITY = "_protocol/identity.py"
WRITTEN_IN = {
    # (module that logs, text with the gap): (module, functions that write what is in the gap)
    ("_shared/said.py", "…"): (
        "_protocol/oddities.py",
        ("lasting_candidate", "other_recipes", "scarce_numbers", "smaller_token", "strange_request"),
    ),
    ("_publication.py", "…"): (_IDENTITY, ("over", "client_closed", "deleted", "deposed", "session_lost")),
    ("_leaving.py", "…"): (_IDENTITY, ("not_withdrawn",)),
    ("election.py", "…"): (_IDENTITY, ("not_withdrawn",)),
    ("web/_stay.py", "…"): (_IDENTITY, ("not_withdrawn",)),
    ("web/_stay.py", "…; this process stands no more, and needs a restart"): (_IDENTITY, ("crashed",)),
    ("_protocol/teardown.py", "…"): ("_protocol/teardown.py", ("_who_is_left",)),
    ("_zookeeper/session.py", "…"): ("_zookeeper/suspects.py", ("verdict",)),
    ("_zookeeper/waiting.py", "…; it goes on trying"): ("_zookeeper/waiting.py", ("Waiting.describe",)),
    ("_zookeeper/connecting.py", "no server takes us in: …"): ("_zookeeper/waiting.py", ("Waiting.describe",)),
}
"""What is logged is named by its words, not by its function: functions move more often than words do."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED = (*_FUNCTIONS, ast.ClassDef)
_Names = dict[str, ast.expr]


class Line(NamedTuple):
    """One log line, in one wording."""

    logger: str
    levels: frozenset[str]
    text: str


def lines() -> set[Line]:
    """Return all log lines of the library."""
    return {line for path in sorted(PACKAGE.rglob("*.py")) for line in _lines_of(path)}


def _lines_of(path: Path) -> Iterator[Line]:
    tree = parsed(path)
    constants = _imported(tree, path.parent) | _assigned(tree.body)
    loggers = {name: logger for name, value in constants.items() if (logger := _logger(value)) is not None}
    for function in ast.walk(tree):
        if not isinstance(function, _FUNCTIONS):
            continue
        names = constants | _assigned(ast.walk(function))
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                logger = loggers.get(ast.unparse(call.func.value))
                if logger is not None and call.func.attr in {*METHODS, "log"}:
                    levels, texts = _read(call, call.func.attr, names)
                    for text in texts:
                        yield from (Line(logger, levels, squeezed(each)) for each in _found(path, text))


def _logger(value: ast.expr) -> str | None:
    match value:
        case ast.Call(args=[ast.Call(func=ast.Attribute(attr="getLogger"), args=[ast.Constant(value=str(name))])]):
            return name
    return None


def _read(call: ast.Call, method: str, names: _Names) -> tuple[frozenset[str], list[str]]:
    """Return the levels of a call, and its texts: the template with its arguments filled in."""
    arguments = list(call.args)
    if method == "log":
        level = arguments.pop(0)
        written = ast.unparse(names[level.id] if isinstance(level, ast.Name) else level)
        levels = frozenset(re.findall(r"logging\.(\w+)", written))
    else:
        levels = frozenset({METHODS[method]})
    texts = _texts(arguments[0], names)
    for argument in arguments[1:]:
        if not isinstance(argument, ast.Starred):
            wordings = _texts(argument, names)
            texts = [PLACE.sub(wording.replace("\\", ""), text, count=1) for text in texts for wording in wordings]
    return levels, [PLACE.sub(GAP, text) for text in texts]


def _found(path: Path, text: str) -> list[str]:
    """Return a text as it is; or, where what is in its gap is written elsewhere, with each of those texts in it."""
    elsewhere = WRITTEN_IN.get((str(path.relative_to(PACKAGE)), text))
    if elsewhere is None:
        return [text]
    module, functions = elsewhere
    return [text.replace(GAP, each) for function in functions for each in _returned_by(module, function)]


def _returned_by(module: str, function: str) -> list[str]:
    """Return the texts that a function returns, or makes an error of."""
    found: ast.AST = parsed(PACKAGE / module)
    for name in function.split("."):
        found = next(each for each in ast.walk(found) if isinstance(each, _NAMED) and each.name == name)
    names = _assigned(ast.walk(found))
    returned = [each.value for each in ast.walk(found) if isinstance(each, ast.Return) and each.value is not None]
    texts = [text for value in returned for text in _texts(value, names)]
    return [text for text in texts if text != GAP]


def _texts(value: ast.expr, names: _Names) -> list[str]:
    """Return each wording of an expression; a gap where it is not written out."""
    texts = [GAP]
    match value:
        case ast.Constant(value=str(text)):
            texts = [text]
        case ast.JoinedStr():
            texts = ["".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in value.values)]
        case ast.IfExp():
            texts = [*_texts(value.body, names), *_texts(value.orelse, names)]
        case ast.Name(id=name) if name in names:
            texts = _texts(names[name], {key: other for key, other in names.items() if key != name})
        case ast.Call(func=ast.Attribute(attr="about"), args=[what]):
            texts = [ABOUT + text for text in _texts(what, names)]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr="error"), args=[_, what]):
            texts = [ABOUT + text for text in _texts(what, names)]
    return texts


def squeezed(text: str) -> str:
    """Return a text with one gap where several meet."""
    return re.sub(rf"{GAP}+", GAP, text)


def _imported(tree: ast.Module, folder: Path) -> _Names:
    """Return what is assigned in the modules of the same folder from which this one imports."""
    return {
        name: value
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 1 and (folder / f"{node.module}.py").exists()
        for name, value in _assigned(parsed(folder / f"{node.module}.py").body).items()
        if name in {alias.name for alias in node.names}
    }


def _assigned(nodes: Iterable[ast.AST]) -> _Names:
    return {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }

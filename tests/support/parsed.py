"""The library's source, parsed by tests that look at it."""

from __future__ import annotations

import ast
import gc
from pathlib import Path


def parsed(path: Path) -> ast.Module:
    """Parse a file, with no collection of garbage meanwhile.

    A collection may end a task of an earlier test, whose traceback is logged, for which Python 3.11 parses a line. Then
    the parsing that it has come into fails ("AST constructor recursion depth mismatch").
    """
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()

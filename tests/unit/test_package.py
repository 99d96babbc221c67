"""The package as an interpreter or an editor looks at it: its names are loaded when one of them is used."""

from __future__ import annotations

import subprocess
import sys

from golea_async import _api


def test_it_lists_its_names_before_any_is_used() -> None:
    program = "import golea_async; print(*dir(golea_async))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(_api.__all__) <= set(done.stdout.split())

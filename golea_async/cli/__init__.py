"""The command ``golea``: who leads, hand over, and run a program while leading. It needs ``golea-async[cli]``.

Imports are lazy: what a command needs is loaded when that command runs.
"""

from __future__ import annotations

import sys

from .exits import Exit


def main() -> None:
    """Run the command that the command line asks for; never returns."""
    try:
        from .app import run_app  # noqa: PLC0415  # its dependencies may be missing
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write(f"golea: {missing.name} is not installed: pip install 'golea-async[cli]'\n")
        sys.exit(Exit.CONFIGURATION)
    sys.exit(run_app(sys.argv[1:]))

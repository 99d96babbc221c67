"""The command ``golea``: who leads, hand over, and run a program while leading. It needs ``golea-async[cli]``.

Imports are lazy: what a command needs is loaded when that command runs.
"""

from __future__ import annotations

import os
import signal
import sys

from .exits import Exit


def main() -> None:
    """Run the command that the command line asks for; never returns."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(
            signal.SIGINT, lambda number, _: os._exit(128 + number)
        )  # until a command listens: loads take time
    if None in {sys.stdin, sys.stdout, sys.stderr}:
        _open_streams()
    try:
        from .app import run_app  # noqa: PLC0415  # its dependencies may be missing
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write(f"golea: {missing.name} is not installed: pip install 'golea-async[cli]'\n")
        sys.exit(Exit.CONFIGURATION)
    sys.exit(run_app(sys.argv[1:]))


def _open_streams() -> None:
    """Have all standard streams where golea was started without one: ``golea run ... >&-``, some service managers."""
    from golea_async.guardian import fill_standard_streams  # noqa: PLC0415  # most have them

    fill_standard_streams()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115

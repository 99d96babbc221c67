"""``golea guard``: the guardian of a container's program."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from golea_async.guardian import main

from .exits import Exit, Problem


def guard(
    *command: Annotated[str, Parameter(help="The program and its arguments, behind --.", allow_leading_hyphen=True)],
) -> int:
    """Run a program, and close the ZooKeeper sessions of `ZKClient(..., guardian=True)` in it when it is killed.

    For containers, as process 1: there a guardian beside the program would end with it. It reaps orphans, and passes
    signals on.

    Example: `golea guard -- python -m my_service`

    Exit code: that of the program, 128 and the signal's number when a signal has ended it; 126, 127 it cannot be run.
    """
    if not command:
        raise Problem("which program? golea guard -- COMMAND", Exit.USAGE)
    if command[0].startswith("-"):
        raise Problem(f"golea guard has no option {command[0]}; see golea guard --help", Exit.USAGE)
    main(["--", *command])

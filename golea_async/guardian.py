"""``python -m golea_async.guardian -- COMMAND``: run a program, and close its ZooKeeper sessions when it dies.

For containers, where the program would be process 1: whatever else runs there is ended with it.
"""

from __future__ import annotations

import os
import sys

from ._zookeeper import guardian_process


def main(arguments: list[str]) -> None:
    """Become the guardian of a command. It needs the standard library alone."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        sys.exit("usage: python -m golea_async.guardian -- COMMAND [ARGUMENT...]")
    os.execv(sys.executable, [sys.executable, "-I", "-S", guardian_process.__file__, "--guard", *command])


if __name__ == "__main__":
    main(sys.argv[1:])

"""A pid namespace of its own for a command, as a container has one."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest


def unshare() -> list[str]:
    """Return the command in front of another one that gives it a pid namespace of its own, as a container has."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(
            f"no pid namespace can be made ({done.stderr.strip()}): run the tests as root, and where they run in a "
            "container, with the right to do that (docker run --privileged)"
        )
    return command


def below(process: int) -> list[tuple[int, list[str]]]:
    """Return process id, by the numbers here, and command line of each process below this one, the oldest first."""
    found = []
    for child in map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()):
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end while it is looked at
            found.append((child, Path(f"/proc/{child}/cmdline").read_text().rstrip("\0").split("\0")))
            found += below(child)
    return found

"""The tests notice it when the library blocks an event loop (the fixture `never_blocks`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blockbuster import BlockingError

import golea_async
import golea_async.testing

CODE = "import time\ndef block(): time.sleep(0)\n"


def block_in(package: str) -> Callable[[], None]:
    """Return a function that blocks, as if it stood in this package."""
    names: dict[str, Callable[[], None]] = {}
    exec(compile(CODE, str(Path(package) / "blocking.py"), "exec"), names)
    return names["block"]


@pytest.mark.both_loops
async def test_the_library_must_not_block() -> None:
    with pytest.raises(BlockingError, match=r"time\.sleep"):
        block_in(golea_async.__path__[0])()


@pytest.mark.both_loops
async def test_tests_and_their_servers_may() -> None:
    block_in(golea_async.testing.__path__[0])()
    time.sleep(0)  # noqa: ASYNC251


def test_where_no_loop_runs_the_library_may() -> None:
    block_in(golea_async.__path__[0])()

"""Programs that tests start: processes whose output is read line by line, and what they serve."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


class Program:
    """A process whose output is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self, pattern: str) -> str:
        """Read on until a line matches; return it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            async for raw in self.process.stdout:
                self.lines.append(raw.decode().rstrip())
                if re.search(pattern, self.lines[-1]):
                    return self.lines[-1]
        raise AssertionError(f"the program ended without a line like {pattern!r}:\n" + "\n".join(self.lines))

    async def rest(self) -> int:
        """Read to the end; return the exit code."""
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            self.lines.append(raw.decode().rstrip())
        return await self.process.wait()


@asynccontextmanager
async def program(*arguments: str, **environment: str) -> AsyncIterator[Program]:
    """Run Python with these arguments; nothing of it is left afterwards, nor of the processes that it has started."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | environment,
        start_new_session=True,
    )
    try:
        yield Program(process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def eventually(look: Callable[[], Awaitable[Any]]) -> Any:
    """Look until there is something to see, and return that."""
    async with asyncio.timeout(PATIENCE):
        while not (seen := await look()):  # noqa: ASYNC110 - another process's HTTP answers: nothing to wait for
            await asyncio.sleep(0.02)
        return seen

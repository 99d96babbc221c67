"""The command `golea` as a process of a test."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
GOLEA = (sys.executable, "-m", "golea_async")
PATIENCE = 60.0


def environment(hosts: str, **more: str) -> dict[str, str]:
    """The environment of a command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GOLEA_")}
    return {**kept, "GOLEA_HOSTS": hosts, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **more}


class Golea:
    """One that goes on: what it says on standard error is read line by line."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[str] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    async def says(self, pattern: str) -> re.Match[str]:
        """Read on until a line matches."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            async for line in self.process.stderr:
                self.said.append(line.decode().rstrip())
                if match := re.search(pattern, self.said[-1]):
                    return match
        raise AssertionError(f"golea ended without saying {pattern!r}:\n" + "\n".join(self.said))

    async def words(self) -> list[str]:
        """Kill it, and return all that it has said."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.ends()
        return self.said

    async def ends(self) -> int:
        """Wait for its end; return the exit code."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            async for line in self.process.stderr:
                self.said.append(line.decode().rstrip())
            return await self.process.wait()


@asynccontextmanager
async def golea(
    hosts: str,
    *arguments: str,
    prefix: Sequence[str] = (),
    stdin: int | None = DEVNULL,
    stdout: int | None = DEVNULL,
    **more: str,
) -> AsyncIterator[Golea]:
    """Start `golea`, by the command in `prefix` if there is one; it is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *prefix, *GOLEA, *arguments, stdin=stdin, stdout=stdout, stderr=PIPE, env=environment(hosts, **more)
    )
    try:
        yield Golea(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ask(hosts: str, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Run `golea` to its end; return the exit code, the output and what is on standard error."""
    process = await asyncio.create_subprocess_exec(
        *GOLEA, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment(hosts, **more)
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def ask_json(hosts: str, *arguments: str, **more: str) -> Any:
    """Run `golea ... --json` and return what it prints."""
    _, out, err = await ask(hosts, *arguments, "--json", **more)
    assert out, err
    return json.loads(out)

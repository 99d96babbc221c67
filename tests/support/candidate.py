"""One candidate in a process of its own, to be killed: it prints each status, and does what it is told on stdin.

`python -m tests.support.candidate HOSTS RESOURCE NAME SESSION_TIMEOUT`
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from golea_async import AsyncElection, Status

from .elections import connected, soon

ROOT = Path(__file__).parents[2]


class CandidateProcess:
    """The test's side of such a process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def next_status(self) -> dict[str, Any]:
        """The next status, as a dictionary; the error is its class's name."""
        assert self._process.stdout is not None
        line = await soon(self._process.stdout.readline())
        assert line, "the candidate's process has ended"
        status: dict[str, Any] = json.loads(line)
        return status

    async def resign(self) -> None:
        """Tell it to resign, and wait for the end of its process."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"resign\n")
        assert await soon(self._process.wait()) == 0

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def candidate_process(
    hosts: str, resource: str, name: str, *, session_timeout: float
) -> AsyncIterator[CandidateProcess]:
    """Start a process that stands; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "tests.support.candidate", hosts, resource, name, str(session_timeout)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE)
    candidate = CandidateProcess(process)
    try:
        yield candidate
    finally:
        await candidate.kill()
        assert process.stdin is not None
        process.stdin.close()


def _print(status: Status) -> None:
    fields = {
        "role": status.role,
        "candidate_id": status.candidate_id,
        "now_following": status.now_following,
        "was_following": status.was_following,
        "fencing_token": status.fencing_token,
        "error": type(status.error).__name__ if status.error else None,
    }
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def _print_all(statuses: AsyncIterator[Status]) -> None:
    async for status in statuses:
        _print(status)


async def _main(hosts: str, resource: str, name: str, session_timeout: str) -> None:
    async with connected(hosts, session_timeout=float(session_timeout)) as zk:
        election = AsyncElection(zk, resource, name)
        await election.start()
        printing = asyncio.create_task(_print_all(election.statuses()))
        await asyncio.to_thread(sys.stdin.readline)
        await election.resign()
        await printing


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

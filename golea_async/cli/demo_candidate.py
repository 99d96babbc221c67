"""One candidate of the demo, a process of its own: it stands, and tells the demo what it believes.

Each line on standard output is one report (JSON): a status, or a sample of ``is_leader`` together with the moments
just before and just after it was read (CLOCK_MONOTONIC, which all processes of a machine share). The candidate resigns
when it reads a line from standard input, or its end: so it never outlives the demo.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

from golea_async import AsyncElection, ZKClient

SAMPLE_EVERY = 0.005


def report(**what: Any) -> None:
    """Write one line at once: what was written survives a SIGKILL."""
    os.write(1, json.dumps(what).encode() + b"\n")


async def report_statuses(election: AsyncElection) -> None:
    async for status in election.statuses():
        report(
            role=status.role,
            candidate_id=status.candidate_id,
            following=status.now_following,
            error=type(status.error).__name__ if status.error else None,
        )


async def report_belief(zk: ZKClient, election: AsyncElection) -> None:
    """Sample ``is_leader``: every sample that says yes is reported, and the first that says no."""
    did_lead = False
    while True:
        before = time.monotonic()
        leads = election.is_leader
        after = time.monotonic()
        if leads or did_lead:
            server = zk.session.conn.port if zk.session.conn is not None else None
            report(leads=leads, before=before, after=after, token=election.status.fencing_token, server=server)
        did_lead = leads
        await asyncio.sleep(SAMPLE_EVERY)


async def told_to_resign() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.readline()


async def stand(hosts: str, resource: str, name: str, session_timeout: float, *, guardian: bool) -> None:
    async with ZKClient(hosts, session_timeout=session_timeout, guardian=guardian) as zk:
        election = AsyncElection(zk, resource, name)
        reports = [asyncio.create_task(report_statuses(election)), asyncio.create_task(report_belief(zk, election))]
        try:
            await election.start()
            await told_to_resign()
        finally:
            await election.resign()
            for task in reports:
                task.cancel()


def main() -> None:
    """Stand as the command line says."""
    logging.getLogger("golea_async").setLevel(logging.ERROR)  # what it would warn of, the statuses say too
    hosts, resource, name, session_timeout, guardian = sys.argv[1:]
    asyncio.run(stand(hosts, resource, name, float(session_timeout), guardian=guardian == "guardian"))


if __name__ == "__main__":
    main()

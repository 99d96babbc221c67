"""A worker of which several copies run and one works: `python examples/worker.py --zookeeper zk1:2181,zk2:2181`.

SIGTERM and SIGINT (Ctrl-C) make it resign at once, so that the next one need not wait for the session to expire.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from contextlib import suppress

from golea_async import AsyncElection, Role, ZKClient, create_election

HOSTS = os.environ.get("ZOOKEEPER", "127.0.0.1:2181")


async def work(election: AsyncElection, fencing_token: int) -> None:
    """The job that only one copy may do. It asks before each piece: only `is_leader` tells about now."""
    while True:
        if election.is_leader:
            print(f"{election.name} works with fencing token {fencing_token}", flush=True)
        await asyncio.sleep(0.5)


async def cancel(job: asyncio.Task[None] | None) -> None:
    """Stop the job and wait until it has stopped."""
    if job is not None:
        job.cancel()
        await asyncio.wait({job})


async def stand(zk: ZKClient, resource: str, name: str) -> None:
    """Stand until the election is over or this task is cancelled, and work while leading."""
    job: asyncio.Task[None] | None = None
    election = AsyncElection(zk, resource, name)
    try:
        await election.start()
        async for status in election.statuses():
            print(f"{name} is {status.role} {status.error or ''}", flush=True)
            await cancel(job)
            job = None
            if status.role is Role.LEADER and status.fencing_token is not None:
                job = asyncio.create_task(work(election, status.fencing_token))
    finally:
        await cancel(job)  # first: the next leader must not overlap with work that is still stopping
        await election.resign()
        print(f"{name} has resigned", flush=True)


async def main(hosts: str, resource: str, name: str, session_timeout: float) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with ZKClient(hosts, session_timeout=session_timeout) as zk:
        await create_election(zk, resource)
        await stand(zk, resource, name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Work while leading an election.")
    parser.add_argument("--zookeeper", default=HOSTS, help="host:port,host:port,...")
    parser.add_argument("--election", default="/example-worker", help="path of the election node")
    parser.add_argument("--name", default=f"worker-{os.getpid()}")
    parser.add_argument("--session-timeout", type=float, default=6, help="seconds")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with suppress(asyncio.CancelledError):
        asyncio.run(main(arguments.zookeeper, arguments.election, arguments.name, arguments.session_timeout))

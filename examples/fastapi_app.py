"""A FastAPI application of which several copies run and one leads: `GET /leader` says who.

python examples/fastapi_app.py --port 8080 --zookeeper zk1:2181,zk2:2181,zk3:2181
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request

from golea_async import AsyncElection, ZKClient, create_election, get_leader

HOSTS = os.environ.get("ZOOKEEPER", "127.0.0.1:2181")
PATIENCE = 2  # seconds that a request waits for ZooKeeper


def make_app(hosts: str, resource: str, name: str, session_timeout: float) -> FastAPI:
    @asynccontextmanager
    async def stand(app: FastAPI) -> AsyncIterator[None]:
        """Stand for as long as the application runs. It begins to serve once ZooKeeper was reached."""
        async with ZKClient(hosts, session_timeout=session_timeout) as zk:
            await create_election(zk, resource)
            async with AsyncElection(zk, resource, name) as election:
                app.state.zk, app.state.election = zk, election
                yield

    app = FastAPI(lifespan=stand)
    app.get("/leader")(leader)
    return app


async def leader(request: Request) -> dict[str, Any]:
    """Who leads by ZooKeeper's word, and whether this copy believes to lead."""
    election: AsyncElection = request.app.state.election
    try:
        async with asyncio.timeout(PATIENCE):
            first = await get_leader(request.app.state.zk, election.resource)
    except TimeoutError:
        raise HTTPException(503, "ZooKeeper is out of reach") from None
    return {
        "leader": {"name": first.name, "fencing_token": first.fencing_token} if first else None,
        "me": {"name": election.name, "is_leader": election.is_leader},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A FastAPI application with an election in it.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--zookeeper", default=HOSTS, help="host:port,host:port,...")
    parser.add_argument("--election", default="/example-fastapi", help="path of the election node")
    parser.add_argument("--session-timeout", type=float, default=6, help="seconds")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    application = make_app(
        arguments.zookeeper, arguments.election, f"fastapi:{arguments.port}", arguments.session_timeout
    )
    uvicorn.run(application, host="127.0.0.1", port=arguments.port)

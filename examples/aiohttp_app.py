"""An aiohttp application of which several copies run and one leads: `GET /leader` says who.

python examples/aiohttp_app.py --port 8080 --zookeeper zk1:2181,zk2:2181,zk3:2181
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import AsyncIterator

from aiohttp import web

from golea_async import AsyncElection, ZKClient, create_election, get_leader

HOSTS = os.environ.get("ZOOKEEPER", "127.0.0.1:2181")
PATIENCE = 2  # seconds that a request waits for ZooKeeper

ELECTION = web.AppKey("ELECTION", AsyncElection)
ZOOKEEPER = web.AppKey("ZOOKEEPER", ZKClient)


def make_app(hosts: str, resource: str, name: str, session_timeout: float) -> web.Application:
    async def stand(app: web.Application) -> AsyncIterator[None]:
        """Stand for as long as the application runs. It begins to serve once ZooKeeper was reached."""
        async with ZKClient(hosts, session_timeout=session_timeout) as zk:
            await create_election(zk, resource)
            async with AsyncElection(zk, resource, name) as election:
                app[ZOOKEEPER], app[ELECTION] = zk, election
                yield

    app = web.Application()
    app.cleanup_ctx.append(stand)
    app.router.add_get("/leader", leader)
    return app


async def leader(request: web.Request) -> web.Response:
    """Who leads by ZooKeeper's word, and whether this copy believes to lead."""
    election = request.app[ELECTION]
    try:
        async with asyncio.timeout(PATIENCE):
            first = await get_leader(request.app[ZOOKEEPER], election.resource)
    except TimeoutError:
        raise web.HTTPServiceUnavailable(text="ZooKeeper is out of reach") from None
    return web.json_response(
        {
            "leader": {"name": first.name, "fencing_token": first.fencing_token} if first else None,
            "me": {"name": election.name, "is_leader": election.is_leader},
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An aiohttp application with an election in it.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--zookeeper", default=HOSTS, help="host:port,host:port,...")
    parser.add_argument("--election", default="/example-aiohttp", help="path of the election node")
    parser.add_argument("--session-timeout", type=float, default=6, help="seconds")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    application = make_app(
        arguments.zookeeper, arguments.election, f"aiohttp:{arguments.port}", arguments.session_timeout
    )
    web.run_app(application, host="127.0.0.1", port=arguments.port)

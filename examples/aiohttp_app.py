"""An aiohttp application of which several copies run, and one does the job: `/election/` shows which.

python examples/aiohttp_app.py --port 8080 --zookeeper zk1:2181,zk2:2181,zk3:2181
"""

from __future__ import annotations

import argparse
import asyncio
import os

from aiohttp import web

from golea_async import Leadership
from golea_async.web import leading


async def work(leadership: Leadership) -> None:
    """Do the job of the one that leads, until it is cancelled."""
    print(f"leads with fencing token {leadership.fencing_token}", flush=True)
    await asyncio.Event().wait()


def make_app(hosts: str, resource: str, name: str, session_timeout: float) -> web.Application:
    lead = leading(hosts, resource, work, name=name, session_timeout=session_timeout)

    async def job(_: web.Request) -> web.Response:
        """What only the leader may do: the others decline."""
        if (leadership := lead.current_leadership) is None:
            raise web.HTTPServiceUnavailable(text="another copy leads")
        return web.json_response({"fencing_token": leadership.fencing_token})

    app = web.Application()
    app.cleanup_ctx.append(lead)
    app.add_routes([*lead.aiohttp_routes("/election"), web.post("/job", job)])
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An aiohttp application with an election in it.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--zookeeper", default=os.environ.get("ZOOKEEPER", "127.0.0.1:2181"))
    parser.add_argument("--election", default="/example-aiohttp", help="path of the election node")
    parser.add_argument("--session-timeout", type=float, default=6, help="seconds")
    options = parser.parse_args()
    application = make_app(options.zookeeper, options.election, f"aiohttp:{options.port}", options.session_timeout)
    web.run_app(application, host="127.0.0.1", port=options.port)

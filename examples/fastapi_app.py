"""A FastAPI application of which several copies run, and one does the job: `/election/` shows which.

python examples/fastapi_app.py --port 8080 --zookeeper zk1:2181,zk2:2181,zk3:2181
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

import uvicorn
from fastapi import FastAPI, HTTPException

from golea_async import Leadership
from golea_async.web import leading


async def work(leadership: Leadership) -> None:
    """Do the job of the one that leads, until it is cancelled."""
    print(f"leads with fencing token {leadership.fencing_token}", flush=True)
    await asyncio.Event().wait()


def make_app(hosts: str, resource: str, name: str, session_timeout: float) -> FastAPI:
    lead = leading(hosts, resource, work, name=name, session_timeout=session_timeout)
    app = FastAPI(lifespan=lead)
    app.mount("/election", lead.asgi())

    @app.post("/job")
    async def job() -> dict[str, int]:
        """What only the leader may do: the others decline."""
        if (leadership := lead.current_leadership) is None:
            raise HTTPException(503, "another copy leads")
        return {"fencing_token": leadership.fencing_token}

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A FastAPI application with an election in it.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--zookeeper", default=os.environ.get("ZOOKEEPER", "127.0.0.1:2181"))
    parser.add_argument("--election", default="/example-fastapi", help="path of the election node")
    parser.add_argument("--session-timeout", type=float, default=6, help="seconds")
    options = parser.parse_args()
    application = make_app(options.zookeeper, options.election, f"fastapi:{options.port}", options.session_timeout)
    # uvicorn ends in order at SIGTERM, and then raises the signal anew: this makes exit code 0 of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    uvicorn.run(application, host="127.0.0.1", port=options.port)

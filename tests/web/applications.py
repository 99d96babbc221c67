"""The applications that these tests run as processes; `python -m tests.web.applications PORT` serves with uvicorn."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from starlette.applications import Starlette

from golea_async import Leadership
from golea_async.web import leading

HOSTS = os.environ["ZOOKEEPER"]
RESOURCE = os.environ["ELECTION"]
SETTINGS: dict[str, Any] = {"session_timeout": float(os.environ.get("SESSION_TIMEOUT", "10"))}

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")


async def wait(leadership: Leadership) -> None:
    print("leads", leadership.fencing_token, flush=True)
    await asyncio.Event().wait()


async def die(_: Leadership) -> None:
    raise ZeroDivisionError("the work is wrong")


async def tick(token: int) -> None:
    print("tick", token, flush=True)


async def schedule(leadership: Leadership) -> None:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler  # noqa: PLC0415 - the others start without it

    scheduler = AsyncIOScheduler()
    scheduler.add_job(tick, "interval", [leadership.fencing_token], seconds=0.05)
    scheduler.start()
    try:
        await asyncio.Event().wait()
    finally:
        scheduler.shutdown(wait=False)
        print("the scheduler is stopped", flush=True)


async def linger(leadership: Leadership) -> None:
    try:
        await wait(leadership)
    finally:
        await asyncio.sleep(60)


WORK = {"wait": wait, "die": die, "schedule": schedule, "linger": linger}[os.environ.get("WORK", "wait")]
lead = leading(HOSTS, RESOURCE, WORK, grace=float(os.environ.get("GRACE", "10")), **SETTINGS)

app = FastAPI(lifespan=lead)
app.mount("/election", lead.asgi())


def do_deed() -> tuple[int, str]:
    """Something that only the leader may do: whatever else a load balancer sends here is declined."""
    leadership = lead.current_leadership
    if leadership is None:
        return 503, "another one leads"
    return 200, f"{os.environ.get('NAME')} {leadership.fencing_token}"


@app.post("/deed")
async def deed() -> Response:
    status, text = do_deed()
    return Response(text, status_code=status)


async def until_there(path: str) -> None:
    print("a request waits", flush=True)
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.02)


@app.get("/slow")
async def slow(until: str) -> Response:
    """A request that is under way when the server is told to end."""
    await until_there(until)
    return Response("answered")


first, second = (leading(HOSTS, f"{RESOURCE}/{each}", wait, **SETTINGS) for each in ("first", "second"))


class Both:
    """Two elections in one application."""

    def __init__(self, app: Starlette) -> None:
        self._all = [each(app) for each in (first, second)]

    async def __aenter__(self) -> None:
        for each in self._all:
            await each.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in self._all))


two = Starlette(lifespan=Both)
two.mount("/first", first.asgi())
two.mount("/second", second.asgi())


def serve_aiohttp(port: int) -> None:
    from aiohttp import web  # noqa: PLC0415

    async def slow(request: web.Request) -> web.Response:
        await until_there(request.query["until"])
        return web.Response(text="answered")

    async def deed(_: web.Request) -> web.Response:
        status, text = do_deed()
        return web.Response(text=text, status=status)

    application = web.Application()
    application.add_routes([web.get("/slow", slow), web.post("/deed", deed)])
    application.cleanup_ctx.append(lead)
    application.add_routes(lead.aiohttp_routes("/election"))
    web.run_app(application, host="127.0.0.1", port=port, print=None)


def serve_asgi(application: FastAPI | Starlette, port: int) -> None:
    import uvicorn  # noqa: PLC0415

    uvicorn.run(application, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2])
    # uvicorn ends in order at SIGTERM, and then raises the signal anew: this makes exit code 0 of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    if kind == "aiohttp":
        serve_aiohttp(port)
    else:
        serve_asgi({"fastapi": app, "two": two}[kind], port)

"""The answers as an ASGI application, which FastAPI, Starlette and others mount."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiozk

from golea_async import AsyncElection

from ._answers import METHODS, NOT_ALLOWED, Source, answer
from ._candidates import source_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def asgi(zk: aiozk.ZKClient, election: AsyncElection) -> ASGI:
    """Return an ASGI application: `/leader`, `/healthz`, `/readyz`, `/election`, and `/` for people.

    Mount it where only your own people can reach it: ``app.mount("/election", asgi(zk, election))``.
    """
    return application(source_of(zk, election))


def application(source: Source) -> ASGI:
    """Return an ASGI application that answers from a source."""

    async def serve(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await _answer(source, scope, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    return serve


async def _live(receive: Receive, send: Send) -> None:
    """Begin and end with the server, where nothing is mounted around."""
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def _answer(source: Source, scope: MutableMapping[str, Any], send: Send) -> None:
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
    method = scope["method"]
    result = await answer(source, path) if method in METHODS else NOT_ALLOWED
    headers = {**result.headers, "Content-Length": str(len(result.body))}
    await send(
        {
            "type": "http.response.start",
            "status": result.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else result.body})

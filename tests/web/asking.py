"""Asking an ASGI application, without a server."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from tests.support.elections import soon


class Got:
    """One answer."""

    def __init__(self, messages: list[MutableMapping[str, Any]]) -> None:
        start, body = messages
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.text = body["body"].decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


async def get(application: Any, path: str, *, method: str = "GET", root: str = "") -> Got:
    """Ask an ASGI application."""
    messages: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    scope = {"type": "http", "method": method, "path": root + path, "root_path": root, "headers": []}
    await soon(application(scope, receive, send))
    return Got(messages)

"""The answers as routes of an aiohttp application. aiohttp is imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiozk

from golea_async import AsyncElection

from ._answers import PATHS, Source, answer
from ._candidates import source_of

if TYPE_CHECKING:
    from aiohttp import web


def aiohttp_routes(zk: aiozk.ZKClient, election: AsyncElection, prefix: str = "") -> list[web.RouteDef]:
    """Return routes for ``app.add_routes``: `/leader`, `/healthz`, `/readyz`, `/election`, and `/` for people.

    :param prefix: the path below which they are: where only your own people can reach them.
    """
    return routes(source_of(zk, election), prefix)


def routes(source: Source, prefix: str) -> list[web.RouteDef]:
    """Return routes that answer from a source."""
    from aiohttp import web  # noqa: PLC0415 - an extra

    def handler(path: str) -> type[web.View]:
        class Handler(web.View):
            async def get(self) -> web.Response:
                result = await answer(source, path)
                return web.Response(status=result.status, body=result.body, headers=result.headers)

            head = options = get

        return Handler

    return [web.view(f"{prefix.rstrip('/')}{path}", handler(path)) for path in PATHS]

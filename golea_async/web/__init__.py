"""An election in a web application: probes, a page for people, and a lifespan that leads.

    lead = leading("zk1:2181,zk2:2181,zk3:2181", "/my-service/scheduler", work)

    app = FastAPI(lifespan=lead)              # or Starlette
    app.mount("/election", lead.asgi())       # /election/leader, /election/healthz, ...

    app.cleanup_ctx.append(lead)              # aiohttp
    app.add_routes(lead.aiohttp_routes("/election"))

Whoever makes the client and the election elsewhere shows them by :func:`asgi` or :func:`aiohttp_routes`. Neither
FastAPI, Starlette nor aiohttp is needed for the others.
"""

from ._aiohttp import aiohttp_routes
from ._asgi import asgi
from ._leading import Leading, leading

__all__ = ["Leading", "aiohttp_routes", "asgi", "leading"]

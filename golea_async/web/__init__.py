"""An election in a web application: probes, a page for people, and a lifespan that leads::

    lead = leading("zk1:2181,zk2:2181,zk3:2181", "/my-service/scheduler", work)

    app = FastAPI(lifespan=lead)              # or Starlette
    app.mount("/election", lead.asgi())       # /election/leader, /election/healthz, ...

    app.cleanup_ctx.append(lead)              # aiohttp
    app.add_routes(lead.aiohttp_routes("/election"))

If you make the client and the election yourself, show them with :func:`asgi` or :func:`aiohttp_routes`. FastAPI,
Starlette and aiohttp are not needed for each other.
"""

from ._aiohttp import aiohttp_routes
from ._asgi import asgi
from ._leading import Leading, leading

__all__ = ["Leading", "aiohttp_routes", "asgi", "leading"]

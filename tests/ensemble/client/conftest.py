from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.ensemble import Ensemble
from tests.support.wire import WireClient


@pytest.fixture
async def wire_to_server(server: Ensemble) -> AsyncIterator[WireClient]:
    """Somebody else's session on the single server."""
    async with await WireClient.connect(server.servers[0].port) as client:
        yield client

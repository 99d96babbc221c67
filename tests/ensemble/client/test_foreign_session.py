"""A server that gives a new session in place of the one that was asked for."""

from __future__ import annotations

import re
import struct

from golea_async import AsyncElection, Role, SessionExpiredError, ZKClient, create_election
from tests.ensemble.client.helpers import until
from tests.support.ensemble import Ensemble
from tests.support.proxy import Proxy

CONNECT_REQUEST_BEGINS = struct.pack("!ii", 45, 0)  # its length, and the protocol's version


async def test_a_foreign_session_is_lost_and_none_is_left_behind() -> None:
    """A server that gives a new session in place of the old one, as another implementation of ZooKeeper was seen to."""
    is_forgetful = False

    def forget(data: bytes) -> bytes:
        is_connect_request = data.startswith(CONNECT_REQUEST_BEGINS)
        return data[:20] + bytes(8) + data[28:] if is_forgetful and is_connect_request else data

    def sessions(ensemble: Ensemble) -> int:
        return len(re.findall(r"^\t0x\w+$", ensemble.servers[0].four_letter("dump"), re.MULTILINE))

    with Ensemble(1) as ensemble:
        async with (
            Proxy(ensemble.servers[0].port, frames=False, rewrite=forget) as proxy,
            ZKClient(proxy.address, session_timeout=1) as client,
            ZKClient(ensemble.hosts, session_timeout=1) as other,
        ):
            await create_election(other, "/e")
            candidate, follower = AsyncElection(client, "/e"), AsyncElection(other, "/e")
            await candidate.start()
            await follower.start()
            statuses = candidate.statuses()
            is_forgetful = True
            for _ in range(3):
                proxy.reset()
                while not isinstance((await anext(statuses)).error, SessionExpiredError):
                    pass
                await follower.wait_for_leadership()
                while (await anext(statuses)).role is not Role.FOLLOWER:
                    pass
            await until(lambda: sessions(ensemble) == 2)
            await candidate.resign()
            await follower.resign()

"""Asking ZooKeeper who stands, for whoever asks here: seldom, and never for long."""

from __future__ import annotations

import asyncio
import time

import aiozk

from golea_async import AsyncElection, Candidate, ElectionError, list_candidates

from ._answers import Source, View

PATIENCE = 1.0
"""Seconds after which a probe is answered without what ZooKeeper would say."""
FRESH = 1.0
"""Seconds for which one answer of ZooKeeper's serves everybody: probes come from many, and must not become a load."""


class Candidates:
    """Who stands in an election, by ZooKeeper's word."""

    def __init__(self, zk: aiozk.ZKClient, election: AsyncElection) -> None:
        self._zk = zk
        self._election = election
        self._answer: asyncio.Task[list[Candidate] | None] | None = None
        self._asked_at = 0.0

    async def __call__(self) -> list[Candidate] | None:
        """Return who stands, the leader first; None when ZooKeeper does not say so at once."""
        if not self._election.report().connected:
            return None
        now = time.monotonic()
        if self._answer is None or (self._answer.done() and now - self._asked_at > FRESH):
            self._asked_at = now
            self._answer = asyncio.create_task(self._ask(), name="golea_async web")
        return await asyncio.shield(self._answer)  # a request that is given up takes the answer from nobody else

    async def _ask(self) -> list[Candidate] | None:
        try:
            async with asyncio.timeout(PATIENCE):
                return await list_candidates(self._zk, self._election.resource)
        except (TimeoutError, ElectionError, ValueError):  # the last: the client is closed
            return None


def source_of(zk: aiozk.ZKClient, election: AsyncElection) -> Source:
    """Return where answers about an election come from that somebody else runs."""
    return Source(lambda: View(election.report(), is_serving=True), Candidates(zk, election))

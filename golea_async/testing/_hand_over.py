"""Playing a planned hand-over against a service, in one line of its test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

_STAND_IN = "golea_async.testing's stand-in"


class HasHosts(Protocol):
    """A :class:`MemoryZooKeeper`, or an :class:`Ensemble`."""

    @property
    def hosts(self) -> str:
        """Where its servers are: ``host:port,host:port``."""


@asynccontextmanager
async def handed_over(zookeeper: HasHosts | str, resource: str, *, timeout: float = 10) -> AsyncIterator[None]:
    """Have the leader of an election hand over, as for maintenance: while the block runs, a stand-in leads.

    ``async with handed_over(memory_zookeeper, "/service"):`` begins when the service under test has stopped its work
    and stepped down. When it ends the stand-in has resigned, and the next candidate leads.

    :param zookeeper: a :class:`MemoryZooKeeper` or an :class:`Ensemble`, or its ``hosts``.
    :param timeout: seconds for the service to stop its work.
    :raises TransferError: when it has not stopped by then; it leads on, as soon as its work has ended.
    :raises ElectionNotFoundError: when there is no such election.
    """
    from golea_async import AsyncElection, ZKClient, transfer_leadership  # noqa: PLC0415 - loaded when it is wanted

    hosts = zookeeper if isinstance(zookeeper, str) else zookeeper.hosts
    async with ZKClient(hosts) as zk, AsyncElection(zk, resource, _STAND_IN) as stand_in:
        await transfer_leadership(zk, resource, stand_in.status.candidate_id, timeout=timeout)
        await stand_in.wait_for_leadership()
        yield

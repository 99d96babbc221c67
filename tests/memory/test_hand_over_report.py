"""What is said of a leadership that was handed over: to whom, and who has asked for that."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator

import pytest

from golea_async import (
    AsyncElection,
    HandedOverError,
    LeadershipLostError,
    Reason,
    ZKClient,
    create_election,
    transfer_leadership,
)
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import eventually, soon

RESOURCE = "/svc/a"


@pytest.fixture
async def leader(zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture) -> AsyncIterator[AsyncElection]:
    caplog.set_level(logging.INFO, "golea_async.election")
    async with ZKClient(zookeeper.hosts, session_timeout=2) as zk:
        await create_election(zk, RESOURCE)
        async with AsyncElection(zk, RESOURCE, "leader") as election:
            await soon(election.wait_for_leadership())
            yield election


async def told_of(leader: AsyncElection, caplog: pytest.LogCaptureFixture) -> str:
    """Wait until the loss is told of; return why, as report and log line have it."""
    await eventually(lambda: leader.report().last_loss is not None)
    report = leader.report()
    assert report.last_loss is not None
    assert (report.last_loss.reason, report.losses, report.healthy) == (
        Reason.HANDED_OVER,
        {Reason.HANDED_OVER: 1},
        True,
    )
    (line,) = [each for each in caplog.records if each.message.startswith("lost leadership")]
    assert line.levelname == "INFO"
    assert line.message.endswith(f": {report.last_loss.why}")
    return report.last_loss.why


async def test_to_whom_an_operator_has_named(
    zookeeper: MemoryZooKeeper, leader: AsyncElection, caplog: pytest.LogCaptureFixture
) -> None:
    by = f"{socket.gethostname()}:{os.getpid()}"
    leadership = await soon(leader.wait_for_leadership())
    async with (
        ZKClient(zookeeper.hosts, session_timeout=2) as other,
        AsyncElection(other, RESOURCE, "target") as target,
    ):
        to = target.status.candidate_id
        await soon(transfer_leadership(other, RESOURCE, "target"))
        assert await told_of(leader, caplog) == (
            f"it made way for {to}, and stands on at the end of the line, as {by} had asked"
        )
        with pytest.raises(LeadershipLostError) as lost:
            leadership.check()
        cause = lost.value.__cause__
        assert isinstance(cause, HandedOverError)
        assert (cause.by, cause.to) == (by, to)
        assert f"was asked by {by} to make way for {to}" in str(cause)


async def test_by_its_own_program(leader: AsyncElection, caplog: pytest.LogCaptureFixture) -> None:
    await soon(leader.step_down())
    assert await told_of(leader, caplog) == "it stepped down, and stands on at the end of the line"

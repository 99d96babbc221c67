"""`election.report()` and the log lines: each cause of a loss is brought about, and has words of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    ElectionError,
    ElectionReport,
    Leadership,
    Reason,
    Role,
    ZKClient,
    create_election,
    depose,
    end_election,
)
from golea_async._protocol import candidacy
from golea_async.testing import MemoryZooKeeper, OpCode
from tests.support.elections import eventually, soon
from tests.support.leftovers import background_to_end

RESOURCE = "/svc/a"
ONLY_THE_ADMIN = [aiozk.ACL.make("auth", "", create=True, read=True, write=True, delete=True, admin=True)]
T = 1.2
"""Short, for the tests in which it has to pass."""


@pytest.fixture
async def zk(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(zookeeper.hosts, session_timeout=T) as client:
        await create_election(client, RESOURCE)
        yield client


@pytest.fixture
async def other(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(zookeeper.hosts, session_timeout=10) as client:
        yield client


@pytest.fixture(autouse=True)
def all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "golea_async")


async def leader(zk: aiozk.ZKClient, *, rejoin: bool = True) -> AsyncElection:
    election = AsyncElection(zk, RESOURCE, "a", rejoin=rejoin)
    assert (await soon(election.start())).role is Role.LEADER
    return election


async def loss_of(election: AsyncElection, caplog: pytest.LogCaptureFixture) -> tuple[Reason, str, logging.LogRecord]:
    """Wait until a loss is told of; the log line says the same as the report."""
    await eventually(lambda: election.report().last_loss is not None)
    loss = election.report().last_loss
    assert loss is not None
    assert election.report().losses == {loss.reason: 1}
    (record,) = [each for each in caplog.records if each.message.startswith("lost leadership")]
    assert record.message == (
        f"lost leadership of {RESOURCE} after {loss.led_for:.1f} s (token {loss.fencing_token}): {loss.why}"
    )
    fields = {name: getattr(record, name) for name in ("election", "candidate", "reason", "fencing_token")}
    assert fields == {"election": RESOURCE, "candidate": "a", "reason": loss.reason} | {
        "fencing_token": loss.fencing_token
    }
    assert datetime.now(UTC) - loss.when < timedelta(seconds=30)
    return loss.reason, loss.why, record


class TestCauses:
    async def test_resigned(self, zk: ZKClient, caplog: pytest.LogCaptureFixture) -> None:
        election = await leader(zk)
        await soon(election.resign())
        reason, why, record = await loss_of(election, caplog)
        assert (reason, why, record.levelname) == (Reason.RESIGNED, "it resigned", "INFO")
        report = election.report()
        assert (report.resignations, report.healthy, report.role) == (1, True, Role.NONE)
        assert 0 < report.resignation_time < 10

    async def test_deposed(self, zk: ZKClient, other: ZKClient, caplog: pytest.LogCaptureFixture) -> None:
        election = await leader(zk)
        await depose(other, str(election.status.candidate_id))
        reason, why, record = await loss_of(election, caplog)
        assert (reason, record.levelname) == (Reason.DEPOSED, "WARNING")
        operator = f"{os.uname().nodename}:{os.getpid()}"
        assert why == f"it was deposed by {operator}; start() it to stand anew"
        assert election.report().healthy

    async def test_deleted(self, zk: ZKClient, other: ZKClient, caplog: pytest.LogCaptureFixture) -> None:
        election = await leader(zk)
        await other.delete(str(election.status.candidate_id))
        reason, why, record = await loss_of(election, caplog)
        assert (reason, record.levelname) == (Reason.DEPOSED, "WARNING")
        assert why == "somebody deleted its znode; start() it to stand anew"
        assert election.report().healthy

    async def test_ended(self, zk: ZKClient, other: ZKClient, caplog: pytest.LogCaptureFixture) -> None:
        election = await leader(zk)
        await soon(end_election(other, RESOURCE))
        assert (await loss_of(election, caplog))[:2] == (Reason.ENDED, "the election was ended or deleted")
        assert election.report().healthy

    async def test_lease_lapsed_since_the_loop_was_blocked(
        self, zk: ZKClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        election = await leader(zk)
        time.sleep(T)  # noqa: ASYNC251
        reason, why, _ = await loss_of(election, caplog)
        loss = election.report().last_loss
        assert reason is Reason.LEASE_LAPSED
        assert loss is not None
        assert loss.blocked_for is not None
        # The keep-alive's timer was due within T/8.
        assert 7 / 8 * T - 0.05 < loss.blocked_for < 2 * T
        assert why == f"lease expired, the event loop was blocked for {loss.blocked_for:.1f} s"
        await soon(election.resign())

    async def test_lease_lapsed_since_zookeeper_was_silent(
        self, zookeeper: MemoryZooKeeper, zk: ZKClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        election = await leader(zk)
        with zookeeper.outage():
            reason, why, _ = await loss_of(election, caplog)
            report = election.report()
        assert reason is Reason.LEASE_LAPSED
        assert report.last_loss is not None
        assert report.last_loss.blocked_for is None
        assert why.startswith("lease expired, ZooKeeper's quorum was silent for ")
        assert 0.3 * T < float(why.split()[-2]) < 10
        assert (report.role, report.is_leader, report.connected, report.server) == (Role.CANDIDATE, False, False, None)
        assert report.healthy, "nobody can help by looking at this process"
        await soon(election.resign())

    @pytest.mark.parametrize("rejoin", [True, False])
    async def test_session_lost(
        self, zookeeper: MemoryZooKeeper, zk: ZKClient, caplog: pytest.LogCaptureFixture, *, rejoin: bool
    ) -> None:
        election = await leader(zk, rejoin=rejoin)
        zookeeper.expire_session(zk.session.session_id)
        reason, why, _ = await loss_of(election, caplog)
        assert (reason, why) == (Reason.SESSION_LOST, "the ZooKeeper session is lost, and the znode with it")
        assert election.report().session_losses == 1
        if rejoin:
            await soon(election.wait_for_leadership())
            assert election.report().leaderships == 2
        await soon(election.resign())

    async def test_client_closed(self, zk: ZKClient, caplog: pytest.LogCaptureFixture) -> None:
        election = await leader(zk)
        await zk.close()
        reason, why, _ = await loss_of(election, caplog)
        assert reason is Reason.CLIENT_CLOSED
        assert why == "the ZooKeeper client was closed; resign before closing it"

    async def test_crashed(
        self,
        zookeeper: MemoryZooKeeper,
        zk: ZKClient,
        other: ZKClient,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        election = await leader(zk)
        follower = AsyncElection(other, RESOURCE, "b")
        assert (await soon(follower.start())).role is Role.FOLLOWER

        def decide(_: object) -> object:
            raise ZeroDivisionError("a bug")

        with monkeypatch.context() as bug:
            bug.setattr(candidacy, "decide", decide)
            zookeeper.drop_connections()  # it decides anew
            reason, why, _ = await loss_of(election, caplog)
        assert (reason, why) == (Reason.CRASHED, "it crashed: ZeroDivisionError('a bug'); please report it")
        report = election.report()
        assert (report.crashed, report.healthy) == (True, False)
        assert "ZeroDivisionError('a bug')" in str(report.problem)
        await soon(election.resign())
        await soon(follower.resign())

    async def test_refused(self, zookeeper: MemoryZooKeeper, zk: ZKClient, caplog: pytest.LogCaptureFixture) -> None:
        election = await leader(zk)
        async with ZKClient(zookeeper.hosts, auth=[("digest", "admin:secret")]) as admin:
            await admin.set_acl(str(election.status.candidate_id), ONLY_THE_ADMIN, force=True)
        reason, why, _ = await loss_of(election, caplog)
        assert reason is Reason.REFUSED
        assert why.startswith("ZooKeeper refused what it needs: ")
        with suppress(ElectionError):
            await soon(election.resign())

    async def test_cancelled(self, zk: ZKClient, caplog: pytest.LogCaptureFixture) -> None:
        election = await leader(zk)
        (task,) = [each for each in asyncio.all_tasks() if each.get_name().startswith(f"golea_async {RESOURCE}")]
        task.cancel()
        with pytest.warns(ResourceWarning, match="has not resigned"):
            reason, why, _ = await loss_of(election, caplog)
        assert (reason, why) == (Reason.CANCELLED, "the event loop ended before it had resigned")
        await soon(election.resign())


class TestReport:
    async def test_before_the_start(self, zk: ZKClient) -> None:
        report = AsyncElection(zk, RESOURCE, "a").report()
        assert (report.resource, report.name, report.role) == (RESOURCE, "a", Role.NONE)
        assert (report.is_leader, report.candidate_id, report.fencing_token) == (False, None, None)
        assert (report.role_changes, report.recent_changes, report.healthy) == (0, (), True)

    async def test_it_is_frozen(self, zk: ZKClient) -> None:
        report = AsyncElection(zk, RESOURCE, "a").report()
        with pytest.raises(dataclasses.FrozenInstanceError):
            report.role = Role.LEADER  # type: ignore[misc]
        with pytest.raises(TypeError):
            report.losses[Reason.DEPOSED] = 1  # type: ignore[index]

    async def test_of_a_leader_and_its_follower(
        self, zookeeper: MemoryZooKeeper, zk: ZKClient, other: ZKClient
    ) -> None:
        first = await leader(zk)
        second = AsyncElection(other, RESOURCE, "b")
        await soon(second.start())
        report, behind = first.report(), second.report()
        assert (report.role, report.is_leader) == (Role.LEADER, True)
        assert report.fencing_token == first.status.fencing_token
        assert 0 < report.lease_remaining <= 5 / 6 * T
        assert report.server in zookeeper.hosts.split(",")
        assert math.isclose(report.session_timeout, T)
        assert [(each.role, each.reason) for each in report.recent_changes] == [
            (Role.CANDIDATE, None),
            (Role.LEADER, None),
        ]
        assert report.since == report.recent_changes[-1].when
        assert (report.leaderships, report.losses, report.last_loss) == (1, {}, None)
        assert report.time_to_lead > 0
        assert (behind.role, behind.following, behind.lease_remaining) == (Role.FOLLOWER, report.candidate_id, 0)
        await soon(first.resign())
        await soon(second.wait_for_leadership())
        after = second.report()
        assert (after.is_leader, after.following, after.leaderships) == (True, None, 1)
        assert after.time_to_lead > 0
        await soon(second.resign())

    async def test_the_changes_of_a_long_life_take_bounded_memory(self, zk: ZKClient) -> None:
        election = AsyncElection(zk, RESOURCE, "a")
        for _ in range(5):
            await soon(election.start())
            await soon(election.resign())
        report = election.report()
        assert report.role_changes == 15
        assert len(report.recent_changes) == 10
        assert report.changes == {
            (Role.CANDIDATE, None): 5,
            (Role.LEADER, None): 5,
            (Role.NONE, Reason.RESIGNED): 5,
        }
        assert report.losses == {Reason.RESIGNED: 5}

    async def test_it_can_be_asked_for_in_another_thread(self, zk: ZKClient) -> None:
        election = await leader(zk)
        reports: list[ElectionReport] = []
        thread = threading.Thread(target=lambda: reports.append(election.report()))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert reports[0].is_leader
        await soon(election.resign())

    async def test_on_a_plain_client(self, zookeeper: MemoryZooKeeper, zk: ZKClient) -> None:
        plain = aiozk.ZKClient(zookeeper.hosts, session_timeout=10)
        await soon(plain.start())
        election = AsyncElection(plain, RESOURCE, "a")
        assert not election.report().is_leader
        await soon(election.start())
        report = election.report()
        assert (report.role, report.is_leader, report.connected) == (Role.LEADER, True, True)
        assert report.server in zookeeper.hosts.split(",")
        await soon(election.resign())
        await soon(plain.close())
        assert not election.report().connected
        assert zk.session.started, "whoever else is there goes on"

    async def test_a_connection_that_was_lost_is_counted(self, zookeeper: MemoryZooKeeper, zk: ZKClient) -> None:
        election = await leader(zk)
        zookeeper.drop_connections()
        await eventually(lambda: election.report().reconnects == 1)
        assert election.report().losses == {}
        await soon(election.resign())


class TestHealth:
    async def test_work_that_died_for_good(self, zk: ZKClient) -> None:
        election = AsyncElection(zk, RESOURCE, "a")

        async def work(_: Leadership) -> None:
            raise ValueError("no disk")

        with pytest.raises(ValueError, match="no disk"):
            await soon(election.run(work))
        report = election.report()
        assert (report.healthy, report.crashed) == (False, False)
        assert report.problem == "its work has died for good: ValueError('no disk')"
        await soon(election.start())
        assert election.report().healthy, "it stands again"
        await soon(election.resign())

    async def test_an_election_that_ended_is_no_death_of_its_work(self, zk: ZKClient, other: ZKClient) -> None:
        election, is_begun = AsyncElection(zk, RESOURCE, "a"), asyncio.Event()

        async def work(_: Leadership) -> None:
            is_begun.set()
            await asyncio.Event().wait()

        run = asyncio.create_task(election.run(work))
        await soon(is_begun.wait())
        await soon(end_election(other, RESOURCE))
        with pytest.raises(ElectionError):
            await soon(run)
        assert election.report().healthy

    async def test_first_in_line_without_a_lease(self, zookeeper: MemoryZooKeeper, zk: ZKClient) -> None:
        """Quorum writes are turned away, everything else is answered."""
        election = await leader(zk)
        token = election.report().fencing_token
        zookeeper.throttle(OpCode.CHECK, OpCode.MULTI, times=20)
        await eventually(lambda: not election.report().healthy)
        report = election.report()
        assert report.losses == {Reason.LEASE_LAPSED: 1}
        assert str(report.problem).startswith("it has been the first in line for ")
        assert report.leaderless_time < T, "of the time that goes on nothing is known yet"
        await eventually(lambda: election.report().is_leader)
        report = election.report()
        assert report.healthy
        assert report.fencing_token == token
        assert report.leaderless_time > T
        await soon(election.resign())


async def test_nothing_runs_for_a_report(zk: ZKClient) -> None:
    """Whoever never looks pays for nothing: no timer and no task is there for it, also of who looks."""
    election = await leader(zk)
    election.report()
    tasks = {task.get_name() for task in asyncio.all_tasks()}
    assert not {name for name in tasks if "report" in name}
    await soon(election.resign())
    await background_to_end()

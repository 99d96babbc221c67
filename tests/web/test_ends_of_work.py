"""What an application does when its work ends: dead work is told of, whatever it died of, and a loss is no death."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from starlette.applications import Starlette

from golea_async import AsyncElection, Leadership, LeadershipLostError, ZKClient
from golea_async.testing import MemoryZooKeeper
from golea_async.web import leading
from golea_async.web._leading import Leading
from tests.support.elections import eventually, soon

from .asking import get

RESOURCE, OTHER = "/svc/a", "/svc/b"
T = 1.2
"""Short, where the event loop is blocked for that long."""
Work = Callable[[Leadership], Awaitable[None]]
Ask = Callable[[str], Awaitable[tuple[int, Any]]]


@pytest.fixture
def zookeeper() -> Iterator[MemoryZooKeeper]:
    with MemoryZooKeeper() as one:
        yield one


def is_said(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(each.name == "golea_async.web" and text in each.getMessage() for each in caplog.records)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


@asynccontextmanager
async def by_aiohttp(*leads: Leading) -> AsyncIterator[Ask]:
    """Serve each at its number, and return how it is asked."""
    application = web.Application()
    for number, lead in enumerate(leads):
        application.cleanup_ctx.append(lead)
        application.add_routes(lead.aiohttp_routes(f"/{number}"))
    async with TestClient(TestServer(application)) as client:

        async def ask(path: str) -> tuple[int, Any]:
            async with client.get(path) as response:
                return response.status, await response.json()

        yield ask


@asynccontextmanager
async def by_asgi(*leads: Leading) -> AsyncIterator[Ask]:
    """Serve each at its number, and return how it is asked."""

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for lead in leads:
                await stack.enter_async_context(lead(application))
            yield

    application = Starlette(lifespan=lifespan)
    for number, lead in enumerate(leads):
        application.mount(f"/{number}", lead.asgi())

    async def ask(path: str) -> tuple[int, Any]:
        answer = await get(application, path)
        return answer.status, answer.json

    async with application.router.lifespan_context(application):
        yield ask


SERVED = pytest.mark.parametrize("serve", [by_aiohttp, by_asgi], ids=lambda serve: serve.__name__)


async def wait(_: Leadership) -> None:
    await asyncio.Event().wait()


async def await_a_cancelled_task(_: Leadership) -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def raise_a_cancellation(_: Leadership) -> None:
    raise asyncio.CancelledError("its own")


async def raise_a_group(leadership: Leadership) -> None:
    async with asyncio.TaskGroup():
        raise ZeroDivisionError(f"the work is wrong, {leadership.remaining:.1f} s")


class Odd(BaseException):
    """No Exception."""


async def raise_what_is_no_exception(_: Leadership) -> None:
    raise Odd


DEATHS: list[Work] = [await_a_cancelled_task, raise_a_cancellation, raise_a_group, raise_what_is_no_exception]


class TestDeadWork:
    @SERVED
    @pytest.mark.parametrize("work", DEATHS, ids=lambda work: work.__name__)
    async def test_is_told_of_and_the_process_stands_no_more(
        self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture, serve: Any, work: Work
    ) -> None:
        lead = leading(zookeeper.hosts, RESOURCE, work)
        async with serve(lead) as ask:
            await eventually(lambda: is_said(caplog, "the work in /svc/a has died ("))
            async with ZKClient(zookeeper.hosts) as zk, AsyncElection(zk, RESOURCE) as other:
                await soon(other.wait_for_leadership())
            assert (await ask("/0/leader"))[0] == 503
            assert (await ask("/0/healthz"))[0] == 200, "a restart would not make the work right"
            report = (await ask("/0/election"))[1]["report"]
            assert not report["healthy"]
            assert report["problem"].startswith("its work has died for good: ")
            assert report["role"] == "none"
        (error,) = errors(caplog)
        assert error.endswith("this process has resigned and stands no more; others may lead")

    @SERVED
    @pytest.mark.parametrize("work", DEATHS, ids=lambda work: work.__name__)
    async def test_leaves_another_election_of_the_application_alone(
        self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture, serve: Any, work: Work
    ) -> None:
        dies, lives = leading(zookeeper.hosts, RESOURCE, work), leading(zookeeper.hosts, OTHER, wait)
        async with serve(dies, lives) as ask:
            await eventually(lambda: is_said(caplog, "the work in /svc/a has died ("))
            await eventually(lambda: lives.current_leadership is not None)
            assert (await ask("/0/leader"))[0] == 503
            status, answer = await ask("/1/leader")
            assert (status, answer["is_leader"]) == (200, True)
            assert (await ask("/1/election"))[1]["report"]["healthy"]
        assert len(errors(caplog)) == 1
        assert [path for path in zookeeper.znodes() if "/le_" in path] == []


class TestNoDeath:
    @SERVED
    async def test_is_the_end_of_the_application(
        self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture, serve: Any
    ) -> None:
        lead = leading(zookeeper.hosts, RESOURCE, wait)
        async with serve(lead):
            await eventually(lambda: lead.current_leadership is not None)
        assert [each for each in caplog.records if each.name == "golea_async.web"] == []
        assert (report := lead.report()) is not None
        assert report.healthy

    async def test_is_the_end_of_the_application_before_work_that_is_slow_to_stop(
        self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is cancelled a second time when the time to resign is over."""

        async def work(leadership: Leadership) -> None:
            try:
                await wait(leadership)
            finally:
                await wait(leadership)

        lead = leading(zookeeper.hosts, RESOURCE, work, grace=2)
        async with lead(None):
            await eventually(lambda: lead.current_leadership is not None)
        assert errors(caplog) == []

    @pytest.mark.parametrize("looks_when", ["first", "when cancelled"])
    async def test_is_a_loss_that_a_task_group_has_noticed(
        self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture, looks_when: str
    ) -> None:
        tries: list[Leadership] = []

        async def block() -> None:
            time.sleep(T)  # noqa: ASYNC251

        async def look(leadership: Leadership) -> None:
            blocking = asyncio.create_task(block())
            try:
                await (blocking if looks_when == "first" else asyncio.Event().wait())
            finally:
                leadership.check()

        async def work(leadership: Leadership) -> None:
            tries.append(leadership)
            async with asyncio.TaskGroup() as group:
                if len(tries) == 1:
                    group.create_task(look(leadership))
                await asyncio.Event().wait()

        lead = leading(zookeeper.hosts, RESOURCE, work, session_timeout=T)
        async with lead(None):
            await eventually(lambda: len(tries) == 2)
            assert (report := lead.report()) is not None
            assert "died" not in (report.problem or "")
        assert errors(caplog) == []


async def test_a_loss_beside_another_error_is_a_death(
    zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(leadership: Leadership) -> None:
        try:
            await wait(leadership)
        finally:
            raise ExceptionGroup("the work", [LeadershipLostError("as it noticed"), KeyError("a fault")])

    lead = leading(zookeeper.hosts, RESOURCE, work)
    async with lead(None):
        await eventually(lambda: lead.current_leadership is not None)
        (session,) = zookeeper.sessions()
        zookeeper.expire_session(session.session_id)
        await eventually(lambda: is_said(caplog, "the work in /svc/a has died (ExceptionGroup("))


async def test_the_task_that_stands_is_cancelled_by_a_stranger(
    zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    """Also by the work: the process does not cease to stand without a word."""

    async def work(leadership: Leadership) -> None:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await wait(leadership)

    lead = leading(zookeeper.hosts, RESOURCE, work)
    async with lead(None):
        await eventually(lambda: is_said(caplog, "was cancelled while it stood in /svc/a: this process stands no more"))

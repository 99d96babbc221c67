"""What is answered to whom: the probes, the report, and the page, whose names are data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from starlette.applications import Starlette

from golea_async import AsyncElection, Leadership, ZKClient, create_election
from golea_async._protocol import candidacy
from golea_async.testing import MemoryZooKeeper
from golea_async.web import _candidates, aiohttp_routes, asgi, leading
from golea_async.web._page import _ago
from tests.support.elections import eventually, soon

from .asking import Got, get

RESOURCE = "/svc/a"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"
RIGHT_TO_LEFT = "\u202etxt.exe\u2066 שלום"


@pytest.fixture
def zookeeper() -> Iterator[MemoryZooKeeper]:
    with MemoryZooKeeper() as one:
        yield one


@pytest.fixture
async def zk(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(zookeeper.hosts, auth=[("digest", "alice:s3cret-word")]) as client:
        await create_election(client, RESOURCE)
        yield client


class TestProbes:
    async def test_of_a_leader_and_a_follower(self, zk: ZKClient) -> None:
        async with AsyncElection(zk, RESOURCE, "first") as first, AsyncElection(zk, RESOURCE, "second") as second:
            leads, follows = asgi(zk, first), asgi(zk, second)
            answer = await get(leads, "/leader")
            assert (answer.status, answer.json["leader"]) == (200, "first")
            assert answer.json["fencing_token"] == first.status.fencing_token
            answer = await get(follows, "/leader")
            assert (answer.status, answer.json["leader"], answer.json["is_leader"]) == (503, "first", False)
            for application in (leads, follows):
                for path in ("/healthz", "/readyz", "/election", "/", ""):
                    assert (await get(application, path)).status == 200

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
    async def test_methods_of_load_balancers(self, zk: ZKClient, method: str) -> None:
        async with AsyncElection(zk, RESOURCE, "first") as election:
            answer = await get(asgi(zk, election), "/leader", method=method)
            assert answer.status == 200
            assert (answer.text == "") == (method == "HEAD")
        assert (await get(asgi(zk, election), "/leader", method=method)).status == 503

    async def test_other_methods_and_paths(self, zk: ZKClient) -> None:
        application = asgi(zk, AsyncElection(zk, RESOURCE, "first"))
        assert (await get(application, "/leader", method="POST")).status == 405
        for path in ("/leaders", "/leader/x", "/../leader", "//leader"):
            assert (await get(application, path)).status == 404

    async def test_mounted(self, zk: ZKClient) -> None:
        application = Starlette()
        application.mount("/ops/election", asgi(zk, AsyncElection(zk, RESOURCE, "first")))
        assert (await get(application, "/ops/election/healthz")).json == {"healthy": True}
        assert (await get(application, "/ops/election/")).headers["content-type"] == "text/html; charset=utf-8"

    async def test_served_by_itself(self, zk: ZKClient) -> None:
        """With nothing around that it is mounted in, a server tells it of its start and end."""
        application = asgi(zk, AsyncElection(zk, RESOURCE, "first"))
        told = iter(["lifespan.startup", "lifespan.shutdown"])
        said: list[str] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": next(told)}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.append(message["type"])

        await soon(application({"type": "lifespan"}, receive, send))
        assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        await soon(application({"type": "websocket", "path": "/leader"}, receive, send))
        assert said[2:] == ["websocket.close"]

    async def test_zookeeper_does_not_answer_in_time(
        self, zookeeper: MemoryZooKeeper, zk: ZKClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A load balancer has its answer, without the leader's name."""
        monkeypatch.setattr(_candidates, "PATIENCE", 0.01)
        with zookeeper.delay(0.2):
            async with AsyncElection(zk, RESOURCE, "first"), AsyncElection(zk, RESOURCE, "second") as second:
                answer = await get(asgi(zk, second), "/leader")
        assert (answer.status, answer.json["leader"]) == (503, None)

    async def test_in_an_outage(self, zookeeper: MemoryZooKeeper, zk: ZKClient) -> None:
        """It is answered at once, without a word of ZooKeeper's."""
        async with AsyncElection(zk, RESOURCE, "first") as election:
            application = asgi(zk, election)
            with zookeeper.outage():
                await eventually(lambda: not election.report().connected)
                assert (await get(application, "/healthz")).status == (await get(application, "/readyz")).status == 200
                report = await get(application, "/election")
                assert (report.status, report.json["candidates"]) == (200, None)
                assert "who leads is not known from here" in (await get(application, "/")).text

    async def test_many_probes_are_one_question(self, zookeeper: MemoryZooKeeper, zk: ZKClient) -> None:
        """Also when the first of those who ask gives up."""
        async with AsyncElection(zk, RESOURCE, "first"), AsyncElection(zk, RESOURCE, "second") as second:
            application = asgi(zk, second)
            with zookeeper.delay(0.1):
                probes = [asyncio.create_task(get(application, "/leader")) for _ in range(50)]
                before = zk.session.xid
                await asyncio.sleep(0)
                probes[0].cancel()
                answers = await asyncio.gather(*probes, return_exceptions=True)
            assert isinstance(answers[0], asyncio.CancelledError)
            assert {each.json["leader"] for each in answers if isinstance(each, Got)} == {"first"}
            assert len([each for each in answers if isinstance(each, Got)]) == 49
            assert zk.session.xid - before < 10, "one list, and the names on it"

    async def test_aiohttp(self, zk: ZKClient) -> None:
        async with AsyncElection(zk, RESOURCE, "first") as election:
            application = web.Application()
            application.add_routes(aiohttp_routes(zk, election, "/ops/"))
            async with TestClient(TestServer(application)) as client:
                for method in ("GET", "HEAD", "OPTIONS"):
                    assert (await client.request(method, "/ops/leader")).status == 200
                assert (await client.post("/ops/leader")).status == 405
                page = await client.get("/ops/")
                assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
                assert "Election /svc/a" in await page.text()


class Reader(HTMLParser):
    """Reads a page as a browser does."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.names: list[str] = []
        self._in_name = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "bdi":
            self.names.append("")
        self._in_name = tag == "bdi"

    def handle_endtag(self, tag: str) -> None:
        self._in_name = self._in_name and tag != "bdi"

    def handle_data(self, data: str) -> None:
        if self._in_name:
            self.names[-1] += data


class TestPage:
    async def page_of(self, zk: ZKClient, name: str) -> Got:
        async with AsyncElection(zk, RESOURCE, name) as election:
            return await get(asgi(zk, election), "/")

    async def test_a_script_is_a_name(self, zk: ZKClient) -> None:
        reader = Reader((await self.page_of(zk, SCRIPT)).text)
        assert reader.names == [SCRIPT] * 3, "the leader, this candidate, the first in line"
        assert not {"script", "img", "link", "iframe", "form", "object"}.intersection(reader.tags)
        assert not [name for name, _ in reader.attributes if name.startswith("on") or name in ("src", "href", "style")]

    async def test_the_direction_of_a_name_ends_with_it(self, zk: ZKClient) -> None:
        """What turns the direction of text cannot be seen, so it is spelt out; letters are as they are."""
        page = await self.page_of(zk, RIGHT_TO_LEFT)
        assert not set(page.text).intersection("\u202e\u2066")
        assert Reader(page.text).names[0] == "\\u202etxt.exe\\u2066 שלום"

    async def test_a_name_of_a_megabyte(self, zk: ZKClient) -> None:
        async with AsyncElection(zk, RESOURCE, "x" * 1_000_000) as election:
            for path in ("/", "/election", "/leader"):
                answer = await get(asgi(zk, election), path)
                assert answer.status == 200
                assert len(answer.text) < 10_000

    async def test_names_that_are_no_text(self, zk: ZKClient) -> None:
        """A Go process, or somebody with a shell, writes any bytes."""
        await zk.create(f"{RESOURCE}/le_", b"\xff\x00\n<b>", ephemeral=True, sequential=True)
        async with AsyncElection(zk, RESOURCE, "second") as election:
            page = Reader((await get(asgi(zk, election), "/")).text)
            assert page.names[0] == "\ufffd\\u0000\\u000a<b>"
            assert "b" not in page.tags

    async def test_a_candidate_without_a_name_is_called_by_its_znode(self, zk: ZKClient) -> None:
        await zk.create(f"{RESOURCE}/le_", b"", ephemeral=True, sequential=True)
        async with AsyncElection(zk, RESOURCE, "second") as election:
            page = (await get(asgi(zk, election), "/")).text
        assert "Led by <bdi>le_0000000000</bdi>." in page

    async def test_it_shows_no_secret(self, zk: ZKClient) -> None:
        async with AsyncElection(zk, RESOURCE, "first") as election:
            for path in ("/", "/election", "/leader", "/healthz", "/readyz"):
                text = (await get(asgi(zk, election), path)).text
                assert "s3cret" not in text
                assert "alice" not in text
                assert f"{zk.session.session_id:x}" not in text

    async def test_it_loads_itself_again_and_nothing_else(self, zk: ZKClient) -> None:
        page = await self.page_of(zk, "first")
        reader = Reader(page.text)
        assert ("http-equiv", "refresh") in reader.attributes
        assert "://" not in page.text
        assert page.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        ("seconds", "text"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3660, "1 h 1 min")]
    )
    def test_how_long_ago(self, seconds: float, text: str) -> None:
        now = datetime.now(UTC)
        assert _ago(now, now - timedelta(seconds=seconds)) == text

    async def test_what_happened_last(self, zookeeper: MemoryZooKeeper, zk: ZKClient) -> None:
        async with AsyncElection(zk, RESOURCE, "first") as election:
            zookeeper.expire_session(zk.session.session_id)
            await eventually(lambda: election.report().leaderships == 2)
            page = (await get(asgi(zk, election), "/")).text
            assert "the ZooKeeper session is lost, and the znode with it" in page
            loss = (await get(asgi(zk, election), "/election")).json["report"]["last_loss"]
            assert loss["reason"] == "session_lost"


class TestLeading:
    async def test_before_the_start_and_after_the_end(self, zookeeper: MemoryZooKeeper) -> None:
        async def work(_: Leadership) -> None:
            await asyncio.Event().wait()

        lead = leading(zookeeper.hosts, RESOURCE, work, name="first")
        statuses = {"/leader": 503, "/healthz": 200, "/readyz": 503, "/election": 503, "/": 200}
        application = lead.asgi()
        assert {path: (await get(application, path)).status for path in statuses} == statuses
        assert lead.current_leadership is None
        assert lead.report() is None
        with pytest.raises(RuntimeError, match="has not started"):
            _ = lead.election
        for _ in range(2):  # a test client starts an application again and again
            async with lead(None):
                await eventually(lambda: lead.current_leadership is not None)
                assert (await get(application, "/readyz")).status == 200
                with pytest.raises(RuntimeError, match="was started already"):
                    await lead.begin()
            assert (await get(application, "/readyz")).status == (await get(application, "/leader")).status == 503
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("golea")]

    async def test_it_stands_again_when_it_was_deposed(
        self, zookeeper: MemoryZooKeeper, zk: ZKClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        tokens: asyncio.Queue[int] = asyncio.Queue()

        async def work(leadership: Leadership) -> None:
            tokens.put_nowait(leadership.fencing_token)
            await asyncio.Event().wait()

        lead = leading(zookeeper.hosts, RESOURCE, work, name="first")
        async with lead(None):
            first = await soon(tokens.get())
            await zk.delete(str(lead.election.status.candidate_id), force=True)
            assert await soon(tokens.get()) > first
        (line,) = [each for each in caplog.records if each.name == "golea_async.web"]
        assert line.message.startswith("stands in /svc/a again in 1 s: ")

    async def test_it_stands_again_when_its_session_is_lost(self, zookeeper: MemoryZooKeeper) -> None:
        tokens: asyncio.Queue[int] = asyncio.Queue()

        async def work(leadership: Leadership) -> None:
            tokens.put_nowait(leadership.fencing_token)
            await asyncio.Event().wait()

        lead = leading(zookeeper.hosts, RESOURCE, work, name="first")
        async with lead(None):
            first = await soon(tokens.get())
            (session,) = zookeeper.sessions()
            zookeeper.expire_session(session.session_id)
            assert await soon(tokens.get()) > first

    async def test_work_that_dies_lets_others_lead(
        self, zookeeper: MemoryZooKeeper, zk: ZKClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(_: Leadership) -> None:
            raise ZeroDivisionError("the work is wrong")

        lead = leading(zookeeper.hosts, RESOURCE, work, name="first")
        async with lead(None):
            await eventually(lambda: "golea_async.web" in {each.name for each in caplog.records})
            async with AsyncElection(zk, RESOURCE, "second") as second:
                await soon(second.wait_for_leadership())
            assert lead.current_leadership is None
            answer = await get(lead.asgi(), "/")
            assert "Its work has died for good: ZeroDivisionError" in answer.text
        (line,) = [each for each in caplog.records if each.name == "golea_async.web"]
        assert (line.levelname, line.exc_info is None) == ("ERROR", False)
        assert "the work in /svc/a has died (ZeroDivisionError('the work is wrong'))" in line.message

    async def test_a_bug_of_ours_asks_for_a_restart(
        self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def work(_: Leadership) -> None:
            await asyncio.Event().wait()

        def decide(_: object) -> object:
            raise ZeroDivisionError("a bug")

        lead = leading(zookeeper.hosts, RESOURCE, work, name="first")
        async with lead(None):
            await eventually(lambda: lead.current_leadership is not None)
            with monkeypatch.context() as bug:
                bug.setattr(candidacy, "decide", decide)
                zookeeper.drop_connections()  # it decides anew
                await eventually(lambda: "golea_async.web" in {each.name for each in caplog.records})
            answer = await get(lead.asgi(), "/healthz")
            assert (answer.status, answer.json["healthy"]) == (503, False)
            assert "ZeroDivisionError('a bug')" in answer.json["problem"]
        (line,) = [each for each in caplog.records if each.name == "golea_async.web"]
        assert line.message.endswith("this process stands no more, and needs a restart")

    async def test_what_no_other_try_would_mend(
        self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def start(_: ZKClient) -> None:
            raise ValueError("a wrong setting")

        async def work(_: Leadership) -> None:
            raise AssertionError("it does not stand")

        lead = leading(zookeeper.hosts, RESOURCE, work, name="first")
        with pytest.MonkeyPatch.context() as wrong:
            wrong.setattr(ZKClient, "start", start)
            async with lead(None):
                await eventually(lambda: bool(caplog.records))
        (line,) = [each for each in caplog.records if each.name == "golea_async.web"]
        assert (line.levelname, line.message) == ("ERROR", "cannot stand in /svc/a, now or later")

    async def test_work_that_does_not_stop_holds_up_no_end(
        self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture
    ) -> None:
        leads, may_stop = asyncio.Event(), asyncio.Event()

        async def work(_: Leadership) -> None:
            leads.set()
            while not may_stop.is_set():
                with suppress(asyncio.CancelledError):
                    await may_stop.wait()

        lead = leading(zookeeper.hosts, RESOURCE, work, name="first", grace=0.1)
        async with lead(None):
            await soon(leads.wait())
        assert "the work in /svc/a has not stopped within 0.1 s: its znode goes with its session" in caplog.messages
        assert [path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/le_")]
        may_stop.set()
        await eventually(lambda: not [path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/le_")])
        await lead.election._zk.close()  # else the process would do it at its end

    async def test_work_that_is_done(self, zookeeper: MemoryZooKeeper, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "golea_async.web")
        is_done = asyncio.Event()

        async def work(_: Leadership) -> None:
            is_done.set()

        lead = leading(zookeeper.hosts, RESOURCE, work)
        async with lead(None):
            await soon(is_done.wait())
            await eventually(lambda: "golea_async.web" in {each.name for each in caplog.records})
            assert lead.election.report().resignations == 1
        assert [each.message for each in caplog.records if each.name == "golea_async.web"] == [
            "the work in /svc/a is done; this process does not stand any more"
        ]

    @pytest.mark.parametrize(("arguments", "error"), [({"work": None}, TypeError), ({"grace": 0}, ValueError)])
    def test_wrong_arguments(self, arguments: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            leading("zk:2181", RESOURCE, **{"work": print} | arguments)

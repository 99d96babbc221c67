"""Web applications that lead, each as the processes that an operator would start, on a real ensemble."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from golea_async import AsyncElection, ZKClient, transfer_leadership
from tests.support.ensemble import SharedEnsemble
from tests.support.ports import choose_free_ports
from tests.support.programs import PATIENCE, Program
from tests.support.proxy import Proxy
from tests.support.wire import WireClient

from .conftest import Line, Run, Site

Sites = Callable[[int], Site]
MODULE = "tests.web.applications"
both = pytest.mark.parametrize("kind", ["fastapi", "aiohttp"])


def serve(kind: str, port: int) -> tuple[str, ...]:
    return ("-m", MODULE, kind, str(port))


def uvicorn(port: int, *more: str) -> tuple[str, ...]:
    return ("-m", "uvicorn", f"{MODULE}:app", f"--port={port}", "--log-level=warning", *more)


async def ends(program: Program, within: float) -> int:
    """Wait for the end of a program that was told to end; return its exit code."""
    begun = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        code = await program.rest()
    assert time.monotonic() - begun < within
    return code


def token_in(line: str) -> int:
    return int(line.rpartition(" ")[2])


@both
async def test_a_rolling_update_by_sigterm(run: Run, site: Sites, line: Line, kind: str, tmp_path: Path) -> None:
    """A follower is stopped, then the leader: both exit with 0, and nothing has to expire.

    The next one leads at once, while the leader before it still answers a request.
    """
    ports = choose_free_ports(3)
    async with run(*serve(kind, ports[0])) as first:
        token = token_in(await first.line("^leads"))
        async with run(*serve(kind, ports[1])) as second, run(*serve(kind, ports[2])) as third:
            await line.until(3)
            for port, status in zip(ports, (200, 503, 503), strict=True):
                await site(port).until("/election/leader", status)
                assert await site(port).status("/election/readyz") == 200
                assert await site(port).status("/election/healthz") == 200
                assert await site(port).status("/election/") == 200
            told = await site(ports[2]).json("/election/leader")
            assert told == {"is_leader": False, "leader": f"{os.uname().nodename}:{first.process.pid}"} | {
                "fencing_token": None
            }
            state = await site(ports[0]).json("/election/election")
            assert (state["report"]["is_leader"], state["number_of_candidates"]) == (True, 3)
            assert state["report"]["fencing_token"] == state["candidates"][0]["fencing_token"] == token

            third.process.terminate()
            assert await ends(third, within=10) == 0
            assert len(await line.names()) == 2
            next_leads = tmp_path / "next_leads"
            slow = asyncio.create_task(site(ports[0]).text("/slow", until=str(next_leads)))
            await first.line("^a request waits")
            first.process.terminate()
            assert token_in(await second.line("^leads")) > token
            assert (slow.done(), first.process.returncode) == (False, None)
            next_leads.touch()
            assert await slow == "answered"
            assert await ends(first, within=10) == 0
            assert len(await line.names()) == 1
            await site(ports[1]).until("/election/leader", 200)


@both
async def test_zookeeper_is_away_at_the_start_and_at_the_end(
    run: Run, ensemble: SharedEnsemble, site: Sites, line: Line, kind: str
) -> None:
    async with Proxy(ensemble.servers[0].port) as proxy:
        proxy.cut()
        (port,) = choose_free_ports(1)
        async with run(*serve(kind, port), ZOOKEEPER=proxy.address, GRACE="3") as application:
            here = site(port)
            await here.until("/election/healthz", 200)
            statuses = [await here.status(f"/election/{path}") for path in ("readyz", "leader", "election", "")]
            assert statuses == [200, 503, 200, 200]
            assert await here.status("/deed", "POST") == 503
            assert await line.names() == []

            proxy.heal()
            await application.line("^leads")
            assert await here.status("/deed", "POST") == 200

            proxy.cut()
            assert [await here.status(f"/election/{path}") for path in ("readyz", "healthz")] == [200, 200]
            application.process.terminate()
            assert await ends(application, within=5) == 0


async def test_a_killed_leader_is_followed_by_another(run: Run, site: Sites) -> None:
    ports = choose_free_ports(2)
    settings = {"SESSION_TIMEOUT": "2"}
    async with run(*serve("fastapi", ports[0]), **settings) as first:
        await first.line("^leads")
        async with run(*serve("fastapi", ports[1]), **settings) as second:
            await site(ports[1]).until("/election/leader", 503)
            first.process.kill()
            await second.line("^leads")
            assert await site(ports[1]).status("/election/leader") == 200


@both
async def test_work_that_dies_is_told_of_loudly_and_the_application_goes_on(
    run: Run, site: Sites, line: Line, kind: str
) -> None:
    (port,) = choose_free_ports(1)
    async with run(*serve(kind, port), WORK="die") as application:
        await application.line("^ERROR golea_async.web the work in .* has died .*ZeroDivisionError.*has resigned")
        await application.line("^ZeroDivisionError: the work is wrong")
        assert await line.names() == []
        here = site(port)
        assert await here.status("/election/leader") == 503
        assert await here.status("/election/healthz") == 200, "a restart would not make the work right"
        report = (await here.json("/election/election"))["report"]
        assert (report["healthy"], report["problem"]) == (
            False,
            "its work has died for good: ZeroDivisionError('the work is wrong')",
        )


async def test_work_that_does_not_stop_is_given_up_in_time(run: Run, line: Line) -> None:
    """The event loop cancels it once more at its end; then it has stopped, and its znode goes."""
    (port,) = choose_free_ports(1)
    async with run(*serve("fastapi", port), WORK="linger", GRACE="1") as application:
        await application.line("^leads")
        application.process.terminate()
        assert await ends(application, within=5) == 0
        assert [each for each in application.lines if "has not stopped in time" in each]
        assert await line.names() == []


async def test_two_elections_in_one_application(run: Run, site: Sites, wire: WireClient, resource: str) -> None:
    (port,) = choose_free_ports(1)
    async with run(*serve("two", port)) as application:
        for each in ("first", "second"):
            await site(port).until(f"/{each}/leader", 200)
        application.process.terminate()
        assert await ends(application, within=10) == 0
        await wire.sync()
        assert [await wire.get_children(f"{resource}/{each}") for each in ("first", "second")] == [[], []]


async def test_a_scheduler_runs_while_this_process_leads(
    run: Run, ensemble: SharedEnsemble, line: Line, resource: str
) -> None:
    (port,) = choose_free_ports(1)
    async with (
        run(*serve("fastapi", port), WORK="schedule") as application,
        ZKClient(ensemble.hosts) as zk,
    ):
        before = token_in(await application.line("^tick"))
        async with AsyncElection(zk, resource) as other:
            await transfer_leadership(zk, resource)
            await application.line("^the scheduler is stopped")
            assert other.is_leader
            await line.until(2)
        assert token_in(await application.line("^tick")) > before
        application.process.terminate()
        assert await ends(application, within=10) == 0
        last_tick = max(place for place, text in enumerate(application.lines) if text.startswith("tick"))
        assert application.lines.index("the scheduler is stopped", last_tick) > last_tick
        assert await line.names() == []


async def test_each_of_four_workers_stands(run: Run, site: Sites, line: Line) -> None:
    (port,) = choose_free_ports(1)
    async with run(*uvicorn(port, "--workers=4")) as application:
        await application.line("^leads")
        await line.until(4)
        assert await site(port).status("/election/healthz") == 200
        application.process.terminate()
        assert await ends(application, within=10) == 0
        assert await line.names() == []


async def test_a_reloaded_application_stands_anew(run: Run, line: Line, tmp_path: Path) -> None:
    (port,) = choose_free_ports(1)
    watched = tmp_path / "watched.py"
    watched.touch()
    async with run(*uvicorn(port, "--reload", f"--reload-dir={tmp_path}")) as application:
        before = token_in(await application.line("^leads"))
        (former,) = await line.names()
        watched.write_text("changed = True\n")
        assert token_in(await application.line("^leads")) > before
        (present,) = await line.names()
        assert present > former
        application.process.send_signal(signal.SIGTERM)
        assert await ends(application, within=10) == 0
        assert await line.names() == []


async def test_gunicorn_loads_the_application_before_it_forks(run: Run, site: Sites, line: Line) -> None:
    """A worker that leads and is killed is followed by the other one, and replaced by gunicorn."""
    (port,) = choose_free_ports(1)
    worker = "uvicorn_worker.UvicornWorker"
    gunicorn = ("-m", "gunicorn", "--preload", "--workers=2", f"--worker-class={worker}", f"--bind=127.0.0.1:{port}")
    arguments = (*gunicorn, f"{MODULE}:app", "--log-level=critical", "--no-control-socket")
    async with run(*arguments, SESSION_TIMEOUT="2") as application:
        before = token_in(await application.line("^leads"))
        await line.until(2)
        state = await site(port).json("/election/election")
        leader, follower = (each["name"] for each in state["candidates"])
        assert leader != follower, "each stands under its own process id"
        os.kill(int(leader.rpartition(":")[2]), signal.SIGKILL)
        assert token_in(await application.line("^leads")) > before
        await line.until(2)
        application.process.terminate()
        assert await ends(application, within=10) == 0
        assert await line.names() == []
        assert not [each for each in application.lines if re.search("Traceback|ERROR", each)]

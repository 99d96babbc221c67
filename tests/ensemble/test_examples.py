"""The examples, each as the real processes that a reader would start, on a real ensemble, and the first program."""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from golea_async.cli.demo_terms import ALL_IS_WELL, Term, overlaps, table, token_drops, verdict
from tests.docs.pages import blocks, is_program
from tests.support.ensemble import Ensemble
from tests.support.ports import LOOPBACK, choose_free_ports
from tests.support.programs import ROOT, Program, eventually, program
from tests.support.wire import WireClient

SESSION_TIMEOUT = 2.0


def example(name: str, ensemble: Ensemble, resource: str, *more: str) -> tuple[str, ...]:
    common = ("--zookeeper", ensemble.hosts, "--election", resource, "--session-timeout", str(SESSION_TIMEOUT))
    return (str(ROOT / "examples" / name), *common, *more)


# ---------------------------------------------------------------------- the web applications


class Page:
    """What one copy of an application says of its election."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://{LOOPBACK}:{port}"

    async def get(self) -> dict[str, Any] | None:
        """Its report, with the candidates; None while it does not serve."""
        try:
            async with self._session.get(f"{self._url}/election/election") as response:
                assert response.status == 200, await response.text()
                answer: dict[str, Any] = await response.json()
                return answer
        except aiohttp.ClientConnectionError:
            return None

    async def get_once(self, role: str) -> dict[str, Any] | None:
        """The same once it has this role, and is among the candidates, which are asked for once a second."""
        answer = await self.get()
        if answer is None or answer["report"]["role"] != role:
            return None
        ids = [each["id"] for each in answer["candidates"] or ()]
        return answer if answer["report"]["candidate_id"] in ids else None

    async def job(self) -> int:
        async with self._session.post(f"{self._url}/job") as response:
            return response.status


@pytest.mark.parametrize("application", ["aiohttp", "fastapi"])
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
async def test_the_second_copy_of_an_application_takes_over(
    ensemble: Ensemble, resource: str, application: str, ending: signal.Signals
) -> None:
    first_port, second_port = choose_free_ports(2)
    arguments = example(f"{application}_app.py", ensemble, resource)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        first_page, second_page = Page(session, first_port), Page(session, second_port)
        first = await stack.enter_async_context(program(*arguments, "--port", str(first_port)))
        before = await eventually(lambda: first_page.get_once("leader"))
        await stack.enter_async_context(program(*arguments, "--port", str(second_port)))
        behind = await eventually(lambda: second_page.get_once("follower"))

        assert [each["name"] for each in behind["candidates"]] == [
            f"{application}:{first_port}",
            f"{application}:{second_port}",
        ]
        assert (await first_page.job(), await second_page.job()) == (200, 503)

        first.process.send_signal(ending)
        after = await eventually(lambda: second_page.get_once("leader"))
        assert after["report"]["fencing_token"] > before["report"]["fencing_token"]
        assert await second_page.job() == 200
        assert await first.rest() == (0 if ending == signal.SIGTERM else -ending)


@pytest.mark.parametrize("application", ["aiohttp", "fastapi"])
async def test_an_application_serves_and_ends_while_zookeeper_is_away(application: str) -> None:
    nowhere, port = choose_free_ports(2)
    file = str(ROOT / "examples" / f"{application}_app.py")
    async with (
        aiohttp.ClientSession() as session,
        program(file, "--port", str(port), "--zookeeper", f"{LOOPBACK}:{nowhere}") as alone,
    ):
        page = Page(session, port)
        seen = await eventually(page.get)
        assert (seen["report"]["connected"], seen["candidates"], await page.job()) == (False, None, 503)
        alone.process.terminate()
        assert await alone.rest() == 0


# ---------------------------------------------------------------------- the worker


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_resigns_when_it_is_told_to_stop(
    ensemble: Ensemble, resource: str, wire: WireClient, ending: signal.Signals
) -> None:
    async with AsyncExitStack() as stack:

        async def start(name: str) -> Program:
            # The ensemble's longest session: what is gone when the process has ended did not expire.
            arguments = (*example("worker.py", ensemble, resource, "--name", name), "--session-timeout", "10")
            return await stack.enter_async_context(program(*arguments))

        first = await start("first")
        await first.line("first works with fencing token")
        second = await start("second")
        await second.line("second is follower")

        first.process.send_signal(ending)
        assert await first.rest() == 0
        assert first.lines[-1] == "first has resigned"
        await wire.sync()
        assert len(await wire.get_children(resource)) == 1
        await second.line("second works with fencing token")
        assert not [line for line in second.lines if "error" in line.lower()]


# ---------------------------------------------------------------------- the rolling update


async def test_a_rolling_update_moves_leadership_once(ensemble: Ensemble) -> None:
    arguments = (str(ROOT / "examples" / "rolling_update.py"), "--zookeeper", ensemble.hosts)
    async with program(*arguments, "--election", "/rolling-update") as update:
        code = await update.rest()
    assert code == 0, update.lines
    stopped = update.lines.index("old-1 has stopped")
    assert update.lines[stopped + 1].startswith("new-3 begins to work")
    assert update.lines[-2] == "leadership moved 1 time(s): old-1 -> new-3"
    assert re.fullmatch(r"nobody led, as seen over HTTP, for \d+ ms", update.lines[-1])


# ---------------------------------------------------------------------- the demo


SHORT_DEMO = ("-m", "golea_async", "demo", "--candidates", "3", "--rounds", "2")


async def test_a_short_demo_runs_on_a_machine_without_java(tmp_path: Path) -> None:
    nothing = str(tmp_path)
    async with program(*SHORT_DEMO, PATH=nothing, JAVA_HOME=nothing, ZOOKEEPER_HOME=nothing) as demo:
        code = await demo.rest()
    check_short_demo(demo, code, "--- stop of ZooKeeper server")


async def test_a_short_demo_runs_on_a_real_ensemble() -> None:
    async with program(*SHORT_DEMO, "--ensemble") as demo:
        code = await demo.rest()
    check_short_demo(demo, code, "--- kill -9 of ZooKeeper server")


def check_short_demo(demo: Program, code: int, loss_of_server: str) -> None:
    """It succeeded, and its table tells of every leader."""
    output = "\n".join(demo.lines)
    assert code == 0, output
    assert demo.lines[-1] == ALL_IS_WELL
    header = next(index for index, line in enumerate(demo.lines) if line.startswith("term  leader"))
    rows = [line.split() for line in demo.lines[header + 1 : -2]]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    tokens = [int(row[2]) for row in rows]
    assert tokens == sorted(tokens)
    assert len({row[1] for row in rows}) >= 3, output
    assert rows[0][-2:] == ["kill", "-9"], output
    assert rows[-1][-1] == "resigned", output
    assert loss_of_server in output


def test_an_overlap_of_two_terms_is_found() -> None:
    first, second = Term("a", 5, 0.0, 2.0, "kill -9"), Term("b", 6, 1.9, 3.0, "resigned")
    assert overlaps([second, first]) == [(first, second)]
    assert verdict([second, first]) == ["TWO LED AT ONCE: a (token 5) and b (token 6) for 0.100 s"]


def test_an_overlap_with_a_term_that_is_not_the_one_before_is_found() -> None:
    long, short, late = Term("a", 5, 0.0, 9.0), Term("b", 6, 1.0, 2.0), Term("c", 7, 8.0, 10.0)
    assert overlaps([long, short, late]) == [(long, short), (long, late)]


def test_terms_one_after_the_other_are_no_overlap() -> None:
    terms = [Term("a", 5, 0.0, 1.0, "resigned"), Term("b", 6, 1.001, 2.0, "kill -9"), Term("b", 6, 2.1, 3.0)]
    assert overlaps(terms) == []
    assert verdict(terms) == []
    assert [line.split()[:3] for line in table(terms)[1:]] == [["1", "a", "5"], ["2", "b", "6"], ["3", "b", "6"]]


def test_a_fencing_token_that_goes_down_is_found() -> None:
    first, second = Term("a", 6, 0.0, 1.0), Term("b", 5, 2.0, 3.0)
    assert token_drops([second, first]) == [(first, second)]
    assert verdict([second, first]) == ["A FENCING TOKEN WENT DOWN: a had 6, then b had 5"]


# ---------------------------------------------------------------------- the tutorial


async def test_the_program_of_the_tutorial_hands_over(ensemble: Ensemble, tmp_path: Path) -> None:
    code = next(block.parsed for block in blocks(ROOT / "docs" / "tutorial.md") if is_program(block))
    script = tmp_path / "worker.py"
    script.write_text(code.replace("127.0.0.1:2181", ensemble.hosts))
    async with program(str(script)) as first, program(str(script)) as second:
        await asyncio.gather(first.line("stands$"), second.line("stands$"))
        leader, follower = await who_leads(first, second)
        leader.process.send_signal(signal.SIGINT)
        assert await leader.rest() == 0, leader.lines
        await follower.line("leads, fencing token")


async def who_leads(first: Program, second: Program) -> tuple[Program, Program]:
    """Wait until one says that it leads; return the leader and the follower."""
    reading = {
        asyncio.create_task(first.line("leads, fencing token")): (first, second),
        asyncio.create_task(second.line("leads, fencing token")): (second, first),
    }
    done, pending = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(reading)
    (leads,) = done
    leads.result()
    return reading[leads]

"""Many candidates on one client, each run in a fresh process."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from golea_async.testing import Ensemble
from tests.support.proxy import Proxy
from tests.support.wire import OpCode

from .clients import SESSION_TIMEOUT
from .report import Contestant, Line, Report, times

REASONABLE = 15.0
"""Seconds: a contestant that took longer is not asked to do twice as many."""


@asynccontextmanager
async def working(*arguments: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "tests.benchmarks.elections.work", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def told(process: Process) -> dict[str, Any]:
    """The next line that it tells."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"a process of the benchmark ended without a word, with {await process.wait()}")
    found: dict[str, Any] = json.loads(line)
    return found


async def measure_joins(ensemble: Ensemble, report: Report, rounds: int, count: int) -> None:
    """Candidates of one election join at once, and twice as many; then fewer, beside aiozk's recipe."""
    contestants = (Contestant.FLOOR, Contestant.OURS, Contestant.OURS_ON_AIOZK)
    found = {
        count: await _joins(ensemble, rounds, count, contestants),
        2 * count: await _joins(ensemble, rounds, 2 * count, contestants[:2]),
    }
    growth = statistics.median(found[2 * count][0][Contestant.OURS]) / statistics.median(
        found[count][0][Contestant.OURS]
    )
    aims = {count: "at most 3 times", 2 * count: f"at most 2.3 times as long as {count}"}
    for many, (seconds, megabytes) in found.items():
        what = f"{many} candidates of one election join on one session"
        longer = f"{growth:.2f} times as long; " if many > count else ""
        report.add(Line(what, "s", seconds, aims[many], longer + times(seconds)))
        if many > count:
            report.add(await _without_gc(ensemble, rounds, (count, many)))
        report.add(Line(f"{what}: memory", "MB more", megabytes, "under 100" if many == count else ""))
    await _recipe_joins(ensemble, report, count)


async def _without_gc(ensemble: Ensemble, rounds: int, counts: tuple[int, int]) -> Line:
    """What of the growth is Python's: its collector of cycles looks at all that lives, again and again."""
    seconds = [
        [(await _one_run(ensemble, Contestant.OURS, count, "--without-gc"))["seconds"] for _ in range(rounds)]
        for count in counts
    ]
    fewer, more = map(statistics.median, seconds)
    what = f"the same {counts[1]} with Python's collector of cycles off"
    return Line(what, "s", {Contestant.OURS: seconds[1]}, found=f"{more / fewer:.2f} times as long as {counts[0]}")


Figures = dict[Contestant, list[float]]


async def _joins(
    ensemble: Ensemble, rounds: int, count: int, contestants: Sequence[Contestant]
) -> tuple[Figures, Figures]:
    seconds: Figures = {}
    megabytes: Figures = {}
    for _ in range(rounds):
        for contestant in contestants:
            found = await _one_run(ensemble, contestant, count)
            seconds.setdefault(contestant, []).append(found["seconds"])
            megabytes.setdefault(contestant, []).append(found["megabytes"])
    return seconds, megabytes


async def _one_run(ensemble: Ensemble, contestant: Contestant, count: int, *options: str) -> dict[str, Any]:
    hosts = ensemble.servers[0].address
    async with working("joins", hosts, str(count), "--contestant", contestant, *options) as process:
        return await told(process)


async def _recipe_joins(ensemble: Ensemble, report: Report, most: int) -> None:
    """aiozk's recipe, with twice as many each time for as long as that ends in reasonable time."""
    count = most // 8
    while count <= most:
        samples, memory = {}, {}
        for contestant in (Contestant.FLOOR, Contestant.OURS, Contestant.RECIPE):
            found = await _one_run(ensemble, contestant, count)
            samples[contestant], memory[contestant] = [found["seconds"]], found["megabytes"]
        what = f"{count} of them, beside aiozk's recipe, one run"
        megabytes = ", ".join(f"{memory[each]:.0f}" for each in (Contestant.OURS, Contestant.RECIPE))
        more = f"{times(samples, Contestant.RECIPE)}; {megabytes} MB more"
        report.add(Line(what, "s", samples, found=more))
        if samples[Contestant.RECIPE][0] > REASONABLE:
            print(f"    aiozk's recipe is asked for no more than {count}: that took longer than {REASONABLE:g} s")
            return
        count *= 2


async def measure_idle(ensemble: Ensemble, report: Report, count: int, seconds: float) -> None:
    """What many elections cost on one client when nothing happens: leaders, and followers."""
    cases = [("leads", 1), ("leads", count), ("follows", 1), ("follows", count)]
    found = await asyncio.gather(*(_idle(ensemble, work, many, seconds) for work, many in cases))
    for (work, many), (writes, others, cpu) in zip(cases, found, strict=True):
        what = f"{many} election{'s' * (many > 1)} in which one client {work}, idle: quorum writes"
        aim = "8 for any number" if work == "leads" else "none for a follower"
        more = f"{others:.0f} pings; CPU of the process {cpu:.2f} % of a core (aim: under 1)"
        report.add(Line(what, "per session timeout", {Contestant.OURS: [writes]}, aim, more))


async def _idle(ensemble: Ensemble, work: str, count: int, seconds: float) -> tuple[float, float, float]:
    """Quorum writes and other requests per session timeout, counted at a proxy; CPU in percent."""
    arguments = ["--leaders", ensemble.servers[1].address, "--seconds", str(seconds)]
    async with (
        Proxy(ensemble.servers[0].port) as proxy,
        working(work, proxy.address, str(count), *arguments) as process,
    ):
        await told(process)
        before = proxy.requests.copy()
        found = await told(process)
        sent = proxy.requests - before
        timeouts = found["seconds"] / SESSION_TIMEOUT
        writes = sent.pop(OpCode.MULTI, 0)
        sent.pop(OpCode.CLOSE_SESSION, None)
        return writes / timeouts, sent.total() / timeouts, 100 * found["cpu"] / found["seconds"]


async def measure_churn(ensemble: Ensemble, report: Report, count: int) -> None:
    async with working("churn", ensemble.servers[0].address, str(count)) as process:
        early, late = await told(process), await told(process)
    grown = [name for name, size in late["registries"].items() if size > early["registries"].get(name, 0)]
    what = f"{count} joins and resignations on one client"
    rate = (late["joins"] - early["joins"]) / late["seconds"]
    report.add(Line(what, "per second", {Contestant.OURS: [rate]}))
    for unit, key in (("MB at the most", "megabytes"), ("living objects", "objects")):
        since = f"{late[key] - early[key]:+.0f} since {early['joins']} of them"
        report.add(Line(what, unit, {Contestant.OURS: [late[key]]}, "no growth", since))
    total = {Contestant.OURS: [float(sum(late["registries"].values()))]}
    since = ", ".join(grown) or f"none of {len(late['registries'])} has grown"
    report.add(Line(what, "entries in the client's registries", total, "no growth", since))

"""Random faults from a seed: what happens when to whom, and carrying it out."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from .cluster import SESSION_TIMEOUT, Cluster
from .contenders import Library
from .record import Record
from .run import Candidate, Run, RunError

CANDIDATES = ("a", "b", "c")
LENGTH = 30.0
"""Seconds in which the faults of one episode begin."""
CALM = 0.08
"""The share of faults after which nothing else begins until somebody has to lead."""


@dataclass(frozen=True)
class Step:
    """A fault of this kind begins `at` seconds after the start and lasts for `duration` seconds."""

    at: float
    kind: str
    target: str
    duration: float

    def __str__(self) -> str:
        return f"{self.at:6.2f} s  {self.kind:20} {self.target:10} for {self.duration:.2f} s"


# How often each kind comes up, its shortest and its longest duration.
OF_CANDIDATES = {
    "cut off both ways": (4, 0.3, 9.0),
    "cut off to ZooKeeper": (2, 0.3, 7.0),
    "cut off from ZooKeeper": (2, 0.3, 7.0),
    "delay": (3, 1.0, 6.0),
    "reset": (3, 0.0, 0.0),
    "freeze": (4, 0.2, 7.0),
    "block": (3, 0.2, 6.0),
    "kill": (2, 0.1, 3.0),
    "resign": (3, 0.0, 1.0),
    "step down": (3, 0.0, 0.0),
    "transfer": (3, 0.0, 0.0),
    "remove": (1, 0.0, 0.0),
    "depose": (2, 0.0, 0.0),
    "end": (1, 0.0, 0.0),
}
OF_SERVERS = {
    "freeze server": (2, 0.5, 6.0),
    "kill server": (3, 0.0, 3.0),
    "cut server": (3, 0.5, 15.0),
    "strand leader": (2, 1.0, 8.0),
    "ensemble away": (1, 0.0, 2.0),
}


def make_schedule(seed: int, length: float = LENGTH) -> list[Step]:
    """The same seed makes the same schedule. On one target one fault follows the other; the servers are one target."""
    chance = random.Random(seed)
    kinds = {**OF_CANDIDATES, **OF_SERVERS}
    weights = [weight for weight, *_ in kinds.values()]
    free_from: dict[str, float] = defaultdict(float)
    steps = []
    moment = 0.0
    while moment < length:
        (kind,) = chance.choices(list(kinds), weights)
        _, shortest, longest = kinds[kind]
        duration = round(chance.uniform(shortest, longest), 2)
        target = chance.choice(CANDIDATES) if kind in OF_CANDIDATES else f"server {chance.randint(1, 3)}"
        key = target if kind in OF_CANDIDATES else "servers"
        moment += chance.uniform(0.05, 1.5)
        if moment < free_from[key]:
            continue
        free_from[key] = moment + duration + 0.1
        steps.append(Step(round(moment, 2), kind, target, duration))
        if chance.random() < CALM:
            moment = max(free_from.values()) + SESSION_TIMEOUT + 2
    return steps


async def play_episode(cluster: Cluster, seed: int, library: Library = Library.GOLEA) -> tuple[Run, list[str]]:
    """Start three candidates, carry out the seed's schedule, let everything settle; return what was wrong."""
    steps = make_schedule(seed)
    async with Run(cluster, f"Random faults, seed {seed}", library=library) as run:
        for name in CANDIDATES:
            await run.start(name)
        steward = asyncio.create_task(_see_to_the_deposed(run))
        try:
            await _carry_out(run, steps)
            await run.settle()
        except RunError as error:
            return run, [str(error)]
        finally:
            steward.cancel()
            await asyncio.wait({steward})
        return run, run.faults(prompt=library is Library.GOLEA)


async def _carry_out(run: Run, steps: list[Step]) -> None:
    locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    start = asyncio.get_running_loop().time()

    async def carry_out(step: Step) -> None:
        await asyncio.sleep(start + step.at - asyncio.get_running_loop().time())
        # A fault lasts longer than was planned when a server is slow to come back: the next on its target waits.
        async with locks[step.target if step.kind in OF_CANDIDATES else "servers"]:
            await ACTIONS[step.kind](run, step)

    tasks = [asyncio.create_task(carry_out(step)) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _see_to_the_deposed(run: Run) -> None:
    """Whose znode was deleted, or whose election was ended, stands again, as a new candidate: that is final."""
    while True:
        with suppress(RunError):  # nobody was, for long
            await run.until(lambda: bool(run.deposed) and not run.is_being_ended, "somebody is deposed")
        for candidate in run.deposed:
            await run.rejoin(candidate)


# ---------------------------------------------------------------------- the kinds


def _candidate(run: Run, step: Step) -> Candidate:
    return run.candidates[step.target]


async def _cut_off(run: Run, step: Step) -> None:
    async with run.cut_off(_candidate(run, step), step.kind.removeprefix("cut off ")):
        await asyncio.sleep(step.duration)


async def _delay(run: Run, step: Step) -> None:
    async with run.delayed(_candidate(run, step), step.duration / 5):
        await asyncio.sleep(step.duration)


async def _reset(run: Run, step: Step) -> None:
    run.reset(_candidate(run, step))


async def _freeze(run: Run, step: Step) -> None:
    async with run.frozen(_candidate(run, step)):
        await asyncio.sleep(step.duration)


async def _block(run: Run, step: Step) -> None:
    await run.block(_candidate(run, step), step.duration)


async def _kill(run: Run, step: Step) -> None:
    await run.kill(_candidate(run, step))
    await asyncio.sleep(step.duration)
    await run.start(step.target, joins=False)
    await run.join(_candidate(run, step), wait=False)


async def _resign(run: Run, step: Step) -> None:
    await run.resign(_candidate(run, step))
    await asyncio.sleep(step.duration)
    await run.join(_candidate(run, step), wait=False)


async def _step_down(run: Run, step: Step) -> None:
    await run.step_down(_candidate(run, step))


async def _transfer(run: Run, step: Step) -> None:
    await run.transfer(_candidate(run, step))


async def _remove(run: Run, step: Step) -> None:
    await run.remove(_candidate(run, step))


async def _depose(run: Run, step: Step) -> None:  # noqa: ARG001 - whoever is the first
    await run.depose()


async def _end(run: Run, step: Step) -> None:  # noqa: ARG001 - for all
    await run.end_election()


async def _freeze_server(run: Run, step: Step) -> None:
    async with run.server_frozen(run.cluster.servers[int(step.target[-1]) - 1]):
        await asyncio.sleep(step.duration)


async def _kill_server(run: Run, step: Step) -> None:
    async with run.server_killed(run.cluster.servers[int(step.target[-1]) - 1]):
        await asyncio.sleep(step.duration)


async def _cut_server(run: Run, step: Step) -> None:
    async with run.server_cut_off(run.cluster.servers[int(step.target[-1]) - 1]):
        await asyncio.sleep(step.duration)


async def _strand_leader(run: Run, step: Step) -> None:
    async with run.leader_stranded(await run.cluster.leader()):
        await asyncio.sleep(step.duration)


async def _ensemble_away(run: Run, step: Step) -> None:
    async with run.ensemble_away():
        await asyncio.sleep(step.duration)


ACTIONS: dict[str, Callable[[Run, Step], Awaitable[None]]] = {
    "cut off both ways": _cut_off,
    "cut off to ZooKeeper": _cut_off,
    "cut off from ZooKeeper": _cut_off,
    "delay": _delay,
    "reset": _reset,
    "freeze": _freeze,
    "block": _block,
    "kill": _kill,
    "resign": _resign,
    "step down": _step_down,
    "transfer": _transfer,
    "remove": _remove,
    "depose": _depose,
    "end": _end,
    "freeze server": _freeze_server,
    "kill server": _kill_server,
    "cut server": _cut_server,
    "strand leader": _strand_leader,
    "ensemble away": _ensemble_away,
}


def describe(seed: int, record: Record, faults: list[str]) -> str:
    """What one needs to see and repeat a run that went wrong."""
    lines = [f"seed {seed}; to repeat it: python3 noxfile.py faults -- --seed {seed}", *faults, "The schedule was:"]
    lines += map(str, make_schedule(seed))
    lines.append("What was done:")
    for band in sorted(record.faults, key=lambda each: each.start):
        lines.append(
            f"{band.start - record.started:7.2f} to {band.end - record.started:7.2f} s  {band.target:10} {band.label}"
        )
    return "\n".join(lines)

"""Random faults, all mixed, on three candidates and three servers. Each episode has a seed, which replays it.

About a minute and a half by default; `nox -s faults -- --minutes 60` goes on for an hour, `nox -s faults -- --seed 12`
repeats one episode.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

import pytest

from .cluster import Cluster
from .schedule import describe, make_schedule, play_episode
from .timeline import draw

SHORT = 0.2
"""Minutes after which no further episode begins, unless told otherwise."""


def test_a_seed_makes_one_schedule() -> None:
    assert make_schedule(7) == make_schedule(7)
    assert make_schedule(7) != make_schedule(8)


@pytest.mark.long
@pytest.mark.asyncio(loop_scope="package")  # as the cluster's
@pytest.mark.timeout(0)  # as long as it was told
async def test_random_faults(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    only = request.config.getoption("--seed", None)
    minutes = request.config.getoption("--minutes", None) or SHORT
    ends = time.monotonic() + 60 * minutes
    seed = only if only is not None else random.SystemRandom().randrange(10**9)
    while True:
        print(f"seed {seed}", flush=True)  # noqa: T201 - pytest shows it with a failure, and with -s
        run, faults = await play_episode(cluster, seed)
        if faults:
            picture = Path(tempfile.gettempdir()) / f"golea-faults-{seed}.svg"
            picture.write_text(draw(run.record))
            pytest.fail(f"{describe(seed, run.record, faults)}\nits timeline: {picture}\n{run.log()}", pytrace=False)
        seed += 1
        if only is not None or time.monotonic() > ends:
            return

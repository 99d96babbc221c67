"""Each row of the table of faults, on three ZooKeeper servers, with every candidate a process behind its own proxies.

Here stands what is right and what is wrong: no two leaders ever, and no move and no pause where none is called for.
How long things take, `tests/benchmarks/faults.py` measures.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from golea_async._shared.lease import KEEP_ALIVE_SHARE, LEASE_SHARE, TOUCH_TRAVELS

from .checker import leaderless_time, moves, overlap_time
from .cluster import SESSION_TIMEOUT, Cluster
from .contenders import Library
from .record import Record
from .run import Run
from .scenarios import ROWS, play
from .timeline import draw

pytestmark = pytest.mark.asyncio(loop_scope="package")  # as the cluster's

LONG_TIMEOUT = 10.0
"""Seconds, the cluster's longest: of this a client has enough left, also on a busy machine, to go to another server."""
LONGEST_OUTAGE = (LEASE_SHARE - TOUCH_TRAVELS - KEEP_ALIVE_SHARE) * LONG_TIMEOUT
"""Without a quorum for longer, a leader may have to give up: its lease, less what travels and what is just due."""

# The last column: whether leadership stays where it is, without a pause. None: it must move, or may.
STAYS = {
    "leader-cut-off": False,
    "leader-cut-off-one-way": None,
    "follower-cut-off": True,
    "follower-cut-off-no-way-out": False,
    "both-on-the-follower-cut-off": False,
    "zookeepers-leader-cut-off": None,
    "zookeepers-leader-stranded": True,
    "zookeepers-leader-stranded-no-way-out": False,
    "leader-frozen": False,
    "leader-blocked": False,
    "server-killed": True,
    "zookeepers-leader-killed": True,
    "rolling-restart": True,
    "ensemble-away": None,
    "follower-away-while-leader-resigns": False,
    "nomination-reply-lost": False,
    "leader-killed": False,
    "leader-killed-guardian": False,
    "leader-frozen-guardian": False,
}


@pytest.mark.long
@pytest.mark.parametrize("name", ROWS)
async def test_row(name: str, cluster: Cluster, request: pytest.FixtureRequest) -> None:
    run = await play(ROWS[name], cluster, session_timeout=LONG_TIMEOUT if STAYS[name] else SESSION_TIMEOUT)
    keep_timeline(name, run.record, request.config.getoption("--timelines", None))
    assert run.faults() == [], run.log()
    assert overlap_time(run.record) == 0
    judge_moves(run, stays=STAYS[name])
    if name == "leader-killed-guardian":  # its session could not end by itself sooner than in 2/3 T
        assert leaderless_time(run.record) < SESSION_TIMEOUT / 2, run.log()


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    ["leader-cut-off", "follower-cut-off-no-way-out", "zookeepers-leader-stranded-no-way-out", "leader-frozen"],
)
async def test_row_on_a_plain_client(name: str, cluster: Cluster) -> None:
    """An election on an `aiozk.ZKClient` is as safe, and never wedged; it is not as prompt."""
    run = await play(ROWS[name], cluster, Library.GOLEA_ON_AIOZK)
    assert run.faults(prompt=False) == [], run.log()
    judge_moves(run, stays=False)


def keep_timeline(name: str, record: Record, directory: str | None) -> None:
    if directory is not None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        (Path(directory) / f"{name}.svg").write_text(draw(record))


def judge_moves(run: Run, *, stays: bool | None) -> None:
    if stays is False:
        assert moves(run.record) == 1, run.log()
        last = max(run.record.beliefs, key=lambda belief: belief.first[0])  # they are written down as they are told
        assert last.candidate == "b", run.log()
    elif stays and not _had_to_pause(run.record):
        assert moves(run.record) == 0, run.log()
        assert leaderless_time(run.record) == 0, run.log()


def _had_to_pause(record: Record) -> bool:
    """Whether the machine itself took the leader's lease: no quorum answered, or its process did not run, for so long.

    A killed server is neither: two others answer. (ZooKeeper elects a leader of its own in 0.4 s when idle.)
    """
    pauses = [*record.outages(), *((start, end) for name, start, end in record.stalls if name == "a")]
    return any(end - start > LONGEST_OUTAGE for start, end in pauses)

"""What JSON logs show of an election: with python-json-logger and with structlog."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pythonjsonlogger.json import JsonFormatter

from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import soon

FORMATTERS = {
    "python-json-logger": JsonFormatter("%(levelname)s %(name)s %(message)s"),
    "structlog": structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ],
    ),
}


@pytest.fixture(params=FORMATTERS)
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(FORMATTERS[request.param])
    logger = logging.getLogger("golea_async.election")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(level)


async def test_json_has_the_fields(zookeeper: MemoryZooKeeper, lines: io.StringIO) -> None:
    async with ZKClient(zookeeper.hosts) as zk:
        await create_election(zk, "/svc/a")
        async with AsyncElection(zk, "/svc/a", "a") as election:
            token = (await soon(election.wait_for_leadership())).fencing_token
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    names = ("election", "candidate", "role", "reason", "fencing_token")
    assert [{name: each[name] for name in names} for each in logged] == [
        {"election": "/svc/a", "candidate": "a", "role": role, "reason": reason, "fencing_token": of}
        for role, reason, of in (
            ("leader", None, token),
            ("leader", "resigned", token),
            ("none", "resigned", None),
        )
    ]
    assert logged[1]["message"].startswith("lost leadership of /svc/a after ")
    assert logged[1]["message"].endswith(f" s (token {token}): it resigned")

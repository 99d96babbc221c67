"""What JSON logs show of an election, with python-json-logger and with structlog; and logging that fails."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from pythonjsonlogger.json import JsonFormatter

from golea_async import AsyncElection, ZKClient, create_election
from golea_async._zookeeper.log import Log
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


@contextmanager
def added(name: str, level: int, handler: logging.Handler) -> Iterator[logging.Logger]:
    """A logger that has this level, and this handler, too."""
    logger = logging.getLogger(name)
    former = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    yield logger
    logger.removeHandler(handler)
    logger.setLevel(former)


@pytest.fixture(params=FORMATTERS)
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(FORMATTERS[request.param])
    with added("golea_async.election", logging.INFO, handler):
        yield written


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


def fail(_record: logging.LogRecord) -> bool:
    raise RuntimeError("the application's logging is broken")


class FailingHandler(logging.Handler):
    """One that does not call ``handleError``."""

    def emit(self, record: logging.LogRecord) -> None:
        fail(record)


@pytest.fixture(params=["handler", "filter"])
def broken(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """The library's logger, with an application's handler or filter that fails for each line."""
    handler = FailingHandler() if request.param == "handler" else logging.StreamHandler(io.StringIO())
    if request.param == "filter":
        handler.addFilter(fail)
    with added("golea_async", logging.DEBUG, handler) as logger:
        yield logger


@pytest.mark.usefixtures("broken")
async def test_logging_that_fails_costs_no_lead(zookeeper: MemoryZooKeeper, capsys: pytest.CaptureFixture[str]) -> None:
    async with ZKClient(zookeeper.hosts) as one, ZKClient(zookeeper.hosts) as two:
        await create_election(one, "/svc/unheard")
        ada, bob = AsyncElection(one, "/svc/unheard", "ada"), AsyncElection(two, "/svc/unheard", "bob")
        await soon(ada.start())
        await soon(ada.wait_for_leadership())
        await soon(bob.start())
        await soon(ada.resign())
        await soon(bob.wait_for_leadership())
        await soon(bob.resign())
    assert "RuntimeError: the application's logging is broken" in capsys.readouterr().err


def test_logging_that_fails_is_not_told_where_nobody_reads_it(
    broken: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", None)
        Log(broken).warning("unheard")
    monkeypatch.setattr(logging, "raiseExceptions", False)
    Log(broken).warning("unheard")
    assert capsys.readouterr() == ("", "")


def test_a_line_names_the_function_that_writes_it(caplog: pytest.LogCaptureFixture) -> None:
    Log(logging.getLogger("golea_async")).warning("heard")
    assert [record.funcName for record in caplog.records] == ["test_a_line_names_the_function_that_writes_it"]

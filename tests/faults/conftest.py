"""The cluster that the tests of faults share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .cluster import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "the tests of faults (only with `pytest tests/faults`)")
    group.addoption("--minutes", type=float, default=None, help="how long the random faults go on")
    group.addoption("--seed", type=int, default=None, help="the seed of the random faults, to replay a run")
    group.addoption("--timelines", default=None, metavar="DIRECTORY", help="draw each row's run into this directory")


@pytest.fixture(scope="package")
async def cluster() -> AsyncIterator[Cluster]:
    """Three servers that can be cut from each other; each test leaves them whole."""
    async with Cluster() as shared:
        yield shared

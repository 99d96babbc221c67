"""The pytest plugin, as a user's own project has it: another pytest, in another directory, with the docs' own code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import files

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
PAGE = ROOT / "docs" / "testing.md"

# What a project writes into its pytest.ini, for each way to run asynchronous tests.
STRICT = "asyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n"
AUTO = STRICT.replace("strict", "auto")
ANYIO = f"anyio_mode = auto\n{STRICT}"

LOOP_SCOPES = ("function", "module", "session")
# A user's tests; `{mark}`, `{fixture}` and `{scope}` depend on the plugin that runs them and on the loop's scope.
SUITE = """
import pytest, pytest_asyncio
from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper

{mark}
{backend}

@{fixture}
async def zk(zk_client):
    async with zk_client as zk:
        await create_election(zk, "/mine")
        yield zk


@{wide_fixture}
async def shared():
    with MemoryZooKeeper() as zookeeper:
        async with ZKClient(zookeeper.hosts, session_timeout=2) as zk:
            await create_election(zk, "/shared")
            yield zk


@pytest.mark.parametrize("number", [1, 2])
async def test_with_a_zookeeper_of_its_own(memory_zookeeper, zk, number):
    async with AsyncElection(zk, "/mine") as election:
        leadership = await election.wait_for_leadership()
        memory_zookeeper.expire_session(zk.session.session_id)
        await leadership.wait_lost()


@pytest.mark.parametrize("number", [1, 2])
async def test_with_a_client_that_lives_as_long_as_the_loop(shared, number):
    async with AsyncElection(shared, "/shared") as election:
        assert (await election.wait_for_leadership()).is_valid
"""
UNITTEST_SUITE = """
import unittest, pytest
from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper


class TestWithFixtures(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def take(self, zk_client):
        self.zk_client = zk_client

    async def test_leading(self):
        async with self.zk_client as zk:
            await create_election(zk, "/mine")
            async with AsyncElection(zk, "/mine") as election:
                assert (await election.wait_for_leadership()).is_valid


class TestWithoutFixtures(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        zookeeper = self.enterContext(MemoryZooKeeper())
        self.zk = await self.enterAsyncContext(ZKClient(zookeeper.hosts, session_timeout=2))
        await create_election(self.zk, "/mine")

    async def test_leading(self):
        async with AsyncElection(self.zk, "/mine") as election:
            assert (await election.wait_for_leadership()).is_valid
"""


def entry_point() -> str:
    """Return the plugin that pytest loads by itself where the package is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["pytest11"].values()
    assert isinstance(module, str)
    return module


def run_pytest(directory: Path, *arguments: str, settings: str = AUTO, **environment: str) -> str:
    """Return the output of a pytest run that knows this package only as an installed plugin."""
    (directory / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{settings}")
    switched_off = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")  # to load the other takes half of the time
    command = [sys.executable, "-m", "pytest", "-p", entry_point(), *switched_off, *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{directory}", **environment}
    run = subprocess.run(
        command, check=False, cwd=directory, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    return run.stdout + run.stderr


def write_suites(
    directory: Path, *, mark: str = "", fixture: str = "pytest.fixture({options})", backend: str = ""
) -> None:
    """Write a user's suite for each scope of event loop, one that is not asynchronous, and one for unittest."""
    for scope in LOOP_SCOPES:
        suite = SUITE.format(
            mark=mark.format(scope=scope),
            backend=backend.format(scope=scope),
            fixture=fixture.format(options=f"loop_scope='{scope}'" if "asyncio" in fixture else ""),
            wide_fixture=fixture.format(
                options=f"scope='{scope}'" + (f", loop_scope='{scope}'" if "asyncio" in fixture else "")
            ),
        )
        (directory / f"test_{scope}.py").write_text(suite)
    (directory / "test_unittest.py").write_text(UNITTEST_SUITE)
    (directory / "test_synchronous.py").write_text(
        "def test_synchronous(memory_zookeeper):\n    assert memory_zookeeper.four_letter('ruok') == 'imok'\n"
    )


def test_the_docs_test_takes_five_lines() -> None:
    lines = files(PAGE)["test_service.py"].split("async def ")[1].strip().splitlines()
    assert len(lines) == 5


def test_the_docs_test_fails_for_a_service_that_does_not_stop(tmp_path: Path) -> None:
    shown = files(PAGE)
    shown["service.py"] = shown["service.py"].replace("self.stopped.set()", "pass")
    # Not pytest-timeout: asyncio takes its error for that of whatever callback runs at that moment.
    waits = "await service.stopped.wait()"
    limited = waits.replace("service.stopped.wait()", "asyncio.wait_for(service.stopped.wait(), 5)")
    shown["test_service.py"] = "import asyncio\n" + shown["test_service.py"].replace(waits, limited)
    for name, code in shown.items():
        (tmp_path / name).write_text(code)
    assert "2 failed" in run_pytest(tmp_path)


def test_the_fixtures_are_listed_and_explained(tmp_path: Path) -> None:
    listing = run_pytest(tmp_path, "--fixtures")
    for fixture in ("memory_zookeeper", "zk_client", "zookeeper_ensemble"):
        assert re.search(rf"^{fixture}.* -- .*\n    \w", listing, re.MULTILINE), listing


ALL_PASSED = f"{4 * len(LOOP_SCOPES) + 3} passed"
PYTEST_ASYNCIO = {
    "mark": "pytestmark = pytest.mark.asyncio(loop_scope='{scope}')",
    "fixture": "pytest_asyncio.fixture({options})",
}


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [(AUTO, ()), (AUTO, ("--numprocesses=2",)), (STRICT, ())],
    ids=["auto", "auto-xdist", "strict"],
)
def test_a_suite_under_pytest_asyncio(tmp_path: Path, settings: str, arguments: tuple[str, ...]) -> None:
    write_suites(tmp_path, **PYTEST_ASYNCIO)
    assert ALL_PASSED in run_pytest(tmp_path, *arguments, settings=settings)


def test_a_suite_under_anyio(tmp_path: Path) -> None:
    write_suites(tmp_path, backend="anyio_backend = pytest.fixture(scope='{scope}')(lambda: 'asyncio')")
    assert ALL_PASSED in run_pytest(tmp_path, settings=ANYIO)


def test_a_run_without_the_fixtures_does_not_load_the_library(tmp_path: Path) -> None:
    (tmp_path / "test_else.py").write_text(
        "import sys\n"
        "def test_else():\n"
        f"    assert '{entry_point()}' in sys.modules\n"
        "    assert 'aiozk' not in sys.modules\n"
        "    assert 'golea_async.election' not in sys.modules\n"
    )
    assert "1 passed" in run_pytest(tmp_path, settings="", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


@pytest.mark.parametrize("installed", [True, False])
def test_a_real_ensemble_or_how_to_install_it(tmp_path: Path, installed: bool) -> None:
    (tmp_path / "test_real.py").write_text(
        "def test_real(zookeeper_ensemble):\n    assert len(zookeeper_ensemble.followers()) == 2\n"
    )
    if installed:
        assert "1 passed" in run_pytest(tmp_path)
    else:
        output = run_pytest(tmp_path, ZOOKEEPER_HOME=str(tmp_path))
        assert "1 error" in output
        assert "sudo apt-get install zookeeper" in output
        assert "Traceback" not in output

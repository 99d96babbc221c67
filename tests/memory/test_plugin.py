"""The pytest plugin, as a user's own project has it: another pytest, in another directory, with the docs' own code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


def entry_point() -> str:
    """The plugin that pytest loads by itself where the package is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["pytest11"].values()
    assert isinstance(module, str)
    return module


def run_pytest(directory: Path, *arguments: str, **environment: str) -> str:
    """The output of a pytest run that knows this package only as an installed plugin."""
    (directory / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-p", entry_point(), "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{directory}", **environment}
    run = subprocess.run(
        command, check=False, cwd=directory, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    return run.stdout + run.stderr


def code_of_the_docs() -> dict[str, str]:
    """The files that the docs show, by name."""
    text = (ROOT / "docs" / "testing.md").read_text()
    return dict(re.findall(r"```python (\S+)\n(.*?)```", text, re.DOTALL))


def test_the_docs_test_passes(tmp_path: Path) -> None:
    for name, code in code_of_the_docs().items():
        (tmp_path / name).write_text(code)
    assert "1 passed" in run_pytest(tmp_path)


def test_the_docs_test_takes_five_lines() -> None:
    lines = code_of_the_docs()["test_service.py"].split("async def ")[1].strip().splitlines()
    assert len(lines) == 5


def test_the_docs_test_fails_for_a_service_that_does_not_stop(tmp_path: Path) -> None:
    files = code_of_the_docs()
    files["service.py"] = files["service.py"].replace("self.stopped.set()", "pass")
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    assert "1 failed" in run_pytest(tmp_path, "--timeout=5")


def test_the_fixtures_are_listed_and_explained(tmp_path: Path) -> None:
    listing = run_pytest(tmp_path, "--fixtures")
    for fixture in ("memory_zookeeper", "zk_client", "zookeeper_ensemble"):
        assert re.search(rf"^{fixture}.* -- .*\n    \w", listing, re.MULTILINE), listing


def test_each_test_has_its_own_zookeeper(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "async def test_own(memory_zookeeper, zk_client, number):\n"
        "    async with zk_client as zk:\n"
        "        await zk.create('/mine')\n"
        "def test_synchronous(memory_zookeeper):\n"
        "    assert memory_zookeeper.four_letter('ruok') == 'imok'\n"
    )
    assert "3 passed" in run_pytest(tmp_path)


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

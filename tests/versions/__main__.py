"""Run the tests on each version that is installed, and say which are not: `nox -s versions`.

    python -m tests.versions [--list] [--only TEXT] [--quick]

One thing is changed at a time: the Python with all dependencies at their newest, then the dependencies at their lowest,
then the ZooKeeper server. `--quick` leaves out what needs a real ensemble, except for another ZooKeeper server.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import chroot, found

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".nox" / "versions"
SUPPORTED_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SUPPORTED_ZOOKEEPERS = ("3.5", "3.6", "3.7", "3.8", "3.9")
QUICK = ("tests/unit", "tests/memory", "tests/proof", "tests/simulation")
ENSEMBLE = ("tests/ensemble", "tests/faults")
EVERYTHING = ("tests",)


@dataclass(frozen=True)
class Case:
    """One run.

    :ivar pins: requirements of the run-time dependencies, beside those of the tests.
    :ivar zookeeper: the directory of a distribution, or None for the one that is installed.
    """

    name: str
    python: found.Python
    pins: tuple[str, ...] = ()
    zookeeper: Path | None = None
    tests: tuple[str, ...] = EVERYTHING


def main() -> None:
    """Run what was asked for, and print a table for docs/versions.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions")
    parser.add_argument("--list", action="store_true", help="only say what would be run, and what is not installed")
    parser.add_argument("--only", default="", help="only what has this text in its name")
    parser.add_argument("--quick", action="store_true", help="without the tests that need a real ensemble")
    parser.add_argument("--group", nargs="*", default=[], help="the requirements of the tests")
    parser.add_argument("--pytest", default="", help="further arguments for pytest")
    options = parser.parse_args()
    cases = [case for case in all_cases(quick=options.quick) if options.only in case.name]
    for case in cases:
        print("to run:", case.name, "on", case.python.path)
    for missing in not_installed():
        print("not installed:", missing)
    if options.list:
        return
    lines, failed = [], False
    for case in cases:
        outcome, succeeded = run(case, options.group, options.pytest.split())
        failed = failed or not succeeded
        lines.append(outcome)
    print("", *lines, sep="\n")
    sys.exit(failed)


def all_cases(*, quick: bool) -> Iterator[Case]:
    """Return what can be run here."""
    tests = QUICK if quick else EVERYTHING
    pythons = [python for version in SUPPORTED_PYTHONS if (python := found.python(version))]
    for python in pythons:
        yield Case(f"Python {python.version}, newest dependencies", python, tests=tests)
    lowest = lowest_dependencies()
    yield Case(f"Python {pythons[0].version}, {', '.join(lowest)}", pythons[0], pins=lowest, tests=tests)
    for version, home in found.zookeepers():
        yield Case(f"ZooKeeper {version}", pythons[0], zookeeper=home, tests=ENSEMBLE)
    if chroot.is_made():
        name = f"Python {chroot.python().version} in {chroot.SUITE}"
        yield Case(name, chroot.python(), tests=QUICK if quick else QUICK + ENSEMBLE)


def not_installed() -> Iterator[str]:
    """Return what is supported and cannot be tried here, and what to do about it."""
    for version in SUPPORTED_PYTHONS:
        if not found.python(version) and not (version == chroot.VERSION and chroot.is_made()):
            yield f"Python {version}{chroot.hint() if version == chroot.VERSION else ''}"
    there = {version.rpartition(".")[0] for version, _ in found.zookeepers()}
    for version in SUPPORTED_ZOOKEEPERS:
        if version not in there:
            yield f"ZooKeeper {version}: name the directories of distributions in ZOOKEEPER_HOMES, with colons"


def lowest_dependencies() -> tuple[str, ...]:
    """Return the run-time dependencies at the lowest versions that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return tuple(requirement.replace(">=", "==") for requirement in project["dependencies"])


def run(case: Case, group: list[str], arguments: list[str]) -> tuple[str, bool]:
    """Run one case; return its line of the table, and whether all tests passed."""
    began = time.monotonic()
    if case.python.chroot:
        command, environment = chroot.prepare(group)
    else:
        command, environment = prepare(case, group)
    pytest = [*command, "-m", "pytest", "-q", "--numprocesses=auto", "--dist=worksteal", *case.tests, *arguments]
    print("+", *pytest, flush=True)
    with subprocess.Popen(pytest, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as process:
        last = ""
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last = line.strip() or last
    outcome = last.strip("= ")
    return f"| {case.name} | {outcome} | {time.monotonic() - began:.0f} s in all |", process.returncode == 0


def prepare(case: Case, group: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the Python of an environment that has what the case needs, and the variables to set."""
    directory = ENVIRONMENTS / f"{case.python.version}{'-lowest' if case.pins else ''}"
    python = str(directory / "bin" / "python")
    if not Path(python).exists():
        subprocess.run([case.python.path, "-m", "venv", str(directory)], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--upgrade", "--upgrade-strategy=eager"]
    subprocess.run([*install, "--editable", ".[cli]", *group, *case.pins], check=True, cwd=ROOT)
    return [python], {"ZOOKEEPER_HOME": str(case.zookeeper)} if case.zookeeper else {}


if __name__ == "__main__":
    main()

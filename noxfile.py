"""The project's tasks. A plain Python is enough: `python3 noxfile.py lint tests`, `python3 noxfile.py demo`.

Run as a script, this file makes a virtual environment with nox in it and hands over to that. What stands behind `--`
goes to the task: `python3 noxfile.py tests -- -k resign`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BOOTSTRAP = ROOT / ".nox" / "_bootstrap"
NOX = "nox>=2025.5.1"
OLDEST_PYTHON = (3, 11)


def hand_over_to_nox(arguments: list[str]) -> None:
    """Run nox from an environment of its own in place of this process."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        version = ".".join(map(str, OLDEST_PYTHON))
        sys.exit(f"golea-async needs Python {version} or newer, and {sys.executable} is {sys.version.split()[0]}.")
    python = BOOTSTRAP / "bin" / "python"
    probe = [str(python), "-c", "import nox"]
    if not python.exists() or subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        print(f"Installing nox into {BOOTSTRAP.relative_to(ROOT)}", flush=True)
        venv.create(BOOTSTRAP, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", NOX], check=True)
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--sessions", *arguments]
    os.execv(python, [str(python), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *arguments])


if __name__ == "__main__":
    hand_over_to_nox(sys.argv[1:])

import nox  # noqa: E402 - it is not there before the hand-over

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_venv = "yes"

IN_PARALLEL = ("--numprocesses=auto", "--dist=worksteal")
SITE = ROOT / ".nox" / "docs-site"
SITE_BUILD = ("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", str(SITE))
ARCHIVE = ROOT / ".nox" / "zookeeper.jsa"

PYPROJECT = nox.project.load_toml("pyproject.toml")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's rules and format, the types, which module may import which, the interface as recorded, and the site."""
    install(session, "lint")
    types = (
        ("mypy", "--strict", "golea_async", "tests", "examples", "noxfile.py"),
        ("stubtest", "aiozk", "--ignore-missing-stub", "--mypy-config-file", "pyproject.toml"),  # with mypy's cache
    )
    others = (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("lint-imports",),
        ("python", "-m", "tests.api"),
        SITE_BUILD,
    )
    side_by_side(session, types, others)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, several at a time, on real ZooKeeper ensembles that they start themselves."""
    install(session, "test")
    install_zookeeper(session)
    session.run("pytest", *IN_PARALLEL, "--durations=10", *session.posargs, env=less_work())


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage of the library by all tests, with the processes that they start."""
    install(session, "coverage")
    install_zookeeper(session)
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *IN_PARALLEL, *session.posargs, env=less_work())
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def system(session: nox.Session) -> None:
    """The library beside PostgreSQL, HAProxy, a browser, promtool, systemd and Kubernetes' schemas (Debian, PyPI)."""
    install(session, "system")
    install_zookeeper(session)
    session.run("python", "-m", "tests.system")
    session.run("pytest", "tests/system", "-m", "system", "--durations=10", *session.posargs, env=less_work())


@nox.session
def mutants(session: nox.Session) -> None:
    """One decision of the library changed at a time: some unit test must notice. About an hour."""
    install(session, "mutants")
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


@nox.session
def faults(session: nox.Session) -> None:
    """Random faults, `-- --minutes 60`, or one run again, `-- --seed 12`; and `golea run` in each of its faults."""
    install(session, "test")
    install_zookeeper(session)
    session.run("pytest", "tests/faults/test_random.py", "-s", *session.posargs)
    if not session.posargs:
        session.run("pytest", "tests/cli/test_run_faults.py", "-m", "minutes", env=less_work())


@nox.session
def simulate(session: nox.Session) -> None:
    """Simulated hours of elections under faults: `-- --hours 100`; or one episode again: `-- --seed 12`."""
    install(session, "test")
    session.run("python", "-m", "tests.simulation", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """ZKClient beside aiozk's client; what elections cost, for docs/benchmarks.md; each library in the same faults."""
    install(session, "bench")
    install_zookeeper(session)
    session.run("python", "-m", "tests.benchmarks.client")
    session.run("python", "-m", "tests.benchmarks.elections")
    session.run("python", "-m", "tests.benchmarks.guardian")
    session.run("python", "-m", "tests.benchmarks.faults", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Are the types of the public interface complete, as a type checker of a user's sees them?"""
    session.install(".", *nox.project.dependency_groups(PYPROJECT, "types"))
    session.run("pyright", "--verifytypes", "golea_async", "--ignoreexternal")


@nox.session
def versions(session: nox.Session) -> None:
    """The tests on each Python, lowest and newest dependencies, and each ZooKeeper that is here; `-- --list`: which."""
    session.install("pip>=24")
    group = nox.project.dependency_groups(PYPROJECT, "test")
    session.run("python", "-m", "tests.versions", *session.posargs, "--group", *group)


@nox.session
def package(session: nox.Session) -> None:
    """Build the package, and try it in fresh environments; check the workflow files; `-- --version v0.1.0`: a tag's."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "package"))
    session.run("python", "-m", "tests.package", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The site of the documentation, in .nox/docs-site. A warning is an error, and nothing is fetched."""
    install(session, "docs")
    session.run(*SITE_BUILD)
    session.log(f"It begins at {SITE / 'index.html'}")


@nox.session
def demo(session: nox.Session) -> None:
    """Five processes elect leaders and lose them, on a ZooKeeper in memory: no Java; `-- --ensemble`: on a real one."""
    session.install("--editable", ".[cli]")
    if "--ensemble" in session.posargs:
        install_zookeeper(session)
    session.run("golea", "demo", *session.posargs)


def install(session: nox.Session, group: str) -> None:
    """The package itself, editable, and one dependency group of pyproject.toml."""
    session.install("--editable", ".[cli]", *nox.project.dependency_groups(PYPROJECT, group))


def side_by_side(session: nox.Session, *rows: Sequence[Sequence[str]]) -> None:
    """Run rows of commands at the same time, each row in order. What a command prints is shown where it fails."""

    def run(row: Sequence[Sequence[str]]) -> None:
        for command in row:
            session.run(*command, silent=True)

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(run, row) for row in rows]
    for each in running:
        each.result()


def install_zookeeper(session: nox.Session) -> None:
    """See that ZooKeeper is here; where this may not install it, the task ends with how to do it."""
    session.run("python", "-m", "tests.support.zookeeper")
    if not ARCHIVE.exists():
        session.run("python", "-m", "tests.support.classes", str(ARCHIVE))


def less_work() -> dict[str, str]:
    """The environment of the tests: the processes that they start load what one of them has compiled.

    Most of their servers live for seconds, so Java compiles only what it runs ten times as often as by itself.
    """
    options = ["-XX:CompileThresholdScaling=10"]
    if ARCHIVE.exists():
        options.append(f"-XX:SharedArchiveFile={ARCHIVE}")
    return {"PYTHONDONTWRITEBYTECODE": "", "JDK_JAVA_OPTIONS": " ".join(options)}

"""Build the package, and try wheel and source distribution each in a fresh environment: `nox -s package`.

    python -m tests.package [--version 0.1.0]

What was built is in dist/ afterwards, with a software bill of materials. A version that is given must be the package's.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
DIST = ROOT / "dist"
TYPED = (ROOT / "tests" / "types" / "use.py", ROOT / "tests" / "types" / "misuse.py")
BILL = "golea-async.cdx.json"


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.package")
    parser.add_argument("--version", help="what the package's version must be, such as a tag's, with or without a v")
    wanted = parser.parse_args().version
    run("zizmor", "--offline", "--quiet", ".github/workflows")
    artifacts, version = build()
    if wanted and wanted.removeprefix("v") != version:
        sys.exit(f"The package is version {version}, not {wanted}: set __version__ in golea_async/__init__.py")
    run("twine", "check", "--strict", *map(str, artifacts))
    with tempfile.TemporaryDirectory() as directory:
        for artifact in artifacts:
            try_out(artifact, version, Path(directory))


def run(*command: str, cwd: Path = ROOT) -> None:
    """Show a command and run it."""
    print("+", *command, flush=True)
    subprocess.run(command, check=True, cwd=cwd)


def build() -> tuple[list[Path], str]:
    """Return the wheel, which is built from the source distribution, and that, and their version."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", str(DIST))
    artifacts = sorted(DIST.iterdir())
    wheel, source = sorted(artifacts, key=lambda path: path.suffix != ".whl")
    _, version, *_ = wheel.name.split("-")
    if source.name != f"golea_async-{version}.tar.gz":
        raise AssertionError(f"{source.name} does not belong to {wheel.name}")
    return artifacts, version


def try_out(artifact: Path, version: str, directory: Path) -> None:
    """Install it into an environment of its own, look at what is there, and use the pytest plugin."""
    environment = directory / artifact.suffix.removeprefix(".")
    venv.create(environment)
    python = str(environment / "bin" / "python")
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*install, str(artifact), cwd=directory)
    run(python, "-I", str(HERE / "installed.py"), version, cwd=directory)
    if artifact.suffix == ".whl":
        write_bill(python, version, directory / "bill")
    run(*install, f"{artifact}[cli]", cwd=directory)
    run(python, "-I", str(HERE / "installed.py"), version, cwd=directory)
    run(*install, "pytest", "mypy", cwd=directory)
    for text in TYPED:
        shutil.copy(text, environment)
        run(python, "-I", "-m", "mypy", "--strict", text.name, cwd=environment)
    suite = shutil.copy(HERE / "plugin_suite.py", environment / "test_plugin.py")
    run(python, "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(suite), cwd=environment)


def write_bill(python: str, version: str, directory: Path) -> None:
    """Write down what is installed with the wheel: the software bill of materials."""
    dynamic = 'dynamic = ["version", "readme"]'
    text = (ROOT / "pyproject.toml").read_text()
    if dynamic not in text:
        raise AssertionError("the package's version is not where it was")
    directory.mkdir()
    project = directory / "pyproject.toml"
    project.write_text(text.replace(dynamic, f'version = "{version}"'))
    output = ("--of", "JSON", "--output-reproducible", "--output-file", str(DIST / BILL))
    run(sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(project), *output, python)


if __name__ == "__main__":
    main()

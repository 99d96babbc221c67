"""The Pythons and ZooKeepers that are on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DEBIAN_JAR = Path("/usr/share/java/zookeeper.jar")
PLACES = (Path("/opt"), Path.home() / "zookeepers")


@dataclass(frozen=True)
class Python:
    """A Python.

    :ivar version: with all its parts.
    :ivar chroot: it runs in one.
    """

    version: str
    path: str
    chroot: bool = False


@cache
def python(version: str) -> Python | None:
    """Return the newest Python of this version, on the path or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [str(path) for path in pyenv.glob(f"{version}.*/bin/python{version}")]
    if on_path := shutil.which(f"python{version}"):
        candidates.append(on_path)
    pythons = [known for path in candidates if (known := _ask(path))]
    return max(pythons, key=lambda each: _parts(each.version), default=None)


def _ask(path: str) -> Python | None:
    asked = subprocess.run(
        [path, "-c", "import platform, venv; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=False,
    )
    return Python(asked.stdout.strip(), path) if asked.returncode == 0 else None


def _parts(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def zookeepers() -> Iterator[tuple[str, Path | None]]:
    """Return versions and directories of ZooKeepers; Debian's has no directory of its own."""
    if DEBIAN_JAR.exists():
        yield _version(DEBIAN_JAR.resolve()), None
    homes = [Path(home) for home in os.environ.get("ZOOKEEPER_HOMES", "").split(":") if home]
    homes += [home for place in PLACES if place.is_dir() for home in sorted(place.glob("*zookeeper*"))]
    for home in homes:
        jars = [*home.glob("zookeeper-[0-9]*.jar"), *home.glob("lib/zookeeper-[0-9]*.jar")]
        if jars:
            yield _version(jars[0]), home


def _version(jar: Path) -> str:
    """Return what the jar says in its name, or Debian in its list of packages."""
    if matched := re.search(r"zookeeper-(\d+\.\d+\.\d+)", jar.name):
        return matched[1]
    query = ["dpkg-query", "--show", "--showformat=${Version}", "libzookeeper-java"]
    asked = subprocess.run(query, capture_output=True, text=True, check=False)
    return asked.stdout.partition("-")[0] or "of unknown version"

"""Finds the ZooKeeper and the Java that are installed on this machine."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

INSTALLATION_HELP = """\
{problem}
A real ZooKeeper is to be run here. Install one:
  Debian, Ubuntu   sudo apt-get install zookeeper
  macOS            brew install zookeeper
  anywhere else    install Java 11 or newer, unpack apache-zookeeper-*-bin.tar.gz from
                   https://zookeeper.apache.org/releases.html and set ZOOKEEPER_HOME to its directory"""

DEBIAN_JARS = Path("/usr/share/java")
# The manifest of Debian's zookeeper.jar names most of what it needs. What it leaves out is a logger, and the parts of
# netty without which TLS fails at the first connection.
DEBIAN_JAR_NAMES = (
    "zookeeper.jar",
    "zookeeper-jute.jar",
    "slf4j-api.jar",
    "slf4j-simple.jar",
    "commons-cli.jar",
    "metrics-core.jar",
    "snappy-java.jar",
    "netty-buffer.jar",
    "netty-codec.jar",
    "netty-common.jar",
    "netty-handler.jar",
    "netty-resolver.jar",
    "netty-transport.jar",
    "netty-transport-native-epoll.jar",
    "netty-transport-native-unix-common.jar",
)
HOMEBREW_PREFIXES = (Path("/opt/homebrew/opt"), Path("/usr/local/opt"))


class ZooKeeperNotInstalledError(RuntimeError):
    """There is no ZooKeeper or no Java on this machine; the message says how to install it."""

    def __init__(self, problem: str) -> None:
        super().__init__(INSTALLATION_HELP.format(problem=problem))


def find_class_path() -> list[str]:
    """The jars of a ZooKeeper server: `ZOOKEEPER_HOME`, else Debian's, else Homebrew's.

    :raises ZooKeeperNotInstalledError: there is none
    """
    home = os.environ.get("ZOOKEEPER_HOME")
    if home:
        jars = _jars_of_distribution(Path(home))
        if not jars:
            raise ZooKeeperNotInstalledError(f"ZOOKEEPER_HOME is {home!r}, and there is no zookeeper-*.jar in it.")
        return jars
    if (DEBIAN_JARS / "zookeeper.jar").exists():
        return [str(DEBIAN_JARS / name) for name in DEBIAN_JAR_NAMES if (DEBIAN_JARS / name).exists()]
    for prefix in HOMEBREW_PREFIXES:
        jars = _jars_of_distribution(prefix / "zookeeper" / "libexec")
        if jars:
            return jars
    raise ZooKeeperNotInstalledError("ZooKeeper is not installed, and ZOOKEEPER_HOME is not set.")


def find_java() -> str:
    """The `java` to run: `JAVA_HOME`'s, else Homebrew's, else the one on the path.

    :raises ZooKeeperNotInstalledError: there is none
    """
    java_home = os.environ.get("JAVA_HOME")
    candidates = [Path(java_home) / "bin" / "java"] if java_home else []
    if sys.platform == "darwin":  # /usr/bin/java is only a stub there that asks for an installation
        candidates += [prefix / "openjdk" / "bin" / "java" for prefix in HOMEBREW_PREFIXES]
    for candidate in candidates:
        if candidate.exists():
            return str(candidate)
    java = shutil.which("java")
    if java is None:
        raise ZooKeeperNotInstalledError("There is no java on the path, and JAVA_HOME names none.")
    return java


def _jars_of_distribution(home: Path) -> list[str]:
    directories = [home, home / "lib"]
    if not any(any(directory.glob("zookeeper-[0-9]*.jar")) for directory in directories):
        return []
    return [str(jar) for directory in directories for jar in sorted(directory.glob("*.jar"))]

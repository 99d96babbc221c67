"""Sees to it that ZooKeeper and Java are there: `python -m tests.support.zookeeper` installs Debian's where it may."""

from __future__ import annotations

import os
import sys

from golea_async.testing._installation import ZooKeeperNotInstalledError, find_class_path, find_java

from . import debian

__all__ = ["ZooKeeperNotInstalledError", "ensure_installed", "find_class_path", "find_java"]


def ensure_installed() -> None:
    """Install Debian's packages when ZooKeeper or Java is missing and this is root on Debian or Ubuntu.

    :raises ZooKeeperNotInstalledError: it is missing, and cannot be installed from here
    """
    try:
        find_class_path()
        find_java()
    except ZooKeeperNotInstalledError:
        if os.environ.get("ZOOKEEPER_HOME") or not debian.may_install():
            raise
    else:
        return
    debian.install("zookeeper", "default-jre-headless")
    find_class_path()
    find_java()


if __name__ == "__main__":
    try:
        ensure_installed()
    except ZooKeeperNotInstalledError as missing:
        sys.exit(str(missing))
    print("ZooKeeper:", find_class_path()[0])

"""Installs packages of Debian or Ubuntu, where that may be done."""

from __future__ import annotations

import os
import shutil
import subprocess


def may_install() -> bool:
    """Return whether this is root on a system with apt."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def install(*packages: str) -> None:
    """Install them, and show what is done."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", *packages]):
        command = ["apt-get", "--quiet", *arguments]
        print(*command, flush=True)
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL)

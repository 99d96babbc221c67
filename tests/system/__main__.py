"""Sees to it that the programs are there that these tests need: `python -m tests.system` installs Debian's."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support import debian

PROGRAMS = {"postgresql": "usr/lib/postgresql/*/bin/initdb", "systemd": "usr/bin/systemd-analyze"}
"""Debian's packages, and where a program of each is, below the root."""

if __name__ == "__main__":
    missing = [package for package, program in PROGRAMS.items() if not any(Path("/").glob(program))]
    if missing and not debian.may_install():
        sys.exit(f"These tests need more programs. On Debian or Ubuntu: sudo apt-get install {' '.join(missing)}")
    if missing:
        debian.install(*missing)

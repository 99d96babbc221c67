"""A memory cgroup of its own, for a process that is to be killed for want of memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_WHAT_TO_DO = "run the tests as root, with a memory controller that may be used (docker run --privileged)"
_ONE = Path("/sys/fs/cgroup/memory")  # cgroups of version 1
_TWO = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


@contextmanager
def memory_cgroup(name: str, limit: int) -> Iterator[Path]:
    """Make a cgroup with a limit in bytes; processes are moved into it by writing into its ``cgroup.procs``."""
    root = _ONE if _ONE.is_dir() else next((root for root in _TWO if (root / "cgroup.controllers").exists()), None)
    if root is None:
        pytest.fail(f"there are no memory cgroups here: {_WHAT_TO_DO}")
    group = root / name
    try:
        if root is not _ONE:
            (root / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / ("memory.limit_in_bytes" if root is _ONE else "memory.max")).write_text(str(limit))
        if root is not _ONE:
            (group / "memory.swap.max").write_text("0")
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.fail(f"no memory cgroup can be made ({error}): {_WHAT_TO_DO}")
    try:
        yield group
    finally:
        while group.exists():  # it is busy until the last of its processes has gone
            with suppress(OSError):
                group.rmdir()
            time.sleep(0.01)

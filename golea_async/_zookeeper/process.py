"""Which process this is. A forked child has its parent's memory and sockets, and neither its session nor its lease."""

from __future__ import annotations

import mmap
import os
import sys
from typing import TypeAlias

ProcessId: TypeAlias = tuple[int, int]

_WIPE_ON_FORK = 18  # Linux's MADV_WIPEONFORK, which `mmap` has no name for


def _memory_wiped_by_forks() -> mmap.mmap | None:
    """Return a byte that is 0 in a forked child, whoever has forked it; None where there is none.

    Some emulators of Linux say yes to any advice, and do nothing: to nonsense, too.
    """
    if sys.platform != "linux":
        return None
    memory = mmap.mmap(-1, 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        memory.madvise(_WIPE_ON_FORK)
    except OSError:
        return None
    try:
        memory.madvise(-1)
    except OSError:
        return memory
    return None


class _Process:
    """This process.

    :ivar forks: so many of Python's own lie between the process that began and this one.
    :ivar is_known: not 0: `id` is this process's.
    """

    forks = 0
    id: ProcessId = (0, 0)
    memory = _memory_wiped_by_forks()
    is_known: mmap.mmap | bytearray = bytearray(1) if memory is None else memory


def _count_fork() -> None:
    _Process.forks += 1
    _Process.is_known[0] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


def this_process() -> ProcessId:
    """Return what no other process has that can see the same objects.

    A process id alone may be issued again. To ask the system for it each time would take as long as all else that
    `is_leader` looks at.
    """
    if not _Process.is_known[0]:
        _Process.id = os.getpid(), _Process.forks
        _Process.is_known[0] = _Process.memory is not None
    return _Process.id


def other_process(what: str, process: ProcessId) -> str | None:
    """Return what to tell somebody who uses, in a forked child, what belongs to its parent; None in the same process.

    :param what: what it is, to begin a sentence with.
    """
    if process == this_process():
        return None
    return (
        f"{what} belongs to process {process[0]}, and this is process {os.getpid()}, forked from it: nothing was "
        "sent; make a client and an election of its own in each process, after the fork"
    )

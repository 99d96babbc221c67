"""Which process this is. A forked child has its parent's memory and sockets, and neither its session nor its lease."""

from __future__ import annotations

import os
from typing import TypeAlias

ProcessId: TypeAlias = tuple[int, int]


class _Forks:
    """Counts the forks between the process that began and this one."""

    count = 0


def _count_fork() -> None:
    _Forks.count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


def this_process() -> ProcessId:
    """Return what no other process has that can see the same objects.

    A process id alone may be issued again, and a fork that is not Python's own is not counted.
    """
    return os.getpid(), _Forks.count


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

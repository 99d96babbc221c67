"""Which process this is. A forked child has its parent's memory and sockets, and neither its session nor its lease."""

from __future__ import annotations

import os
from typing import TypeAlias

ProcessId: TypeAlias = tuple[int, int]


class _Here:
    """This process: its id, and how many forks lie between the process that began and this one."""

    process: ProcessId = (os.getpid(), 0)


def _count_fork() -> None:
    _Here.process = (os.getpid(), _Here.process[1] + 1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


def this_process() -> ProcessId:
    """Return what no other process has that can see the same objects.

    It is asked with each request, so it makes no system call. Whoever forks without Python has to tell Python
    (``PyOS_AfterFork_Child``), or the child may not run Python at all.
    """
    return _Here.process


def other_process(what: str, process: ProcessId) -> str | None:
    """Return what to tell somebody who uses, in a forked child, what belongs to its parent; None in the same process.

    :param what: what it is, to begin a sentence with.
    """
    if process == this_process():
        return None
    return (
        f"{what} belongs to process {process[0]}, and this is process {this_process()[0]}, forked from it: nothing was "
        "sent; make a client and an election of its own in each process, after the fork"
    )

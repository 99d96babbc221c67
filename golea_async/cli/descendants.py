"""Ending all processes below this one. The standard library alone: the supervisor is a process without packages.

A process that is a subreaper inherits every orphan below it, also one with a session of its own. So a descendant has no
way out but to have a process that is none start something (a service manager, a container engine).
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

TYPE_CHECKING = False  # as `typing` has it, without its weight
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_PDEATHSIG, _DUMPABLE, _SUBREAPER = 1, 4, 36
_CLOCK_BOOTTIME, _ABSOLUTE, _TIMER_FLAGS = 7, 1, os.O_NONBLOCK | os.O_CLOEXEC
_PAUSE, _LONGEST_PAUSE = 0.001, 0.02
PATIENCE = 1.0
"""Seconds after which it is said who has not ended."""


def become_subreaper() -> None:
    """Inherit the orphans of all descendants.

    :raises OSError: this system has no such thing.
    """
    _prctl(_SUBREAPER, 1)


def keep_secrets() -> None:
    """Have no core file with passwords of sessions. What is executed later has its own again, as it was."""
    _prctl(_DUMPABLE, 0)


def die_with(parent: int) -> None:
    """Be killed when the parent ends: to be called in a child, between fork and exec."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before that
        os._exit(128 + signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, ctypes.c_ulong(value), 0, 0, 0)


def _call(function: str, *arguments: Any) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    result: int = getattr(library, function)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Alarm:
    """Is readable from a moment of CLOCK_BOOTTIME on: at once after a suspension that has outlasted it.

    What ``poll`` takes as a time limit stands still while the machine is suspended.
    """

    def __init__(self) -> None:
        self.descriptor: int = _call("timerfd_create", _CLOCK_BOOTTIME, _TIMER_FLAGS)

    def set(self, moment: float) -> None:
        """Be readable from then on; infinity: never."""
        seconds, fraction = (0, 0) if moment == float("inf") else divmod(max(moment, 1e-9), 1)  # zeros: never
        when = (ctypes.c_long * 4)(0, 0, int(seconds), int(fraction * 1e9))
        _call("timerfd_settime", self.descriptor, _ABSOLUTE, when, None)


def descendants(ancestor: int) -> list[tuple[int, str]]:
    """Return process id and start time of each process below this one."""
    children: dict[int, list[tuple[int, str]]] = {}
    for process, parent, began in _processes():
        children.setdefault(parent, []).append((process, began))
    found, queue = [], [ancestor]
    while queue:
        below = children.pop(queue.pop(), [])
        found += below
        queue += [process for process, _ in below]
    return found


def _processes() -> Iterator[tuple[int, int, str]]:
    """Yield each process's id, its parent's, and when it began."""
    for name in os.listdir("/proc"):  # noqa: PTH208  # pathlib is heavy
        if name.isdecimal():
            try:
                parent, began = _parent_and_start(int(name))
            except (OSError, IndexError, ValueError):
                continue  # it has ended
            yield int(name), parent, began


def _parent_and_start(process: int) -> tuple[int, str]:
    with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[1]), fields[19].decode()


def kill_descendants(ancestor: int) -> list[int]:
    """Kill each process that is now below this one, and return which. They end in their own time."""
    found = descendants(ancestor)
    for process, began in found:
        _kill(process, began)
    return [process for process, _ in found]


def kill_all_descendants(
    on_delay: Callable[[list[int]], None],
    *,
    reap: Callable[[int, int], None],
    on_kill: Callable[[], None] = lambda: None,
) -> None:
    """Kill all processes below this one, again and again, until there are none (ECHILD).

    :param on_delay: is called once, with those that have not ended after a second.
    :param reap: is called with the process id and the wait status of each child that has ended.
    :param on_kill: is called once, when all that were there have been killed, though some may not have ended.
    """
    began, pause, has_told = time.monotonic(), _PAUSE, False
    while True:
        kill_children()
        left = kill_descendants(os.getpid())
        if not reap_children(reap):
            return
        if pause == _PAUSE:  # the first time
            on_kill()
        if not has_told and time.monotonic() > began + PATIENCE:
            has_told = True
            on_delay(left)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def kill_children() -> None:
    """Kill this process's own children, of which the kernel has a list.

    That takes microseconds: what forks and ends all the time is gone before a look at all processes has ended. It is
    always a child of this process, as its parent has ended.
    """
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208
        try:
            with open(f"/proc/self/task/{thread}/children", "rb") as file:  # noqa: PTH123
                children = file.read().split()
        except OSError:
            continue  # the thread has ended; or this kernel has no such list
        for child in map(int, children):
            _kill(child, parent=os.getpid())


def reap_children(reap: Callable[[int, int], None]) -> bool:
    """Take note of each child that has ended; return whether there are others."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not process:
            return True
        reap(process, status)


def _kill(process: int, began: str | None = None, parent: int | None = None) -> None:
    """Kill a process, if its id is not another one's by now: its own parent may have waited for it."""
    try:
        pidfd = os.pidfd_open(process)
    except OSError:
        return  # it has ended
    try:
        its_parent, it_began = _parent_and_start(process)
        if it_began == began or its_parent == parent:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        pass  # it has ended, or is another user's: then it is said who is left
    finally:
        os.close(pidfd)

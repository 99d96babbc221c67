"""A debugger, as the kernel sees it."""

from __future__ import annotations

import ctypes
import os
import threading

_ATTACH, _DETACH, _WALL = 16, 17, 0x40000000


class ThreadThatTraces:
    """Stops a process as a debugger does, as long as it is entered: killed meanwhile, it has not ended before."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_traced, self._is_over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._trace)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._is_traced.wait(10)

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _trace(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.ptrace(_ATTACH, self._pid, 0, 0) == 0, os.strerror(ctypes.get_errno())
        os.waitpid(self._pid, _WALL)
        self._is_traced.set()
        self._is_over.wait()
        libc.ptrace(_DETACH, self._pid, 0, 0)

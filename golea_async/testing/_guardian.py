"""Ends the ZooKeeper servers of an ensemble when the process that started them is gone.

`PR_SET_PDEATHSIG` would be the short way on Linux, but it fires when the *thread* that started the server ends: one
that was restarted through `asyncio.to_thread` would die with its event loop. So a small process of its own waits for
the end of a pipe that only the test process holds; the kernel closes it however that process ends, on macOS too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path


class Guardian:
    """Kills the processes it was told of, and removes `directory`, when this process ends or `release` is called."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the terminal must not end the guardian first
        )

    def watch(self, process_id: int) -> None:
        self._tell(f"+{process_id}")

    def forget(self, process_id: int) -> None:
        self._tell(f"-{process_id}")

    def release(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, message: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{message}\n".encode())
        self._process.stdin.flush()


def _guard(directory: str) -> None:
    watched: set[int] = set()
    for line in sys.stdin:
        process_id = int(line[1:])
        if line.startswith("+"):
            watched.add(process_id)
        else:
            watched.discard(process_id)
    for process_id in watched:
        try:
            os.kill(process_id, signal.SIGKILL)
        except ProcessLookupError:
            continue
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    _guard(sys.argv[1])

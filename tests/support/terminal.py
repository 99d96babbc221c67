"""A program in a terminal of its own: what it shows can be read, and keys can be pressed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from .command import PATIENCE

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]|\r")
CTRL_C, CTRL_Z, CTRL_BACKSLASH = b"\x03", b"\x1a", b"\x1c"


class Terminal:
    """The test's side."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.raw = ""
        self._descriptor = descriptor
        self._changed = asyncio.Event()
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # the last process that had the terminal has ended
            data = b""
        if data:
            self.raw += data.decode(errors="replace")
        else:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._changed.set()

    @property
    def text(self) -> str:
        """All that was shown, without colours and movements."""
        return _ESCAPES.sub("", self.raw)

    async def shows(self, pattern: str, *, times: int = 1) -> str:
        """Wait until something is shown."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while len(re.findall(pattern, self.text)) < times:
                    self._changed.clear()
                    await self._changed.wait()
                return self.text
        raise AssertionError(f"the terminal does not show {pattern!r}:\n{self.text}")

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._descriptor, keys)

    def resize(self, *, columns: int, lines: int = 24) -> None:
        """Have another size."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def hang_up(self) -> None:
        """Have the terminal go away."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, self._descriptor)
        os.close(nothing)

    async def ends(self) -> int:
        """Wait for the end of the program."""
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), PATIENCE)


@asynccontextmanager
async def terminal(
    *command: str, environment: Mapping[str, str], columns: int = 80, lines: int = 24
) -> AsyncIterator[Terminal]:
    """Start a program in a terminal of this size; it is killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(  # noqa: ASYNC220 - it takes a moment
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "COLUMNS": "", "LINES": ""},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509
    )
    os.close(theirs)
    screen = Terminal(process, ours)
    try:
        yield screen
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)

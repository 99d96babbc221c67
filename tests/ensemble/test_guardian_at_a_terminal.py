"""A guarded program at a terminal: what Ctrl-C and the terminal's end do to it, and not to its guardian."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import termios

from tests.support.elections import soon
from tests.support.ensemble import SharedEnsemble
from tests.support.guarded import ROOT, TIMEOUT, Program, closed_in_time, guarded, guardians_of, live
from tests.support.wire import WireClient

ALIVE = 1.0
"""For so long a program lives on; a guardian that were wrong would act within milliseconds."""

HOLDS_OUT = "signal.signal(signal.SIGINT, lambda *_: say('', 'caught')); signal.signal(signal.SIGHUP, signal.SIG_IGN)"
AT_A_TERMINAL = """
import asyncio, signal, sys
from tests.support.guarded import program, say

{signals}
asyncio.run(program(sys.argv[1], sys.argv[2], "wait", float(sys.argv[3]), {{}}))
"""


class AtATerminal:
    """A guarded program that has the terminal, as one that was started in a shell."""

    def __init__(self, name: str, hosts: str, signals: str = "") -> None:
        self._terminal, theirs = os.openpty()
        command = [sys.executable, "-c", AT_A_TERMINAL.format(signals=signals), name, hosts, str(TIMEOUT)]

        def take_terminal() -> None:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it, and so do all that are started below
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=take_terminal,  # noqa: PLW1509
        )
        os.close(theirs)
        self.program = Program(name, self.process.pid, f"/guarded-{name}")

    async def shows(self, text: bytes) -> None:
        output = b""
        while text not in output:
            output += await soon(asyncio.to_thread(os.read, self._terminal, 1000))

    def press_ctrl_c(self) -> None:
        os.write(self._terminal, b"\x03")

    def close(self) -> None:
        os.close(self._terminal)

    async def end(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.wait)


async def test_a_terminal(ensemble: SharedEnsemble, wire: WireClient) -> None:
    """Ctrl-C and the terminal's end reach the program, and not its guardian, which is of another session."""
    holds_out = AtATerminal("holds-out", ensemble.hosts, HOLDS_OUT)
    ends_by_ctrl_c, ends_with_it = (AtATerminal(name, ensemble.hosts) for name in ("ctrl-c", "hangup"))
    started = (holds_out, ends_by_ctrl_c, ends_with_it)
    programs = [each.program for each in started]
    try:
        for each in started:
            await each.shows(b'"ready"')
        guardian, *_ = await guarded(*programs)
        assert os.getsid(guardian) != os.getsid(holds_out.program.pid)
        holds_out.press_ctrl_c()
        await holds_out.shows(b'"caught"')
        holds_out.close()
        await asyncio.sleep(ALIVE)
        await live(wire, holds_out.program)
        assert guardians_of(holds_out.program.pid) == [guardian]
        ends_by_ctrl_c.press_ctrl_c()
        ends_with_it.close()
        for each in (ends_by_ctrl_c, ends_with_it):
            assert await soon(asyncio.to_thread(each.process.wait))
    finally:
        for each in started:
            await each.end()
    ends_by_ctrl_c.close()
    await closed_in_time(wire, *programs)

"""A command for `golea run`, which writes to a shared log that it runs: `beating.py LOG KIND`.

Each line is written at once, at the end: `TOKEN PID EVENT`. The order of the lines is that of the events, whatever
process writes them. It says `begin` when it begins, `beat` every 5 ms, and `end` when it ends by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

PAUSE = 0.005
MEMORY = 2 << 30


class Beating:
    """Writes to the log."""

    def __init__(self, log: str) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: str) -> None:
        os.write(self._log, f"{os.environ['GOLEA_FENCING_TOKEN']} {os.getpid()} {event}\n".encode())

    def beat(self, seconds: float = 3600) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.write("beat")
            time.sleep(PAUSE)


def ignore(_: Beating) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def fork_a_tree(_: Beating) -> None:
    for _number in range(3):  # eight processes
        os.fork()


def fork_a_daemon(beating: Beating) -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        ignore(beating)


def fill_the_pipe(_: Beating) -> None:
    threading.Thread(target=lambda: sys.stdout.write("x" * (1 << 24)), daemon=True).start()


def hold_memory(beating: Beating) -> None:
    held.append(bytearray(MEMORY))
    for page in range(0, MEMORY, 4096):
        held[0][page] = 1
    beating.write("filled")


def leave_a_child(beating: Beating) -> None:
    if os.fork() == 0:
        os.setsid()
        return
    beating.beat(0.5)
    beating.write("end")
    os._exit(5)


held: list[bytearray] = []
KINDS = {
    "plain": lambda _: None,
    "ignores": ignore,
    "tree": fork_a_tree,
    "daemon": fork_a_daemon,
    "pipe": fill_the_pipe,
    "memory": hold_memory,
    "leaves": leave_a_child,
}

if __name__ == "__main__":
    here = Beating(sys.argv[1])
    here.write("begin")
    KINDS[sys.argv[2]](here)
    here.beat()

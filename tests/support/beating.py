"""A command for `golea run`, which writes to a shared log that it runs: `beating.py LOG KIND`.

Each line is written at once, at the end: `TOKEN PID EVENT`. The order of the lines is that of the events, whatever process
writes them. It says `begin` when it begins, `beat` every 5 ms, and `end` when it ends by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

PAUSE = 0.005
MEMORY = 2 << 30


def main(log: str, kind: str) -> None:
    """Run, as one of the kinds."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(event: str) -> None:
        os.write(descriptor, f"{os.environ['GOLEA_FENCING_TOKEN']} {os.getpid()} {event}\n".encode())

    def beat(seconds: float = 3600) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            write("beat")
            time.sleep(PAUSE)

    write("begin")
    match kind:
        case "ignores":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        case "tree":
            for _ in range(3):  # eight processes
                os.fork()
        case "daemon":
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "pipe":
            threading.Thread(target=lambda: sys.stdout.write("x" * (1 << 24)), daemon=True).start()
        case "memory":
            held = bytearray(MEMORY)
            for page in range(0, MEMORY, 4096):
                held[page] = 1
            write("filled")
        case "leaves":
            if os.fork() == 0:
                os.setsid()
                beat()
            beat(0.5)
            write("end")
            os._exit(5)
    beat()


if __name__ == "__main__":
    main(*sys.argv[1:])

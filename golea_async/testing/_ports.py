"""Free loopback ports that nobody's outgoing connection can take."""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
import zlib
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
# Below the range from which Linux and macOS take the ports of outgoing connections. A port within that range can be
# taken while a killed server is away, and a client that connects to a dead one can even end up connected to itself.
FIRST_PORT, LAST_PORT = 15000, 32000
PARTS = 17


def choose_free_ports(count: int) -> list[int]:
    """Return different ports on which nobody listens at this moment; somebody may before they are used."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((LOOPBACK, next(_candidates)))
            except OSError:
                candidate.close()
                continue
            held.append(candidate)
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _ports_of(run: str, worker: str) -> Iterator[int]:
    """Return the ports in the order in which this process tries them.

    A killed server leaves its port free until it is back. So no process offers a port again before it has offered all
    its others, and the workers of one run of pytest-xdist (`gw0`, `gw1`, ...) offer different ones. The order is not
    drawn from the module's generator: pytest-randomly seeds that one alike in all workers, before each test.
    """
    first, count = FIRST_PORT, LAST_PORT - FIRST_PORT
    number = re.fullmatch(r"gw(\d+)", worker)
    if number is not None:
        count //= PARTS
        first += (zlib.crc32(run.encode()) + int(number[1])) % PARTS * count
    start = random.SystemRandom().randrange(count)
    ports = range(first, first + count)
    return itertools.cycle([*ports[start:], *ports[:start]])


_candidates = _ports_of(os.environ.get("PYTEST_XDIST_TESTRUNUID", ""), os.environ.get("PYTEST_XDIST_WORKER", ""))

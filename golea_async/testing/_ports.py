"""Free loopback ports that nobody's outgoing connection can take."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range from which Linux and macOS take the ports of outgoing connections. A port within that range can be
# taken while a killed server is away, and a client that connects to a dead one can even end up connected to itself.
FIRST_PORT, LAST_PORT = 15000, 32000


def choose_free_ports(count: int) -> list[int]:
    """Different ports on which nobody listens at this moment; somebody may before they are used."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((LOOPBACK, random.randint(FIRST_PORT, LAST_PORT)))
            except OSError:
                candidate.close()
                continue
            held.append(candidate)
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()

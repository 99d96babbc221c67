"""Whether bytes have come on a socket that the event loop has not read."""

from __future__ import annotations

import asyncio
import select


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Look at the transport's socket, now: after a blocked event loop an event may lie there.

    A transport without a socket has none that could be unread. A closed or broken one counts as unread.
    """
    socket = transport.get_extra_info("socket")
    if socket is None:
        return False
    descriptor = socket.fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))

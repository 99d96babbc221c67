"""How long to wait before every server is tried once more."""

from __future__ import annotations

import asyncio
import random

BACKOFF_START = 0.05
BACKOFF_CAP = 1.0
BACKOFF_CAP_SHARE = 1 / 8
BACKOFF_START_SHARE = 1 / 80


class Backoff:
    """Pauses between rounds of tries: a tenth of the time that it has lasted, with jitter, from 0.05 s up to 1 s.

    So whoever was away for 5 s is tried again within 0.5 s of being back, and who is away for long is left in peace.
    With a short session timeout T both ends are shorter, 1/80 and 1/8 of it: a session is not lost while this waits.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    async def pause(self, timeout: float) -> None:
        """Wait; ``timeout`` is T."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        start, cap = min(BACKOFF_START, BACKOFF_START_SHARE * timeout), min(BACKOFF_CAP, BACKOFF_CAP_SHARE * timeout)
        delay = min(max((now - self._since) / 10, start), cap)
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))

    def reset(self) -> None:
        """Begin anew: the connection has lasted."""
        self._since = None

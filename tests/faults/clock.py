"""One clock for all processes of a run."""

from __future__ import annotations

import sys
import time


def now() -> float:
    """Seconds, comparable between the processes of one machine, and never set back."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()

"""The clock by which leases are kept."""

from __future__ import annotations

import sys
import time

if sys.platform == "linux":

    def boottime() -> float:
        """Seconds on a clock that never jumps and also counts the time for which the machine was suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

elif sys.platform == "darwin":  # pragma: no cover - coverage is measured on Linux

    def boottime() -> float:
        """Seconds on a clock that never jumps and also counts sleep, where ``time.monotonic`` stops. Untested."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

else:  # pragma: no cover - as above

    def boottime() -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()

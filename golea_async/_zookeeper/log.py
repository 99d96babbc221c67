"""Log lines that decide nothing: who leads must not depend on what an application does with them."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from typing import Any

_OF_THE_CALLER = 2
"""Frames up from here, to whoever has something to say."""


class Log(logging.LoggerAdapter[logging.Logger]):
    """Writes to a logger; what the application's handlers and filters raise goes to standard error, and no further.

    ``logging`` does the same for its own handlers. But what a filter raises, or a handler that does not call
    ``handleError``, comes out of the call: in the middle of a step, and in whatever else is told by the same answer.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, None)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line; raise nothing."""
        try:
            self.logger.log(level, msg, *args, stacklevel=_OF_THE_CALLER, **kwargs)
        except Exception:  # noqa: BLE001  # whatever it is
            if logging.raiseExceptions and sys.stderr is not None:
                with contextlib.suppress(OSError, ValueError):  # nobody reads it
                    traceback.print_exc()

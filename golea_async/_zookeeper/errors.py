"""What goes wrong with a client's requests and connections.

Which :class:`golea_async.ElectionError` a refused request becomes is decided in ``_protocol/refusals.py``.
"""

from __future__ import annotations

from aiozk import exc


class OutcomeUnknownError(exc.ConnectError):
    """The request was sent, then the connection died: nobody knows whether ZooKeeper carried it out.

    A subclass of :class:`aiozk.exc.ConnectError`.

    :ivar is_final: whether it is no use to send it again: the server has ended the connection at it each time.
    """

    def __init__(self, host: str, port: int, reason: str, *, is_final: bool = False) -> None:
        super().__init__(host, port)
        self.reason = reason
        self.is_final = is_final

    def __str__(self) -> str:
        return f"outcome unknown: the connection to {self.host}:{self.port} ended before the reply ({self.reason})"


class NotSentError(exc.ConnectError):
    """The request was never sent, so that it changed nothing: the client is not started, is closed or has given up.

    A subclass of :class:`aiozk.exc.ConnectError`.
    """

    def __init__(self, reason: str, host: str | None = None, port: int | None = None) -> None:
        super().__init__(host, port)
        self.reason = reason

    def __str__(self) -> str:
        return f"not sent: {self.reason}"


class AuthenticationError(exc.ZKError):
    """A server refused what was given as ``auth=``. The text names the scheme, never the credential."""


class GarbageError(Exception):
    """A server sent what no ZooKeeper server sends."""

"""What a server sends, read with the suspicion that it is no ZooKeeper server."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from aiozk import protocol

from .errors import GarbageError
from .wire import ReadsItsReply

REPLY_HEADER = struct.Struct("!iqi")
_CONNECT_REPLY = struct.Struct("!iiqi")
_NOT_READ_ONLY = -119


@dataclass(frozen=True, slots=True)
class ConnectReply:
    """What a server answers to a ConnectRequest. A timeout and a session id of 0 mean that the session is gone."""

    timeout: float
    session_id: int
    password: bytes
    read_only: bool

    @property
    def session_is_gone(self) -> bool:
        return self.timeout == 0 and self.session_id == 0

    @classmethod
    def parse(cls, frame: bytes) -> ConnectReply:
        """Reads the reply, whose last byte (read-only) servers before 3.4 do not send; aiozk's class lacks it."""
        if len(frame) == REPLY_HEADER.size:
            raise GarbageError(_refusal(REPLY_HEADER.unpack(frame)[2]))
        _, milliseconds, session_id, length = _CONNECT_REPLY.unpack_from(frame)
        end = _CONNECT_REPLY.size + max(length, 0)
        if milliseconds < 0 or (milliseconds == 0) != (session_id == 0) or end > len(frame):
            raise GarbageError("a reply to the ConnectRequest that makes no sense")
        return cls(milliseconds / 1000, session_id, frame[_CONNECT_REPLY.size : end], frame[end : end + 1] == b"\x01")


def _refusal(error_code: int) -> str:
    """Say what a server means that answers a ConnectRequest as it would another request."""
    if error_code == _NOT_READ_ONLY:
        return "it is cut off from the ensemble and makes no sessions (it would with localSessionsEnabled=true)"
    return f"it refused a session (error {error_code})"


def understood(parse: Any, *data: Any) -> Any:
    try:
        return parse(*data)
    except GarbageError:
        raise
    except Exception as error:  # a parser raises whatever the bytes lead it to: struct.error, KeyError, ...
        raise GarbageError(f"the server sent what cannot be read ({type(error).__name__})") from error


def read_reply(request: Any, frame: bytes) -> Any:
    if isinstance(request, ReadsItsReply):
        return request.read(frame, REPLY_HEADER.size)
    return protocol.response_xref[request.opcode].deserialize(frame[REPLY_HEADER.size :])

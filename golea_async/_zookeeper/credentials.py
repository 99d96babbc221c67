"""What a client knows of its session, and what a server's reply to a ConnectRequest makes of that. Pure."""

from __future__ import annotations

from enum import Enum, auto

from .frames import ConnectReply

NO_PASSWORD = bytes(16)

OUTLIVED = (
    "session %s is over: for %.1f s every server that answered has refused it, and what this client has seen (up to "
    "zxid %#x) they do not have: ZooKeeper's data were wiped, or an older snapshot was restored; a new session begins "
    "on the data that are there"
)
"""What a log line says of a session that no server can know any more."""


class Grant(Enum):
    """What a reply to the ConnectRequest says."""

    SAME = auto()
    """The session that was asked for, or a new one when none was asked for."""
    GONE = auto()
    """The session that was asked for is over."""
    FOREIGN = auto()
    """Another session in its place: the one that was asked for is over."""
    NONE = auto()
    """No session, although a new one was asked for."""


class Credentials:
    """One session's id and password, its negotiated timeout, and the greatest zxid that was seen in it.

    :ivar session_id: 0 when there is none.
    :ivar timeout: the negotiated session timeout in seconds; before that, the one to be asked for.
    :ivar is_local: a server that is cut off has made the session for itself; no other server knows it.
    """

    def __init__(self, requested_timeout: float) -> None:
        self.requested_timeout = requested_timeout
        self.last_zxid = 0
        self.forget()

    def forget(self) -> None:
        """The session is over. The next one begins with zxid 0: it is a new reader, whom every server takes."""
        self.session_id = 0
        self.password = NO_PASSWORD
        self.timeout = self.requested_timeout
        self.is_local = False
        self.last_zxid = 0

    def saw(self, zxid: int) -> None:
        """Raise the last zxid: a server that is behind it is not taken within this session."""
        self.last_zxid = max(self.last_zxid, zxid)

    def judge(self, reply: ConnectReply) -> Grant:
        """Return what a reply says of this session."""
        if reply.session_is_gone:
            return Grant.GONE if self.session_id else Grant.NONE
        return Grant.SAME if self.session_id in (0, reply.session_id) else Grant.FOREIGN

    def take(self, reply: ConnectReply) -> None:
        """Go on with the session that a reply grants."""
        self.is_local = reply.read_only and (self.is_local or self.session_id == 0)
        if self.session_id != reply.session_id:
            self.last_zxid = 0
        self.session_id, self.password, self.timeout = reply.session_id, reply.password, reply.timeout


def hexadecimal(session_id: int) -> str:
    """Write a session's id as ZooKeeper's own logs do: unsigned."""
    return f"{session_id & 0xFFFFFFFFFFFFFFFF:#x}"

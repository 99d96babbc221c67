"""What is known of a session, whatever connection it has, and what replies make of that. Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from aiozk import WatchEvent

from .frames import ConnectReply
from .suspects import Suspects
from .watches import WatchCallback, Watches

NO_PASSWORD = bytes(16)
LAST_XID = 0x7FFFFFFF

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


class SessionRecord:
    """One session: who it is, what was seen in it, and what is watched.

    :ivar session_id: 0 when there is none.
    :ivar timeout: the negotiated session timeout in seconds; before that, the one to be asked for.
    :ivar is_local: a server that is cut off has made the session for itself; no other server knows it.
    :ivar last_zxid: the greatest that was seen: a server that is behind it is not taken within this session.
    :ivar xid: the latest request's number.
    :ivar watches: what the application watches.
    :ivar suspects: which request ends the connection each time.
    """

    def __init__(self, requested_timeout: float) -> None:
        self.requested_timeout = requested_timeout
        self.xid: int = 0
        self.watches: Watches = Watches()
        self.suspects: Suspects = Suspects()
        self.forget()

    def forget(self) -> None:
        """The session is over. The next one begins with zxid 0: it is a new reader, whom every server takes.

        Whoever waits for an event goes on waiting.
        """
        self.session_id: int = 0
        self.password: bytes = NO_PASSWORD
        self.timeout: float = self.requested_timeout
        self.is_local: bool = False
        self.last_zxid: int = 0
        self.watches.forget_kinds()

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

    def next_xid(self) -> int:
        """Return the number of the next request.

        They go on through a session, whatever connection they travel on: a server matches a commit with what it has
        pending by session and number alone (CommitProcessor.java:326), so a request that had the number of a write
        which is still under way from an earlier connection would get that one's answer.
        """
        self.xid = self.xid % LAST_XID + 1
        return self.xid

    def answered(self, request: Any, zxid: int, result: Any) -> list[WatchCallback]:
        """Take note of an answer; return whom to tell that the request's znode was deleted while no watch was set."""
        self.last_zxid = max(self.last_zxid, zxid)
        if self.suspects.count:
            self.suspects.answered(request)
        if self.watches.callbacks and self.watches.request_answered(request, result):
            return self.watches.fire(WatchEvent.DELETED, request.path)
        return []


def hexadecimal(session_id: int) -> str:
    """Write a session's id as ZooKeeper's own logs do: unsigned."""
    return f"{session_id & 0xFFFFFFFFFFFFFFFF:#x}"

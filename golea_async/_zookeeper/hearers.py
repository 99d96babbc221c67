"""Who hears of what happens on a connection."""

from __future__ import annotations

from typing import Any, Protocol

from .wire import WatchKind


class Owner(Protocol):
    """Who is told what happens on a connection; all calls are made from within the event loop and must not block."""

    def next_xid(self) -> int:
        """Return the next request's number: no other request of the session has it, on whatever connection it went."""

    def reply_received(self, request: Any, zxid: int, result: Any) -> None: ...
    def watch_fired(self, event: Any) -> None: ...
    def awaits_event(self, path: str) -> bool: ...
    def connection_lost(self, connection: Any, reason: str) -> None: ...


class Watcher(Protocol):
    """Who sets watches and is no owner. Paths are absolute."""

    def hear(self, event_type: int, path: str) -> None: ...
    def listens(self, path: str, kind: WatchKind) -> bool: ...

"""Sessions and when they expire (ZooKeeper's `SessionTrackerImpl` and `ExpiryQueue`). Pure: the time is an argument.

Times are in milliseconds of a clock that only runs forward. A session ends at the first tick after its timeout: ticks
are the same for all sessions, so that a session lives at least its timeout and less than a tick more.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

PASSWORD_LENGTH = 16


@dataclass(slots=True)
class Session:
    """`server` is the one through which its client came last: writes through another are refused."""

    session_id: int
    password: bytes
    timeout: int
    server: int
    expires: int = 0


class Sessions:
    """All sessions of the ensemble."""

    def __init__(self, tick: int, generator: random.Random) -> None:
        self._tick = tick
        self._generator = generator
        # The highest byte is a server's number in ZooKeeper; the rest starts with the time, here with chance.
        self._next_id = 1 << 56 | generator.getrandbits(32) << 16
        self._sessions: dict[int, Session] = {}
        # By the tick at which they expire, so that a tick looks only at those that do.
        self._buckets: dict[int, dict[int, None]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def all(self) -> list[Session]:
        return list(self._sessions.values())

    def find(self, session_id: int) -> Session | None:
        return self._sessions.get(session_id)

    def open(self, timeout: int, server: int, now: int) -> Session:
        password = self._generator.randbytes(PASSWORD_LENGTH)
        session = Session(self._next_id, password, timeout, server)
        self._next_id += 1
        self._sessions[session.session_id] = session
        self._postpone(session, now)
        return session

    def touch(self, session: Session, now: int) -> None:
        """Its client was heard of."""
        self._leave_bucket(session)
        self._postpone(session, now)

    def remove(self, session_id: int) -> None:
        self._leave_bucket(self._sessions.pop(session_id))

    def restart(self, now: int) -> None:
        """All timeouts begin anew, as they do with a new leader of the ensemble."""
        for session in self.all():
            self.touch(session, now)

    def expired(self, now: int) -> list[int]:
        """The sessions whose time is over, in the order in which it ended."""
        due = sorted(tick for tick in self._buckets if tick <= now)
        return [session_id for tick in due for session_id in self._buckets[tick]]

    def next_expiry(self) -> int | None:
        """The tick at which, as things are, the next session expires."""
        return min(self._buckets, default=None)

    def _postpone(self, session: Session, now: int) -> None:
        session.expires = ((now + session.timeout) // self._tick + 1) * self._tick
        self._buckets.setdefault(session.expires, {})[session.session_id] = None

    def _leave_bucket(self, session: Session) -> None:
        bucket = self._buckets[session.expires]
        del bucket[session.session_id]
        if not bucket:
            del self._buckets[session.expires]

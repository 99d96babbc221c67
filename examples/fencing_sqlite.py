"""A database that refuses a leader of the past: `python examples/fencing_sqlite.py` shows it.

The lease keeps two leaders from believing at once. It cannot call back what a leader sent before it lost its post: a
request may sit in a queue, a thread or a paused machine, and arrive when another one leads. So every write carries the
leader's fencing token, and the store takes it only if it has seen no greater one. docs/fencing.md explains why the
comparison must be a part of the write.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


class StaleTokenError(Exception):
    """The write was refused: the store has heard of a later leader. Nothing was written."""


class FencedStore:
    """Keys and values in an SQLite file, which any number of processes on this machine may open.

    The calls block, if only for a moment. In an asyncio program make them as `await asyncio.to_thread(store.put, ...)`,
    each thread with a store of its own.
    """

    def __init__(self, path: Path, timeout: float = 5) -> None:
        """Open or make the file; `timeout` is how many seconds to wait while another process writes."""
        # None: the transactions are those that are begun below, and no others.
        self._database = sqlite3.connect(path, timeout=timeout, isolation_level=None)
        with self._writing():
            self._database.execute("CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._database.execute("CREATE TABLE IF NOT EXISTS fence (election TEXT PRIMARY KEY, token INT NOT NULL)")

    def close(self) -> None:
        self._database.close()

    def get(self, key: str) -> str | None:
        """The value, or None."""
        row = self._database.execute("SELECT value FROM entry WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, election: str, token: int, key: str, value: str) -> None:
        """Set a value as the leader of `election` with this fencing token.

        :raises StaleTokenError: a later leader of this election has been here.
        """
        with self._writing():
            self._pass_fence(election, token)
            self._database.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", (key, value))

    def announce(self, election: str, token: int) -> None:
        """Write nothing, but shut out all earlier leaders: what a new leader does first, before it reads.

        :raises StaleTokenError: a later leader of this election has been here.
        """
        with self._writing():
            self._pass_fence(election, token)

    def _pass_fence(self, election: str, token: int) -> None:
        """Compare and set, in the transaction of the write itself: nobody comes between the two."""
        raised = self._database.execute(
            "INSERT INTO fence VALUES (?, ?) ON CONFLICT (election) DO UPDATE SET token = excluded.token"
            " WHERE fence.token <= excluded.token",
            (election, token),
        )
        if raised.rowcount == 0:
            raise StaleTokenError(f"token {token} of {election} is stale: a later leader has written here")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        # IMMEDIATE: takes the lock before the first look, so that of two writers one waits for the other.
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def demonstrate(path: Path) -> None:
    """Two leaders, one after the other, and a write of the first that comes late.

    In a program the token is `leadership.fencing_token`, within `async with election.leadership() as leadership`.
    """
    election, first, second = "/election", 4294967300, 4294967412
    with closing(FencedStore(path)) as at_the_first, closing(FencedStore(path)) as at_the_second:
        at_the_first.put(election, first, "job", "step 1, by the first")
        print("the first leader writes:", at_the_first.get("job"))
        at_the_second.announce(election, second)
        print("the second leader reads:", at_the_second.get("job"))
        at_the_second.put(election, second, "job", "step 2, by the second")
        print("the second leader writes:", at_the_second.get("job"))
        try:
            at_the_first.put(election, first, "job", "step 2, by the first")
        except StaleTokenError as error:
            print("the first leader's late write is refused:", error)
        print("the store still has:", at_the_first.get("job"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        demonstrate(Path(directory) / "store.sqlite")

"""Looking, from time to time, for what a server does not tell.

Since the mend of CVE-2024-23944 (ZooKeeper 3.8.4 and 3.9.2) a server keeps the event of a watch from whoever may not
read the znode *by then*. So whose predecessor's access control list was changed would never hear of its deletion, and
would follow a znode that is not there for ever. The quorum tells it all the same: a check of a missing znode says that
it is missing, whoever may read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from golea_async._protocol.refusals import Refusal, kind_of
from golea_async._protocol.steps import ConnectionLostError
from golea_async._zookeeper.replies import Reply, failed_operation, is_missing, is_refused

from .channel import Channel
from .watch_table import Event, Watch

# Each counts as a keep-alive. Candidates that only stand send the next one T/3 later, before the next survey: with both
# their client sends four to five writes in a session timeout.
SURVEY_SHARE = 15 / 32

# Of one packet, which a server takes up to 1 MB of by default, and of one transaction, which holds up all others.
_MOST_CHECKS = 500
_MOST_BYTES = 250_000


class Survey:
    """Asks about what is watched on one client's connection; nothing is sent while nothing is watched."""

    def __init__(self, current_channel: Callable[[], Channel | None], session_timeout: Callable[[], float]) -> None:
        self._current_channel = current_channel
        self._session_timeout = session_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._round: _Round | None = None

    def start(self) -> None:
        """Begin; the first one is due in about half a session timeout."""
        wait = SURVEY_SHARE * self._session_timeout()
        self._timer = asyncio.get_running_loop().call_later(wait, self._begin_round)

    def stop(self) -> None:
        """End: the last user of the client has gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._round is not None:
            self._round.stop()
            self._round = None

    def _begin_round(self) -> None:
        channel = self._current_channel()
        if channel is not None and (self._round is None or self._round.has_ended):
            self._round = _Round(channel)
        self.start()


class _Round:
    """One look at everything that is watched, a transaction of checks after the other.

    :ivar has_ended: whether no answer is awaited any more.
    """

    def __init__(self, channel: Channel) -> None:
        self.has_ended = False
        self._channel = channel
        watches = channel.watches.known_znodes()
        self._there = [watch for watch in watches if watch.shows]
        self._missing = [watch for watch in watches if not watch.shows]
        self._ask()

    def stop(self) -> None:
        """Take no further answer."""
        self.has_ended = True

    def _ask(self) -> None:
        """Ask about the next ones that were there, and, with the first of them, about all that were missing."""
        channel = self._channel
        self._checked = self._take()
        checks = [channel.check_operation(watch.path) for watch in self._checked]
        self._looked_at, self._missing = self._missing, []
        requests = [channel.multi(*checks)] if checks else []
        requests += [channel.exists(watch.path) for watch in self._looked_at]
        if not requests:
            self.has_ended = True
            return
        try:
            self._asked = channel.ask(*requests)
        except ConnectionLostError:
            self.has_ended = True
            return
        self._count = len(requests)
        self._asked.when_answered(self._count, self.told)

    def _take(self) -> list[Watch]:
        size = count = 0
        for watch in self._there[:_MOST_CHECKS]:
            size += len(watch.path.encode())
            if count and size > _MOST_BYTES:
                break
            count += 1
        taken, self._there = self._there[:count], self._there[count:]
        return taken

    def told(self) -> None:
        """Tell whoever watches of what was not told; to be called when the answers have come, or never will."""
        if self.has_ended:
            return
        try:
            replies = self._asked.take(self._count)
        except ConnectionLostError:
            self.has_ended = True
            return
        if self._checked:
            self._read_checks(replies.pop(0))
        for watch, reply in zip(self._looked_at, replies, strict=True):
            if _is_there(reply):
                self._channel.fire_untold(Event.CREATED, watch)
        if not self.has_ended:
            self._ask()

    def _read_checks(self, reply: Reply) -> None:
        """A transaction ends with the first operation that fails: those behind it are asked about again."""
        failed = failed_operation(reply)
        if failed is None:
            self.has_ended = is_refused(reply)  # refused as a whole: later
            return
        place, error = failed
        if kind_of(error) is not Refusal.FINAL:
            self.has_ended = True
            return
        self._there[:0] = self._checked[place + 1 :]
        if is_missing(error):
            self._channel.fire_untold(Event.DELETED, self._checked[place])


def _is_there(reply: Reply) -> bool:
    """Whether an `exists` shows a znode, or says that it is there and must not be read: that is final, too."""
    return not is_missing(reply) and (not is_refused(reply) or kind_of(reply) is Refusal.FINAL)

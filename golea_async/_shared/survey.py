"""Looking, from time to time, for what a server does not tell.

Since the mend of CVE-2024-23944 (ZooKeeper 3.8.4 and 3.9.2) a server keeps the event of a watch from whoever may not
read the znode *by then*. So whose predecessor's access control list was changed would never hear of its deletion, and
would follow a znode that is not there for ever. The quorum tells it all the same: a check of a missing znode says that
it is missing, whoever may read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from golea_async._protocol.refusals import Refusal, kind_of
from golea_async._protocol.steps import ConnectionLostError
from golea_async._zookeeper.replies import Reply, failed_operation, is_missing, is_refused

from .batch import Batch
from .channel import Channel
from .watch_table import Event, Watch

# Each counts as a keep-alive. Candidates that only stand send the next one T/3 later, before the next survey: with both
# their client sends four to five writes in a session timeout.
SURVEY_SHARE = 15 / 32

# Of one packet, which a server takes up to 1 MB of by default, and of one transaction, which holds up all others.
_MOST_CHECKS = 500
_MOST_BYTES = 250_000


class Survey:
    """Asks about what is watched on one client's connection; nothing is sent while nothing is watched.

    While a keep-alive renews the lease a part of the survey is sent in place of its next write, which proves as much:
    between two of them it would put off the next one, and what that is to prove would be older by then.

    :param current_channel: returns the client's present channel, or None while there is none.
    :param session_timeout: returns that, in seconds.
    :param has_turns: returns whether a keep-alive renews the lease here, and calls :meth:`take_turn`.
    :param answered: called when the answers to a part have come, or never will.
    """

    def __init__(
        self,
        current_channel: Callable[[], Channel | None],
        session_timeout: Callable[[], float],
        has_turns: Callable[[], bool],
        answered: Callable[[], None],
    ) -> None:
        self._current_channel = current_channel
        self._session_timeout = session_timeout
        self._has_turns = has_turns
        self._answered = answered
        self._timer: asyncio.TimerHandle | None = None
        self._round: _Round | None = None

    def start(self) -> None:
        """Begin; the first one is due in about half a session timeout."""
        wait = SURVEY_SHARE * self._session_timeout()
        self._timer = asyncio.get_running_loop().call_later(wait, self._fall_due)

    def stop(self) -> None:
        """End: the last user of the client has gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._round is not None:
            self._round.stop()
            self._round = None

    def take_turn(self, channel: Channel) -> Batch | None:
        """Send what is to be asked next, a quorum write with it, and return that; None when nothing of that kind is.

        :raises ConnectionLostError: when the connection has ended.
        """
        if self._round is None or self._round.channel is not channel or not self._round.has_checks:
            return None
        return self._round.ask()

    def _fall_due(self) -> None:
        channel = self._current_channel()
        if channel is not None and (self._round is None or self._round.channel is not channel or self._round.has_ended):
            self._round = _Round(channel, self._go_on)
        self._go_on()
        self.start()

    def _go_on(self) -> None:
        """Ask at once, unless a part is under way or waits for the keep-alive's turn.

        Behind a part that was refused the next one goes at once: when many znodes have just gone each part is refused
        in its turn, and meanwhile nothing would renew the lease.
        """
        asked = self._round
        if asked is not None and (asked.was_refused or not (asked.has_checks and self._has_turns())):
            with suppress(ConnectionLostError):
                asked.ask()
        self._answered()


class _Round:
    """One look at everything that is watched, a transaction of checks after the other.

    :ivar channel: on which it asks.
    :ivar has_ended: whether nothing is left to ask, and no answer is awaited any more.
    :ivar was_refused: whether one of its transactions was, and so has renewed nothing.

    :param answered: called when the answers to a part have come, or never will.
    """

    def __init__(self, channel: Channel, answered: Callable[[], None]) -> None:
        self.channel = channel
        self.has_ended = self.was_refused = False
        self._answered = answered
        self._asked: Batch | None = None
        self._count = 0
        watches = channel.watches.known_znodes()
        self._there = [watch for watch in watches if watch.shows]
        self._missing = [watch for watch in watches if not watch.shows]
        self._checked: list[Watch] = []
        self._looked_at: list[Watch] = []

    def stop(self) -> None:
        """Take no further answer."""
        self.has_ended = True

    @property
    def has_checks(self) -> bool:
        """Whether the next part has a transaction with it, and may be sent."""
        return bool(self._there) and self._asked is None and not self.has_ended

    def ask(self) -> Batch | None:
        """Ask about the next ones that were there, and, with the first of them, about all that were missing.

        Nothing while a part is under way, or when nothing is left.

        :raises ConnectionLostError: when the connection has ended; so has the round then.
        """
        if self._asked is not None or self.has_ended:
            return None
        channel, self._checked = self.channel, self._take()
        checks = [channel.check_operation(watch.path) for watch in self._checked]
        self._looked_at, self._missing = self._missing, []
        requests = [channel.multi(*checks)] if checks else []
        requests += [channel.exists(watch.path) for watch in self._looked_at]
        self.has_ended = True
        if not requests:
            return None
        self._asked, self._count = channel.ask(*requests), len(requests)
        self.has_ended = False
        self._asked.when_answered(self._count, self.told)
        return self._asked

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
        asked, self._asked = self._asked, None
        if asked is None or self.has_ended:
            return
        try:
            replies = asked.take(self._count)
        except ConnectionLostError:
            self.has_ended = True
        else:
            self._read(replies)
        self._answered()

    def _read(self, replies: list[Reply]) -> None:
        if self._checked:
            self._read_checks(replies.pop(0))
        for watch, reply in zip(self._looked_at, replies, strict=True):
            if _is_there(reply):
                self.channel.fire_untold(Event.CREATED, watch)

    def _read_checks(self, reply: Reply) -> None:
        """A transaction ends with the first operation that fails: those behind it are asked about again."""
        failed = failed_operation(reply)
        self.was_refused = self.was_refused or is_refused(reply) or failed is not None
        if failed is None:
            self.has_ended = is_refused(reply)  # refused as a whole: later
            return
        place, error = failed
        if kind_of(error) is not Refusal.FINAL:
            self.has_ended = True
            return
        self._there[:0] = self._checked[place + 1 :]
        if is_missing(error):
            self.channel.fire_untold(Event.DELETED, self._checked[place])


def _is_there(reply: Reply) -> bool:
    """Whether an `exists` shows a znode, or says that it is there and must not be read: that is final, too."""
    return not is_missing(reply) and (not is_refused(reply) or kind_of(reply) is Refusal.FINAL)

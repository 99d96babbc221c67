"""The keep-alive: quorum writes that change nothing, for all of a client's candidates together."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from golea_async._protocol.refusals import Refusal, kind_of
from golea_async._protocol.steps import ConnectionLostError
from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.replies import Reply, first_failure

from .batch import Batch
from .channel import Channel
from .lasting import lasts
from .lease import Lease
from .pace import UNDER_WAY, Pace
from .stall import Delays, Stall

# After a blocked event loop an answer may lie in the socket, and timers come before it has been read.
_READING_SHARE = 1 / 64

# The event loop's timers stand still while the machine is suspended; a body is to hear of a lapse soon after that.
_LONGEST_SLEEP = 0.15

_QUICK_SHARE = 1 / 64
"""Where answers take no longer, each lease is renewed in time."""

_CLOCK_TICK = 0.001
"""No timer is set for less: rounding must not make the loop turn without time passing."""


Refused: TypeAlias = Callable[[Reply], None]


class _Write(NamedTuple):
    """One of them under way."""

    channel: Channel
    path: str | None  # that it checks; None: a survey, which reads its answers itself
    batch: Batch


class KeepAlive:
    """Quorum writes for the candidates of one client: they renew the lease, tell when it lapses, and test the server.

    Their pace stands in :mod:`golea_async._shared.pace`. One coroutine does all of it: a loop that sleeps until the
    next moment at which something is due, or until something has changed. The host of the client's background tasks
    runs it.

    :param channel: returns the client's present channel, or None while there is none.
    :param notify: called when the lease lapses while somebody here holds it, and when it will last, after all, of which
        :meth:`will_last` has said that it would not.
    :param survey: sends what of a survey is due and is a quorum write, which then takes the place of one of these.
    """

    def __init__(
        self,
        channel: Callable[[], Channel | None],
        notify: Callable[[], None],
        survey: Callable[[Channel], Batch | None],
    ) -> None:
        self._current_channel = channel
        self._notify = notify
        self._survey = survey
        self._paths: dict[str, Refused] = {}  # of the candidates that hold the lease, in the order of the checks
        self._elections: list[str] = []  # in which candidates stand, one entry for each
        self._changed = asyncio.Event()
        self._channel: Channel | None = None  # what that was when it was looked at
        self._lease: Lease | None = None  # of the latest channel
        self._pace = Pace()
        self._under_way: deque[_Write] = deque()  # on that channel, oldest first
        self._suspected_at: float | None = None  # when the oldest was found to be unanswered for too long
        self._valid_since = math.inf  # the lease
        self._is_waited_for = False  # that the lease lasts
        self._waits_since = -math.inf  # who is the first, at the longest
        self._delays = Delays()

    # ------------------------------------------------------------------ for whom

    def stand(self, resource: str, began: float) -> None:
        """Test the client's server for a candidate of this election, from its nomination until its znode is gone.

        :param began: when its nomination was about to be sent.
        """
        self._elections.append(resource)
        if len(self._elections) == 1:
            self._pace.begin(began)
            self._look_at_channel()
            self.look()

    def stand_no_more(self, resource: str) -> None:
        """Test it for this candidate no longer."""
        self._elections.remove(resource)
        if not self._elections:
            self.look()

    def hold(self, path: str, refused: Refused) -> None:
        """Keep the lease alive for the candidate at ``path``, which stands, and leads or is about to.

        :param refused: called with the reply when one is: the znode is gone, or must not be read any more.
        """
        self._paths[path] = refused
        if len(self._paths) == 1:
            self._waits_since = boottime()
            self.look()

    def release(self, path: str) -> None:
        """Keep it alive for this candidate no longer."""
        self._paths.pop(path, None)

    @property
    def renews(self) -> bool:
        """Whether somebody here holds the lease, so that its writes are due."""
        return bool(self._paths)

    def will_last(self, channel: Channel) -> bool:
        """Whether the lease will be renewed in time, if the next answers take as long as the last one.

        Who is the first does not lead before that: it would lose the lead at once, for want of quorum writes of late.
        It waits for T at the most, from when it was the first, or lost a lease that had lasted. With answers that are
        too slow for any lease, it leads with interruptions.
        """
        timeout, now = channel.lease.timeout, boottime()
        took = self._took(channel, now)
        if took <= _QUICK_SHARE * timeout or (self._paths and now >= self._waits_since + timeout):
            return True
        under_way = [write.batch for write in self._under_way if not write.batch.is_complete]
        left = channel.lease.remaining
        due = max(now, self._write_due(channel, self._pace.latest(channel.written_at), now, left, leads=True))
        if len(under_way) >= UNDER_WAY:
            due = max(due, under_way[0].sent_at + took)
        is_lasting = lasts(channel, now=now, took=took, under_way=under_way, due=due)
        self._is_waited_for |= not is_lasting
        return is_lasting

    def look(self) -> None:
        """Look again: the connection, the lease or who stands has changed."""
        self._changed.set()
        self._delays.hurry()

    def stall(self) -> Stall:
        """Return what has held up the renewal of the lease, which has just lapsed."""
        return self._delays.stall(self._lease)

    # ------------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Send what is due, while candidates stand."""
        while self._elections:
            self._changed.clear()
            self._notice_connection()
            self._notice_answers()
            now, left = boottime(), 0.0 if self._lease is None else self._lease.remaining
            self._notice_lapse(now, is_valid=left > 0)
            due = math.inf if self._channel is None else self._send_what_is_due(self._channel, now, left)
            self._notice_lasting()
            await self._sleep_until(min(due, self._leave_if_silent(now), self._lapse_due(now, left)))
        self._under_way.clear()
        self._channel = None

    def _look_at_channel(self) -> None:
        self._channel = self._current_channel()
        if self._channel is not None:
            self._lease = self._channel.lease

    def _notice_connection(self) -> None:
        """On a new connection, whoever leads sends at once."""
        former = self._channel
        self._look_at_channel()
        if self._channel is not None and self._channel is not former and self._paths:
            self._pace.restart()

    def _notice_answers(self) -> None:
        while self._under_way and self._under_way[0].batch.is_complete:
            write = self._under_way.popleft()
            self._suspected_at = None
            if write.path is None:
                continue
            with suppress(ConnectionLostError):
                (reply,) = write.batch.take(1)
                self._pace.answered(write.channel.answered_at - write.batch.sent_at)
                self._notice_refusal(write.path, reply)

    def _notice_refusal(self, path: str, reply: Reply) -> None:
        failure, refused = first_failure(reply), self._paths.get(path)
        # What was not done is asked again when the next one is due: of eight in T any one will do.
        if failure is None or refused is None or kind_of(failure) is Refusal.TRY_AGAIN:
            return
        del self._paths[path]  # go on with another one's
        self._paths[path] = refused
        refused(reply)

    def _notice_lapse(self, now: float, *, is_valid: bool) -> None:
        since, self._valid_since = self._valid_since, min(self._valid_since, now) if is_valid else math.inf
        if since == math.inf or is_valid or self._lease is None:
            return
        if now >= since + self._lease.timeout:  # answers are not too slow for a lease that lasts
            self._waits_since = now
        if self._paths:
            self._notify()

    def _notice_lasting(self) -> None:
        """Have those look again that wait for a lease that lasts."""
        if self._is_waited_for and self._paths and self._channel is not None and self.will_last(self._channel):
            self._is_waited_for = False
            self._notify()

    def _send_what_is_due(self, channel: Channel, now: float, left: float) -> float:
        """Send what is due on this channel; return when something is due next.

        :param left: seconds for which the lease is valid.
        """
        last = self._pace.latest(channel.written_at)
        leads = bool(self._paths)
        write_due = self._write_due(channel, last, now, left, leads=leads)
        if len(self._under_way) < UNDER_WAY and write_due <= now:
            self._send(channel)
            last = self._pace.latest(channel.written_at)
            write_due = self._write_due(channel, last, now, left, leads=leads)
        if len(self._under_way) >= UNDER_WAY:
            write_due = math.inf  # until one of them is answered
        touch_due = self._touch_due(channel, last, now)
        if touch_due <= now:
            self._pace.touched(now)
            channel.touch(self._elections[0])
            touch_due = self._touch_due(channel, last, now)
        return min(write_due, touch_due)

    def _send(self, channel: Channel) -> None:
        path, batch = None, self._survey(channel) if self._paths else None
        if batch is None:
            path = next(iter(self._paths), self._elections[0])
            batch = channel.ask(channel.check(path))
            batch.when_answered(1, self.look)
        self._pace.sent(batch.sent_at)
        self._under_way.append(_Write(channel, path, batch))

    def _leave_if_silent(self, now: float) -> float:
        """Go to another server when this one is too slow; return when to look at that again."""
        if not self._under_way:
            return math.inf
        channel, silent_from = self._under_way[0].channel, self._silent_from()
        reading = _READING_SHARE * channel.lease.timeout
        if now < silent_from:
            self._suspected_at = None
            return silent_from
        if self._suspected_at is None:
            self._suspected_at = now  # let the event loop read once more
        elif now >= self._suspected_at + reading:
            self._suspected_at = None
            self._pace.moved(now)
            channel.abandon()
            return self._silent_from()
        return self._suspected_at + reading

    # ------------------------------------------------------------------ when

    def _write_due(self, channel: Channel, last: float, now: float, left: float, *, leads: bool) -> float:
        """Return when the next write is due."""
        return self._pace.write_due(
            channel.lease.timeout,
            now=now,
            leads=leads,
            last=last,
            proves_from=channel.proves_from(last) if leads else math.inf,
            remaining=now + left - last if left > 0 else -math.inf,
            took=self._took(channel, now),
            was_limited=channel.was_limited and not self._under_way,
            is_waited_for=self._is_waited_for and not self._under_way and last < self._waits_since,
        )

    def _touch_due(self, channel: Channel, last: float, now: float) -> float:
        unanswered_since = self._unanswered_since()
        if channel.written_at < self._pace.begun_at:
            unanswered_since = min(unanswered_since, self._pace.begun_at)  # the nomination
        return self._pace.touch_due(
            channel.lease.timeout,
            now=now,
            leads=bool(self._paths),
            last=last,
            took=channel.write_took,
            unanswered_since=unanswered_since,
        )

    def _took(self, channel: Channel, now: float) -> float:
        """Return how long the latest answer to a write took, or the next one takes by now."""
        return max(channel.write_took, now - self._unanswered_since())

    def _unanswered_since(self) -> float:
        """Return when the oldest keep-alive was sent that is not answered; infinity when all are."""
        return next((write.batch.sent_at for write in self._under_way if not write.batch.is_complete), math.inf)

    def _silent_from(self) -> float:
        oldest = self._under_way[0]
        channel, sent_at, answered_at = oldest.channel, oldest.batch.sent_at, oldest.channel.answered_at
        if channel.answered_sent_at > sent_at:  # its turn has passed, so it is lost; aiozk does not mind
            answered_at = sent_at
        return self._pace.silent_from(channel.lease.timeout, sent_at, answered_at)

    def _lapse_due(self, now: float, left: float) -> float:
        """Return when to look whether the lease has lapsed."""
        return now + min(left, _LONGEST_SLEEP) if self._paths and left > 0 else math.inf

    async def _sleep_until(self, moment: float) -> None:
        now = boottime()
        wakes_at = max(moment, now + _CLOCK_TICK)
        self._delays.sleep(wakes_at)
        timer = None
        if moment < math.inf:
            timer = asyncio.get_running_loop().call_later(wakes_at - now, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._delays.wake(self._lease)

"""When the next keep-alive is due, and when a server is too slow. Pure: moments go in, moments come out.

All shares are of T, the session timeout. The derivation stands in docs/lease.md; in short, with answers that take L:

- A write is sent every 1/8 while somebody here leads, at most eight per T, and at most two are under way: a slow quorum
  is answered late, but as often.
- What a write's success proves is a touch that was acknowledged 11/40 before it was sent (see :mod:`lease`). So
  before each write, that much and the usual L earlier, something is sent that touches the session and costs no quorum.
- Hence the deadline lies 5/6 - 11/40 - L behind the sending of the last write that has succeeded. Its answer comes L
  after that, and the next one's 1/8 later: leading goes on while 1/8 + 2 L < 67/120, so up to L = 0.21.
- A server is left when a write on it is unanswered for 0.3, and for three times what writes take in the median: all of
  an ensemble may stall for so long, or be that slow, and then nothing is gained on another server.
"""

from __future__ import annotations

import math
import random
from collections import deque
from statistics import median

from .lease import KEEP_ALIVE_SHARE, SAFE_BEFORE_A_HALT, TOUCH_TRAVELS

STANDING_SHARE = 1 / 3
"""A server that is cut off from the ensemble goes on answering reads and pings, so only a write tells what stands
behind it. By 1/3 + 0.35 + 1/64 those that only stand have left it: soon enough to take their sessions along."""

STALL_SHARE = 0.3
"""For so long a write may be unanswered, whatever is usual."""

JITTER = 7 / 6
"""Up to so many times as long: the clients of a server that stalls do not leave it all at once."""

SLOW_FACTOR = 3
"""For so many times the usual it may be unanswered."""

_HASTE_SHARE = 1 / 32
"""While the lease is void, the next write may follow after so long."""

_SHORT_SHARE = KEEP_ALIVE_SHARE + 1 / 32
"""What a lease has to be valid for behind the sending of a write, if the next one, T/8 later, is to be in time."""

UNDER_WAY = 2
"""So many writes at most are sent before the first of them is answered."""

_REMEMBERED = 8
_MARGIN = 1 / 128
"""For timers that are late, of what is sent to be acknowledged in time."""

_SLOW_SHARE = 1 / 64
"""Where one of the latest answers took longer, or the next one does by now, answers are slow. Then the session is
touched more often."""

_STANDING_SLOW_SHARE = 1 / 32
"""The same, of those that only stand: what the first lease of the next leader rests on is sent before. There may be
thousands of them, and with answers that take less than this they need no pings."""

_TOUCH_SHARE = 1 / 64

_LONGEST_ESTIMATE = 1 / 4
"""What was answered later than that says how long a stall was, and not how long the next answer takes."""


class Pace:
    """The pace of one client's keep-alives, on whatever connection they travel.

    :ivar moved_at: when the client last left a server for being slow.
    :ivar begun_at: when the first of those that stand was nominated.
    """

    def __init__(self) -> None:
        self.moved_at = -math.inf
        self._sent: deque[float] = deque(maxlen=_REMEMBERED)  # when the latest writes were sent
        self._took: deque[float] = deque(maxlen=_REMEMBERED)  # how long the latest answers took
        self._last = -math.inf  # when the last write on this connection was sent
        self.begun_at = self._touched_at = -math.inf
        self._jitter = random.uniform(1, JITTER)

    def begin(self, now: float) -> None:
        """Begin with a nomination, which is a write itself: the first keep-alive is to notice that it hangs."""
        self.begun_at = self._last = now

    def restart(self) -> None:
        """On a new connection nothing was proved yet: a write is due at once."""
        self._last = -math.inf

    def sent(self, now: float) -> None:
        """Take note of a write that was sent."""
        self._sent.append(now)
        self._last = now

    def touched(self, now: float) -> None:
        """Take note of something else that was sent to touch the session."""
        self._touched_at = now

    def answered(self, took: float) -> None:
        """Take note of how long an answer to a write took."""
        self._took.append(took)

    def moved(self, now: float) -> None:
        """Take note that the server is left."""
        self.moved_at = now
        self._jitter = random.uniform(1, JITTER)

    def latest(self, written_at: float) -> float:
        """Return when the last write on this connection was sent.

        :param written_at: when the newest quorum write was sent that has come through: any is as good as a keep-alive.
        """
        return max(self._last, written_at)

    def write_due(
        self,
        timeout: float,
        *,
        now: float,
        leads: bool,
        last: float,
        proves_from: float,
        remaining: float,
        took: float = 0.0,
        was_limited: bool = False,
        is_waited_for: bool = False,
    ) -> float:
        """Return when the next write is due.

        :param last: when the last one was sent.
        :param proves_from: from when on a write proves more than that one.
        :param remaining: for how long the lease is valid after that one's sending; negative when it is void.
        :param took: how long the latest answer took, or the next one takes by now.
        :param was_limited: whether that one was the first write for long, and has proved less than another one would.
        :param is_waited_for: whether somebody is the first now, and waits to hear how long answers take, to lead.
        """
        if not leads:  # no more often while answers are slow: that could keep them slow for ever
            return last + STANDING_SHARE * timeout
        due = last + self._spacing(timeout, last)
        in_time = (SAFE_BEFORE_A_HALT - 2 * KEEP_ALIVE_SHARE - 2 * _MARGIN) * timeout - took
        latest = min(last + remaining, due + KEEP_ALIVE_SHARE * timeout, last + in_time)
        if is_waited_for or (was_limited and remaining < _SHORT_SHARE * timeout):
            due = last
        elif remaining <= 0 and proves_from < math.inf:
            hasty = max(proves_from, last + _HASTE_SHARE * timeout)
            # The lease reaches further when another write was answered before this one (Write.latest_touch), so nothing
            # is left out on the way to it; but it does not come later for that.
            if hasty < max(due, now) + _HASTE_SHARE * timeout:
                due = hasty
        elif due < proves_from < latest:
            # Before that it would prove nothing new. It is put off for less than T/8: what it proves then goes no
            # further than 15/22 T behind the one before (Write.latest_touch), which must not have been sent long ago.
            # The next one may be sent before this one is answered, and then goes no further either, so the one after
            # that has to be answered by then.
            due = proves_from
        within_eight = self._sent[0] + timeout if len(self._sent) == _REMEMBERED else -math.inf
        return max(due, within_eight)

    def _spacing(self, timeout: float, last: float) -> float:
        """Return how far apart the next writes are: as far as eight in T allow, if some of late were sent in haste."""
        if last == -math.inf:
            return 0.0  # a new connection
        ahead = _REMEMBERED - len(self._sent) + 1
        spread = [(sent_at + timeout - last) / number for number, sent_at in enumerate(self._sent, ahead)]
        return max([KEEP_ALIVE_SHARE * timeout, *spread])

    def touch_due(
        self, timeout: float, *, now: float, leads: bool, last: float, took: float, unanswered_since: float
    ) -> float:
        """Return when something is to be sent that the next writes can prove; infinity when that was done.

        Whoever has just been nominated may be about to lead.

        :param last: when the last write was sent.
        :param took: how long the last one took whose answer has come.
        :param unanswered_since: when the oldest was sent that is not answered; infinity: all are.
        """
        slowest = max([took, now - unanswered_since, *self._took])
        slow = (_SLOW_SHARE if leads else _STANDING_SLOW_SHARE) * timeout
        # Nobody wakes for that whose nomination is unanswered: with answers of T/5 its first lease would come later.
        slow_from = -math.inf if slowest > slow else (unanswered_since + slow if leads else math.inf)
        # When the next stall begins, the newest touch is to be a new one.
        again = max(slow_from, max(self._touched_at, last) + _TOUCH_SHARE * timeout)
        is_about_to_lead = last < self.begun_at + timeout / 2
        if self._touched_at >= last or not (leads or is_about_to_lead):
            return again
        ahead = (TOUCH_TRAVELS + _MARGIN) * timeout + min(slowest, _LONGEST_ESTIMATE * timeout)
        behind_write = -ahead % (KEEP_ALIVE_SHARE * timeout)
        # The write itself touches the session, and does for what would be sent just behind it.
        return again if behind_write < _MARGIN * timeout else min(again, last + behind_write)

    def silent_from(self, timeout: float, sent_at: float, answered_at: float) -> float:
        """Return from when on a server is to be left for not having answered a write.

        :param answered_at: when it answered anything: it answers one connection in order, and while others are answered
            (thousands may be joining, and this process may be what is slow) this one's turn has not come.
        """
        usual = median(self._took) if self._took else 0.0
        patience = max(STALL_SHARE * timeout * self._jitter, SLOW_FACTOR * usual)
        return max(max(sent_at, answered_at) + patience, self.moved_at + timeout)

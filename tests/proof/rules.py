"""What the lease rests on: each rule can be dropped, to see what it is for."""

from __future__ import annotations

from enum import StrEnum


class Rule(StrEnum):
    """One sentence that the proof uses. Those of ZooKeeper are read in its sources, the others are assumed."""

    # ------------------------------------------------------------------ assumed: docs/lease.md, "What it assumes"

    SAME_TICK = "tickTime is the same on all servers"
    TWO_TICKS = "T is at least two ticks of the server that grants it"
    SAME_LIMITS = "every ZooKeeper leader knows the T that was granted"
    CLOCK_RATES = "two machines' clocks run at rates at most 10 % apart"
    CLOCK_GOES_ON = "the client's clock does not stand still"
    PINGS = "ZooKeeper's leader asks for touches each half tick, and the client's server answers at once"
    HISTORY = "ZooKeeper does not forget: a leader that is elected later knows the session"
    BY_HAND = "nobody deletes the candidate's znode"

    # ------------------------------------------------------------------ ZooKeeper's own: docs/lease.md, "The formula"

    TOUCH = "what counts as acknowledged has touched the session (`auth` has not)"
    STREAM = "the report of a touch and a later write travel on one stream, in order"
    OWN_ANSWER = "the answer to the write is the answer to this write"
    QUORUM = "the answer to the write comes after its commit (that to a read does not)"
    HEARD = "ZooKeeper's leader keeps a session for T from when it hears of a touch"
    CONNECT = "a ConnectRequest is passed on to ZooKeeper's leader, which touches the session"
    ANEW = "a leader that is elected later starts the time of every session anew"

    # ------------------------------------------------------------------ this library's

    OLD_ENOUGH = "the write is sent 11/40 T after the touch was acknowledged"
    ACKNOWLEDGED = "the touch was acknowledged, not only sent"
    LEASE_SHARE = "the deadline is 5/6 T after the sending of the touch"


FORGOTTEN: dict[Rule, str] = {
    Rule.SAME_TICK: "the tick of ZooKeeper's leader is twice that of the server that granted T",
    Rule.TWO_TICKS: "T is one tick",
    Rule.SAME_LIMITS: "ZooKeeper's leader knows half of T",
    Rule.CLOCK_RATES: "rates are up to 25 % apart",
    Rule.CLOCK_GOES_ON: "the client's clock may stand still",
    Rule.PINGS: "the report of a touch takes as long as it likes",
    Rule.HISTORY: "a leader that is elected later does not know the session",
    Rule.BY_HAND: "somebody deletes the znode",
    Rule.TOUCH: "the request that was acknowledged did not touch the session",
    Rule.STREAM: "the write may overtake the report",
    Rule.OWN_ANSWER: "the answer is that to an older write, which was left behind on another connection",
    Rule.QUORUM: "the client's server answers by itself",
    Rule.HEARD: "ZooKeeper's leader keeps the session for 3/4 T",
    Rule.CONNECT: "a ConnectRequest touches nothing",
    Rule.ANEW: "a leader that is elected later counts from the ConnectRequest",
    Rule.OLD_ENOUGH: "the write may be sent as soon as the touch is acknowledged",
    Rule.ACKNOWLEDGED: "11/40 T are counted from the sending of the touch",
    Rule.LEASE_SHARE: "the deadline is T after the sending of the touch",
}
"""What takes a rule's place when it is dropped."""

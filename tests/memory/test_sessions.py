"""When sessions expire: ZooKeeper's buckets, without a clock."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from golea_async.testing._sessions import Sessions

ticks = st.integers(1, 3000)
times = st.integers(0, 10**9)


@given(tick=ticks, timeout=st.integers(1, 10**5), touches=st.lists(st.integers(0, 10**4), min_size=1), start=times)
def test_lives_its_timeout_and_at_most_a_tick_more(tick: int, timeout: int, touches: list[int], start: int) -> None:
    sessions = Sessions(tick, random.Random(1))
    now = start
    session = sessions.open(timeout, server=0, now=now)
    for pause in touches:
        now += min(pause, timeout)
        assert sessions.expired(now) == []
        sessions.touch(session, now)
    expiry = sessions.next_expiry()
    assert expiry is not None
    assert expiry % tick == 0
    assert now + timeout < expiry <= now + timeout + tick
    assert sessions.expired(expiry - 1) == []
    assert sessions.expired(expiry) == [session.session_id]
    sessions.remove(session.session_id)
    assert (len(sessions), sessions.next_expiry()) == (0, None)


@given(timeouts=st.lists(st.integers(1, 500), min_size=1, max_size=20))
def test_expire_in_the_order_of_their_ticks(timeouts: list[int]) -> None:
    sessions = Sessions(100, random.Random(1))
    opened = [sessions.open(timeout, 0, now=0) for timeout in timeouts]
    assert len({session.session_id for session in opened}) == len({session.password for session in opened})
    expired = sessions.expired(10**6)
    assert sorted(expired) == sorted(session.session_id for session in opened)
    ends = {session.session_id: session.expires for session in opened}
    assert [ends[session_id] for session_id in expired] == sorted(ends.values())


def test_a_new_leader_starts_every_timeout_anew() -> None:
    sessions = Sessions(100, random.Random(1))
    session = sessions.open(1000, server=0, now=0)
    sessions.restart(now=1090)
    assert sessions.expired(1100) == []
    assert sessions.expired(2100) == [session.session_id]

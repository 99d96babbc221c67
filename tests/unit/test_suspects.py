"""Which request is taken for the cause when connections end, in ends that are made up."""

from __future__ import annotations

from aiozk import protocol

from golea_async._zookeeper.suspects import TRIES, Suspects

REQUEST = protocol.ExistsRequest(path="/", watch=False)


def test_who_loses_one_connection_sends_at_once_on_the_next() -> None:
    """On a slow ensemble a leader has no time to await the answer to a ping first."""
    suspects = Suspects()
    assert suspects.connection_ended(REQUEST, had_answered=True) is None
    assert not suspects.calls_for_ping
    assert suspects.connection_ended(REQUEST, had_answered=False) is None
    assert suspects.calls_for_ping


def test_a_request_is_given_up_when_connections_that_had_answered_end_at_it_too() -> None:
    suspects = Suspects()
    for _ in range(2):
        assert suspects.connection_ended(REQUEST, had_answered=False) is None
    assert suspects.connection_ended(REQUEST, had_answered=False) is None  # which says nothing of the request
    said = [suspects.connection_ended(REQUEST, had_answered=True) for _ in range(TRIES - 2)]
    assert [each is not None for each in said] == [False, False, True]
    assert suspects.verdict(REQUEST) == said[-1]

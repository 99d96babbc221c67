"""What follows from each of ZooKeeper's error codes."""

from __future__ import annotations

import pytest
from aiozk import exc, protocol

from golea_async import ElectionError, NotAuthorizedError
from golea_async._protocol.refusals import (
    REFUSALS,
    NotDoneError,
    Refusal,
    accept,
    is_elsewhere,
    is_present,
    kind_of,
    leaves_doubt,
    pause_before,
    require_done,
)
from golea_async._zookeeper.wire import response_error

# KeeperException.Code of ZooKeeper 3.9, without OK.
CODES = {
    *(-1, -2, -3, -4, -5, -6, -7, -8, -12, -13, -14),
    *(-100, -101, -102, -103, -108, -110, -111, -112, -113, -114, -115),
    *(-118, -119, -120, -121, -122, -123, -124, -125, -127),
}
THROTTLED = response_error(-127)


def failed_multi(*codes: int) -> protocol.TransactionResponse:
    """A transaction's reply with these results; 0 stands for "rolled back"."""
    reply = protocol.TransactionResponse()
    reply.responses = [response_error(code) for code in codes]
    return reply


def test_every_code_of_zookeeper_has_its_place() -> None:
    assert set(REFUSALS) == CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_accept_does_what_the_table_says(code: int) -> None:
    error = response_error(code)
    assert is_elsewhere(error) == (REFUSALS[code] is Refusal.ELSEWHERE)
    expected = NotDoneError if REFUSALS[code] is Refusal.TRY_AGAIN else ElectionError
    with pytest.raises(expected):
        accept(error, path="/e", resource="/e")
    with pytest.raises(expected):
        accept(failed_multi(0, code, -2), path="/e")


def test_a_code_that_nobody_knows_is_final_and_leaves_a_write_in_doubt() -> None:
    error = response_error(-999)
    assert kind_of(error) is Refusal.FINAL
    assert leaves_doubt(error)
    with pytest.raises(ElectionError, match="-999"):
        accept(error, path="/e")


def test_only_a_server_that_failed_leaves_a_write_in_doubt() -> None:
    assert [code for code in CODES if leaves_doubt(response_error(code))] == [exc.MarshallingError.error_code]


@pytest.mark.parametrize("code", [-102, -115, -124])
def test_what_may_not_be_done_says_so(code: int) -> None:
    with pytest.raises(NotAuthorizedError, match="authenticat") as raised:
        accept(response_error(code), path="/e/le_0000000001", resource="/e")
    assert raised.value.path == "/e/le_0000000001"


@pytest.mark.parametrize(
    ("code", "way_out"),
    [(-125, "setquota"), (-120, "localSessionsUpgradingEnabled"), (-6, "3.5"), (-114, "default_acl")],
)
def test_a_final_refusal_says_what_to_do(code: int, way_out: str) -> None:
    with pytest.raises(ElectionError, match=way_out):
        accept(response_error(code), path="/e")


def said(error: exc.ResponseError) -> tuple[type[Exception], str, str | None, str | None]:
    """Return what follows from a refusal: the error's class, its text, and whom it is about."""
    with pytest.raises(ElectionError) as raised:
        accept(error, path="/e/DONE", resource="/e", candidate_id="/e/le_0000000001")
    return type(raised.value), str(raised.value), raised.value.resource, raised.value.candidate_id


def test_a_refusal_by_permission_in_full() -> None:
    assert said(exc.NoAuth()) == (
        NotAuthorizedError,
        (
            "ZooKeeper does not let this client work on /e/DONE: its access control list, or its parent's, says no; "
            "authenticate the client (golea_async.ZKClient has auth=) or have the permissions changed"
        ),
        "/e",
        "/e/le_0000000001",
    )


def test_a_demand_to_authenticate_in_full() -> None:
    error = response_error(-124)
    expected = f"ZooKeeper refused a request on /e/DONE: {error}"
    assert said(error) == (NotAuthorizedError, expected, "/e", "/e/le_0000000001")


def test_another_refusal_in_full() -> None:
    text = (
        f"ZooKeeper refused a request on /e/DONE: {exc.Unimplemented()} (code -6); the server does not know such a "
        "request: ZooKeeper 3.5 or later is needed"
    )
    assert said(exc.Unimplemented()) == (ElectionError, text, "/e", "/e/le_0000000001")
    text = f"ZooKeeper refused a request on /e/DONE: {exc.BadVersion()} (code -103)"
    assert said(exc.BadVersion()) == (ElectionError, text, "/e", "/e/le_0000000001")


def test_a_presence_that_is_refused_names_the_election() -> None:
    with pytest.raises(ElectionError, match="/e/DONE") as raised:
        is_present(exc.BadArguments(), path="/e/DONE", resource="/e")
    assert raised.value.resource == "/e"


def test_what_is_tolerated_is_returned() -> None:
    missing = response_error(-101)
    assert accept(missing, exc.NoNode, path="/e") is missing


def test_a_throttled_request_is_never_tolerated_as_another_refusal() -> None:
    with pytest.raises(NotDoneError):
        accept(THROTTLED, exc.NoNode, exc.NoAuth, path="/e")
    with pytest.raises(NotDoneError):
        is_present(THROTTLED, path="/e/DONE")
    with pytest.raises(NotDoneError):
        require_done(response_error(-101), THROTTLED)


def test_a_refusal_that_was_an_answer_is_done() -> None:
    require_done(response_error(-101), response_error(-102), failed_multi(-101), protocol.DeleteResponse())


def test_who_may_not_read_done_knows_that_it_is_there() -> None:
    assert is_present(response_error(-102), path="/e/DONE")
    assert not is_present(response_error(-101), path="/e/DONE")


def test_pauses_double_up_to_a_second() -> None:
    pauses = [pause_before(attempt) for attempt in range(1, 9)]
    assert pauses == pytest.approx([0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0])
    assert pause_before(10**6) == 1.0

"""What the library relies on in aiozk beyond its documentation: all of it is in this table, and each row is tried.

A row that fails with a new aiozk says what has to be looked at before that version can be supported.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiozk
import pytest
from aiozk import connection, exc, protocol, session, states
from aiozk.features import Features

import golea_async
from tests.support.parsed import parsed

LIBRARY = Path(golea_async.__file__).parent


class Row(NamedTuple):
    """One thing.

    :ivar names: attributes of a session, of its connection or of its state, with which the library reads or sets it.
    :ivar why: what breaks without it.
    """

    names: set[str]
    why: str
    check: Callable[[], None]


def new_session() -> Any:
    return aiozk.ZKClient("one:2181,[::1]:2182").session


def new_connection() -> Any:
    return connection.Connection("one", 2181, watch_handler=print, read_timeout=None)


def fresh_state() -> None:
    fresh = new_session()
    assert fresh.hosts == [("one", "2181"), ("::1", "2182")]
    assert (fresh.conn, fresh.session_id, fresh.last_zxid, fresh.repair_loop_task) == (None, None, None, None)
    assert (fresh.started, fresh.closing, fresh.xid, fresh.timeout) == (False, False, 0, 10)


def state_machine() -> None:
    async def transitions() -> None:
        machine = new_session().state
        assert type(machine) is states.SessionStateMachine
        assert machine.current_state == states.States.LOST
        waiting = machine.wait_for(states.States.CONNECTED, states.States.READ_ONLY)
        assert waiting in machine.futures[states.States.CONNECTED]
        assert waiting in machine.futures[states.States.READ_ONLY]
        machine.transition_to(states.States.CONNECTED)
        assert waiting.done()
        assert machine == states.States.CONNECTED
        with pytest.raises(exc.InvalidStateTransition):
            machine.transition_to(states.States.CONNECTED)
        assert machine.wait_for(states.States.CONNECTED).done()

    asyncio.run(transitions())
    assert {name for name in vars(states.States) if name.isupper()} == {"CONNECTED", "SUSPENDED", "READ_ONLY", "LOST"}


def watch_callbacks() -> None:
    async def dispatch() -> list[str]:
        told: list[str] = []
        fresh, event = new_session(), protocol.WatchEvent(type=2, state=3, path="/a")
        fresh.add_watch_callback(2, "/a", told.append)
        assert fresh.watch_callbacks == {(2, "/a"): {told.append}}
        fresh.event_dispatch(event)
        await asyncio.sleep(0)
        fresh.remove_watch_callback(2, "/a", told.append)
        assert not fresh.watch_callbacks
        return told

    assert asyncio.run(dispatch()) == ["/a"]


def repair_steps() -> None:
    """The loop calls them by their names on the session, so that a session's own come before its class's."""

    class Found:
        start_read_only = False

    async def connect(host: str, port: str) -> Found:
        tried.append((host, port))
        return Found()

    tried: list[tuple[str, str]] = []
    fresh = new_session()
    fresh.make_connection = connect
    asyncio.run(fresh.find_server(allow_read_only=False))
    assert isinstance(fresh.conn, Found)
    assert len(tried) == 1
    assert "await self.set_existing_watches()" in inspect.getsource(session.Session.repair_loop)
    assert inspect.iscoroutinefunction(session.Session.set_existing_watches)


class Writer:
    """Takes what a connection writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def requests_on_a_connection() -> None:
    async def ask() -> None:
        wire = new_connection()
        wire.writer = Writer()
        future = wire.send(protocol.PingRequest())
        assert isinstance(future, asyncio.Future)
        get = wire.send(protocol.GetDataRequest(path="/a", watch=False), xid=7)
        assert wire.writer.written[1][4:12] == bytes([0, 0, 0, 7, 0, 0, 0, 4])
        assert wire.pending == {7: get}

    asyncio.run(ask())
    source = inspect.getsource(connection.Connection.read_loop)
    assert "f.set_result((zxid, response))" in source
    assert "self.watch_handler(response)" in source


def reader_of_a_connection() -> None:
    wire = new_connection()
    assert (wire.reader, wire.writer, wire.read_loop_task, wire.watch_handler) == (None, None, None, print)
    source = inspect.getsource(connection.Connection)
    assert "self.reader, self.writer = await asyncio.open_connection(" in source
    assert "self.read_loop_task = asyncio.create_task(" in source


def reader_of_asyncio() -> None:
    async def make() -> bytearray:
        return vars(asyncio.StreamReader())["_buffer"]  # type: ignore[no-any-return]

    assert asyncio.run(make()) == b""


def error_classes() -> None:
    assert exc.response_error_xref[-101] is exc.NoNode
    unknown = exc.UnknownError.__new__(exc.UnknownError)
    assert isinstance(unknown, exc.ResponseError)
    error = exc.ConnectError("one", 2181)
    assert (error.host, error.port) == ("one", 2181)


def requests() -> None:
    request = protocol.GetDataRequest(path="/a", watch=True)
    assert (request.opcode, request.special_xid, request.writes_data) == (4, None, False)
    assert protocol.Create2Request.writes_data
    assert request.serialize(7) == bytes([0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2]) + b"/a\x01"
    assert protocol.response_xref[4] is protocol.GetDataResponse
    assert (protocol.WATCH_XID, protocol.PING_XID, protocol.AUTH_XID) == (-1, -2, -4)
    transaction = protocol.TransactionRequest()
    transaction.add(protocol.CheckVersionRequest(path="/a", version=1))
    assert [type(part) for part in transaction.requests] == [protocol.CheckVersionRequest]


def client() -> None:
    fresh: Any = aiozk.ZKClient("one:2181", chroot="/app")
    assert {"session", "stat_cache", "default_acl", "recipes", "chroot"} <= vars(fresh).keys()
    assert fresh.normalize_path("/a") == "/app/a"
    assert Features((3, 5, 1)).create_with_stat
    assert Features((3, 5, 1)).containers
    assert "self.session.send(request)" in inspect.getsource(aiozk.ZKClient.send)


TABLE = {
    "a session's state": Row(
        {"hosts", "conn", "session_id", "last_zxid", "repair_loop_task", "started", "closing", "xid", "timeout"},
        "which connection and session there is, and whether the client runs, is read here",
        fresh_state,
    ),
    "the state machine": Row(
        {"state", "current_state", "wait_for", "transition_to", "futures"},
        "connections are noticed, and given up, through it",
        state_machine,
    ),
    "watches": Row(
        {"watch_callbacks", "event_dispatch", "add_watch_callback", "remove_watch_callback"},
        "what an application watches is left alone",
        watch_callbacks,
    ),
    "two steps of the repair loop": Row(
        {"make_connection", "set_existing_watches"}, "they are bounded while an election is on the client", repair_steps
    ),
    "requests on a connection": Row(
        {"send", "watch_handler"}, "the library's requests are written to it", requests_on_a_connection
    ),
    "the reader of a connection": Row(
        {"reader", "writer", "read_loop_task"},
        "its end is the connection's",
        reader_of_a_connection,
    ),
    "the buffer of asyncio's stream reader": Row(set(), "what lies in it was not read yet", reader_of_asyncio),
    "classes of errors": Row(set(), "they are raised for ZooKeeper's codes", error_classes),
    "requests and replies": Row(set(), "the library's own are subclasses", requests),
    "the client": Row(set(), "ZKClient is a subclass", client),
}

OWN_SESSION = {
    "acknowledgements",
    "connect_sent_at",
    "give_up_posted",
    "has_unread",
    "hear",
    "heard_at",
    "listens",
    "post",
    "process",
    "remove_watches",
    "suspects",
    "touch",
}
"""What only the sessions and connections of golea_async.ZKClient have."""


@pytest.mark.parametrize("name", TABLE)
def test_aiozk_is_as_the_library_takes_it_to_be(name: str) -> None:
    try:
        TABLE[name].check()
    except Exception as changed:
        changed.add_note(f"aiozk {aiozk.__version__} has changed {name}: {TABLE[name].why}.")
        raise


def test_the_table_has_all_that_the_library_reads_of_a_session() -> None:
    """So far as it runs on a plain client: in its floor of shared things."""
    known = set.union(OWN_SESSION, *(row.names for row in TABLE.values()))
    for path in sorted((LIBRARY / "_shared").glob("*.py")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute) and owner(node.value) in {"session", "_session", "_wire", "state"}:
                assert node.attr in known, f"{path.name}:{node.lineno} reads {ast.unparse(node)}: enter it in the table"


def owner(node: ast.expr) -> str:
    """Return the last name of what an attribute is read from."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""

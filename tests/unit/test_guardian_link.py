"""What the guardian of a process is told, however much that is at once."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from golea_async._zookeeper import guardian
from golea_async._zookeeper.guardian import GuardianLink
from golea_async._zookeeper.guardian_process import MESSAGE_SIZE
from tests.support.elections import SOON, eventually

CLIENTS = [f"client {number}" for number in range(1000)]
"""Several times as many as there are orders that a socket takes before it is full."""


class Played:
    """Guardians that take orders when the test has them do so.

    :ivar started: the sockets of those that were asked for, one each.
    """

    def __init__(self) -> None:
        self.started: list[socket.socket] = []

    def start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.settimeout(SOON)
        self.started.append(theirs)
        return ours

    async def take_orders(self, expected: dict[str, dict[str, Any]]) -> None:
        """Have the latest take orders, until it knows these sessions, or, where there are none, is told to end."""
        orders, known, is_to_end = self.started[-1], dict[str, dict[str, Any]](), False
        while known != expected or not (expected or is_to_end):
            order = json.loads(await asyncio.to_thread(orders.recv, MESSAGE_SIZE))
            if "session" in order:
                known[order["name"]] = order
            elif "forget" in order:
                known.pop(order["forget"], None)
            elif "end" in order:
                is_to_end = True
            else:
                orders.send(json.dumps({"hello": 0}).encode())


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    played = Played()
    monkeypatch.setattr(guardian, "inherited_guardian", played.start)
    yield played
    for each in played.started:
        each.close()


def begin_all(link: GuardianLink, password: str) -> dict[str, dict[str, Any]]:
    """Have all clients guarded; return their sessions."""
    sessions = {client: {"name": client, "session": 1, "password": password, "timeout": 30} for client in CLIENTS}
    for client, session in sessions.items():
        link.begin(client)
        link.guard(client, session)
    return sessions


async def test_more_than_its_socket_takes(played: Played, caplog: pytest.LogCaptureFixture) -> None:
    """It does nothing before all have begun, changed or ended: it is told all of it, and there is no other one."""
    link = GuardianLink()
    for password in ("first", "second"):
        sessions = begin_all(link, password)
        await eventually(lambda: bool(played.started))
        await played.take_orders(sessions)
    for client in CLIENTS:
        link.end(client)
    await played.take_orders({})
    assert len(played.started) == 1
    assert caplog.messages == []


async def test_a_guardian_that_is_stopped(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its socket is full, and stays so, another one is told all."""

    def start() -> socket.socket:
        monkeypatch.setattr(guardian, "TAKE_TIMEOUT", SOON if played.started else 0.1)
        return played.start()

    monkeypatch.setattr(guardian, "inherited_guardian", start)
    link = GuardianLink()
    sessions = begin_all(link, "password")
    await eventually(lambda: len(played.started) == 2)
    await played.take_orders(sessions)
    for client in CLIENTS:
        link.end(client)
    await played.take_orders({})

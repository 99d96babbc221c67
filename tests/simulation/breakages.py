"""Fourteen ways to break the library. The simulation has to find each, or it proves nothing of the unbroken one."""

from __future__ import annotations

import copy
import math
import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from golea_async import ZKClient
from golea_async._protocol import departure as _departure
from golea_async._protocol import handing_over as _handing_over
from golea_async._protocol.claims import Claims
from golea_async._protocol.teardown import Teardown
from golea_async._protocol.view import View
from golea_async._shared import channel as _zk
from golea_async._shared import keepalive as _keepalive
from golea_async._shared import lease as _lease
from golea_async._shared.channel import Channel
from golea_async._shared.keepalive import KeepAlive
from golea_async._zookeeper import connection as _connection
from golea_async._zookeeper import guardian_talk
from golea_async._zookeeper import replies as _replies
from golea_async._zookeeper.requests import Requests
from golea_async._zookeeper.session_record import SessionRecord

from .guardian import Guardian
from .plan import LATE_AND_ALONE, Plan

OFTEN = 4
FEW_TICKS, MANY_TICKS = 5, 10


def _no_owner_check() -> AbstractContextManager[object]:
    """Every ephemeral znode passes for one of this session."""

    def reply(self: Channel, outcome: object) -> Any:
        received = whole_reply(self, outcome)
        if hasattr(received, "stat") and received.stat.ephemeral_owner:
            received = received._replace(stat=received.stat._replace(ephemeral_owner=self.session_id))
        return received

    whole_reply = Channel.reply
    return mock.patch.object(Channel, "reply", reply)


def _lease_of_a_whole_timeout() -> AbstractContextManager[object]:
    return mock.patch.object(_lease, "LEASE_SHARE", 1.0)


@contextmanager
def _lease_renewed_by_reads() -> Iterator[None]:
    """The keep-alive only reads, and counts all the same."""

    def send(self: KeepAlive, connection: Channel) -> None:
        send_properly(self, _without_barriers(connection))

    send_properly = KeepAlive._send
    with (
        mock.patch.object(KeepAlive, "_send", send),
        mock.patch.object(_keepalive, "first_failure", _replies.refusal),
        mock.patch.object(_zk, "is_quorum_write", lambda reply: not _replies.is_refused(reply)),
    ):
        yield


def _without_barriers(requests: Any) -> Any:
    """The same, but where a quorum write is asked for it only reads."""
    hasty = copy.copy(requests)
    hasty.check = hasty.exists
    return hasty


def _no_position_after_a_reconnect() -> AbstractContextManager[object]:
    """What was seen on an earlier connection passes for what is so now."""

    def reconnected(self: View) -> None:
        if self.own is None:
            reconnected_properly(self)

    reconnected_properly = View.reconnected
    return mock.patch.object(View, "reconnected", reconnected)


def _no_search_after_a_lost_reply() -> AbstractContextManager[object]:
    return mock.patch.object(Claims, "doubt")


def _moved_before_the_work_stopped() -> AbstractContextManager[object]:
    async def work_stopped(*, or_news: bool) -> bool:
        """Wait for nobody."""
        return or_news

    return mock.patch.object(_handing_over, "work_stopped", work_stopped)


@contextmanager
def _search_without_a_barrier() -> Iterator[None]:
    async def search(self: Claims, name: bytes) -> Any:
        careful, self._requests = self._requests, _without_barriers(self._requests)
        try:
            return await careful_search(self, name)
        finally:
            self._requests = careful

    careful_search = Claims.search
    with mock.patch.object(Claims, "search", search):
        yield


def _znode_deleted_before_the_work_stopped() -> AbstractContextManager[object]:
    async def work_stopped() -> None:
        """Wait for nobody."""

    return mock.patch.object(_departure, "work_stopped", work_stopped)


def _endings_by_force() -> AbstractContextManager[object]:
    async def wait_for(self: Teardown, zk: Requests, left: list[str]) -> None:
        await self._delete(zk, left)

    return mock.patch.object(Teardown, "_wait_for", wait_for)


@contextmanager
def _auth_reply_is_a_touch() -> Iterator[None]:
    """Nor does the ConnectRequest limit what the next write proves, which would hide most of it."""
    with (
        mock.patch.object(_connection, "is_touch", return_value=True),
        mock.patch.object(_lease.Write, "latest_touch", return_value=math.inf),
    ):
        yield


def _numbers_begin_again() -> AbstractContextManager[object]:
    """Each connection numbers its requests from 1 on."""

    def begin(self: _connection.Connection, host: str, port: int, record: SessionRecord) -> None:
        begin_properly(self, host, port, record)
        record.xid = 0

    begin_properly = _connection.Connection.__init__
    return mock.patch.object(_connection.Connection, "__init__", begin)


def _guardian_goes_by_the_end_of_a_pipe() -> AbstractContextManager[object]:
    def pipe_ended(self: Guardian, client: ZKClient) -> None:
        self.close_session(client, self._clock.time(), 0.0)

    return mock.patch.object(Guardian, "pipe_ended", pipe_ended)


def _guardian_prolongs_the_session() -> AbstractContextManager[object]:
    """It asks for the whole timeout, as the program did."""

    def conversation(session: dict[str, Any]) -> Generator[bytes, Any, bool]:
        talk = proper_conversation(session)
        request = next(talk)
        asked = request[:16] + struct.pack("!i", round(1000 * session["timeout"])) + request[20:]
        answer = yield asked
        while True:
            try:
                answer = yield talk.send(answer)
            except StopIteration as done:
                return bool(done.value)

    proper_conversation = guardian_talk.conversation
    return mock.patch.object(guardian_talk, "conversation", conversation)


def _lead_with_any_lease() -> AbstractContextManager[object]:
    """Who is the first leads with a lease that will be over before the next write is answered."""
    return mock.patch.object(KeepAlive, "will_last", return_value=True)


BREAKAGES = {
    "no ephemeralOwner check": _no_owner_check,
    "lease of a whole timeout": _lease_of_a_whole_timeout,
    "lease renewed by reads": _lease_renewed_by_reads,
    "an AUTH reply is a touch": _auth_reply_is_a_touch,
    "numbers begin again on each connection": _numbers_begin_again,
    "no re-position after a reconnect": _no_position_after_a_reconnect,
    "no search after a lost reply": _no_search_after_a_lost_reply,
    "search without a barrier": _search_without_a_barrier,
    "endings by force": _endings_by_force,
    "a guardian that goes by the end of a pipe": _guardian_goes_by_the_end_of_a_pipe,
    "a guardian that prolongs the session": _guardian_prolongs_the_session,
    "znode deleted before the work stopped": _znode_deleted_before_the_work_stopped,
    "moved before the work stopped": _moved_before_the_work_stopped,
    "a lead with any lease": _lead_with_any_lease,
}
"""By name: what breaks the library for as long as the context lasts."""


def _serves_longer_than_a_session(plan: Plan) -> bool:
    """Return whether a server that is cut off answers reads for longer than the session lasts at the others."""
    return plan.session_timeout < plan.sync_limit * plan.tick


def _comes_late_and_alone_often(plan: Plan) -> bool:
    """Return whether the deed that lays an AUTH reply bare comes often, in an episode that costs little.

    Where a session lasts two ticks, or every member's clock is faster than every server's, the lease that is too long
    hardly outlasts the session.
    """
    often = sum(deed.kind == LATE_AND_ALONE for deed in plan.deeds) >= OFTEN
    is_tight = FEW_TICKS * plan.tick <= plan.session_timeout and min(plan.member_rates) <= max(plan.server_rates)
    return often and is_tight and plan.session_timeout <= MANY_TICKS * plan.tick


SUITED: dict[str, Callable[[Plan], bool]] = {
    "lease renewed by reads": _serves_longer_than_a_session,
    "an AUTH reply is a touch": _comes_late_and_alone_often,
}
"""By name: in which plans a breakage can show at all, or soon. The others need not be played to find it."""

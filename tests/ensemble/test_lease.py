"""The lease on a real ensemble, on both kinds of client: what renews it, what ends it, and what it survives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiozk
import pytest
from aiozk.states import States

from golea_async import (
    AsyncElection,
    Leadership,
    LeadershipLostError,
    LeaseExpiredError,
    Role,
    SessionExpiredError,
    ZKClient,
    get_leader,
)
from golea_async._shared.batch import Batch
from golea_async._shared.channel import Channel
from golea_async._shared.pace import UNDER_WAY
from golea_async._shared.survey import SURVEY_SHARE
from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.requests import Request
from tests.support.elections import eventually, rest_of, soon, status_of
from tests.support.ensemble import Ensemble
from tests.support.leading import KINDS, client_of, leading, statuses_until_leader
from tests.support.leftovers import background_to_end
from tests.support.proxy import Action, Frame, Proxy
from tests.support.wire import OpCode, WireClient, expire_session

T = 6.0
SHORT = 2.0
"""For tests in which the lease is to lapse."""
ROOT = Path(__file__).parents[2]
both_kinds = pytest.mark.parametrize("kind", KINDS)


def is_write(frame: Frame) -> bool:
    return frame.opcode == OpCode.MULTI


@asynccontextmanager
async def proxies_of(ensemble: Ensemble) -> AsyncIterator[list[Proxy]]:
    """A proxy in front of each server."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Proxy(server.port)) for server in ensemble.servers]


def hosts_of(proxies: list[Proxy]) -> str:
    return ",".join(proxy.address for proxy in proxies)


def proxy_in_use(proxies: list[Proxy], zk: aiozk.ZKClient) -> Proxy:
    return next(proxy for proxy in proxies if proxy.port == zk.session.conn.port)


def deadline_of(leadership: Leadership) -> float:
    return leadership._lease._deadline


def swallow_writes(proxy: Proxy, *, after: int | None = None) -> Callable[[], None]:
    """Let no keep-alive reach the server any more, while pings and reads do; return what ends that.

    :param after: begin behind the next request of this opcode.
    """
    has_begun = after is None

    def is_swallowed(frame: Frame) -> bool:
        nonlocal has_begun
        is_late, has_begun = has_begun, has_begun or frame.opcode == after
        return is_late and is_write(frame)

    rules = [proxy.on_request(is_swallowed, Action.SWALLOW) for _ in range(1000)]

    def end() -> None:
        for rule in rules:
            if rule in proxy.request_gate.rules:
                proxy.request_gate.rules.remove(rule)

    return end


# ---------------------------------------------------------------------- what renews it


@both_kinds
async def test_only_quorum_writes_renew(ensemble: Ensemble, resource: str, kind: str) -> None:
    """Reads, pings, sync and refused writes are answered all the time, and the lease runs out under them."""
    async with Proxy(ensemble.servers[2].port) as proxy, client_of(kind, proxy.address, SHORT) as zk:
        election = AsyncElection(zk, resource)
        statuses = election.statuses()
        leadership = await leading(election)
        token, session_id = leadership.fencing_token, zk.session.session_id
        # Once one is missing our client takes what follows for garbage: some are answered before that.
        let_through = swallow_writes(proxy, after=OpCode.DELETE)
        assert await read_and_be_refused(zk, resource)
        left = leadership.remaining
        while leadership.is_valid:
            assert leadership.remaining <= left
            left = leadership.remaining
            await read_and_be_refused(zk, resource)
        lapse = await status_of(statuses, Role.CANDIDATE)
        while lapse.error is None:
            lapse = await status_of(statuses, Role.CANDIDATE)
        assert isinstance(lapse.error, LeaseExpiredError)
        assert lapse.candidate_id == election.status.candidate_id
        assert zk.session.session_id == session_id
        let_through()
        again = await leading(election)
        # The session was alive all the time: the same znode, the same token, another stretch.
        assert again.fencing_token == token
        assert again is not leadership
        assert not leadership.is_valid
        check_lost(leadership)
        await election.resign()


async def read_and_be_refused(zk: aiozk.ZKClient, resource: str) -> bool:
    """Return whether these came through before the connection ended."""
    requests = [
        aiozk.protocol.ExistsRequest(path=resource, watch=False),
        aiozk.protocol.SyncRequest(path=resource),
        aiozk.protocol.PingRequest(),
        aiozk.protocol.DeleteRequest(path=f"{resource}/nothing", version=-1),
    ]
    try:
        async with asyncio.timeout(1):
            for request in requests[:2]:
                await zk.send(request)
            with pytest.raises(aiozk.exc.NoNode):
                await zk.send(requests[3])
        return True
    except (TimeoutError, aiozk.exc.ZKError):
        return False


def check_lost(leadership: Leadership) -> None:
    with pytest.raises(LeadershipLostError) as caught:
        leadership.check()
    assert isinstance(caught.value.__cause__, LeaseExpiredError)


@both_kinds
async def test_one_stream_of_keep_alives_however_many_lead(ensemble: Ensemble, wire: WireClient, kind: str) -> None:
    """Eight in a session timeout for ten leaders, as for one; a client whose candidates follow needs far fewer."""
    resources = [await wire.create(f"/lease-{kind}-{number}-{time.monotonic_ns()}") for number in range(10)]
    async with (
        Proxy(ensemble.servers[0].port) as leaders,
        Proxy(ensemble.servers[1].port) as followers,
        client_of(kind, leaders.address, SHORT) as zk,
        client_of(kind, followers.address, SHORT) as other,
    ):
        first = [AsyncElection(zk, resource, "leader") for resource in resources]
        second = [AsyncElection(other, resource, "follower") for resource in resources]
        await asyncio.gather(*map(leading, first))
        await asyncio.gather(*(election.start() for election in second))
        before = leaders.requests[OpCode.MULTI], followers.requests[OpCode.MULTI]
        began = boottime()
        await eventually(lambda: leaders.requests[OpCode.MULTI] >= before[0] + 16)
        timeouts_passed = (boottime() - began) / SHORT
        assert timeouts_passed > 1.7, "at most eight in a session timeout, whoever is slow"
        assert followers.requests[OpCode.MULTI] - before[1] <= 2 / SURVEY_SHARE * timeouts_passed + 2
        assert all(election.is_leader for election in first)
        await asyncio.gather(*(election.resign() for election in [*second, *first]))
        await soon(background_to_end())


@both_kinds
async def test_a_survey_takes_the_place_of_a_keep_alive(
    ensemble: Ensemble, resource: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of them it would put off the next one, and what that proves would be older: the lease shorter."""
    writes = list[tuple[float, bool]]()
    ask = Channel.ask

    def note(channel: Channel, *requests: Request) -> Batch:
        if requests[0].opcode == OpCode.MULTI:
            writes.append((boottime(), len(requests) > 1))
        return ask(channel, *requests)

    monkeypatch.setattr(Channel, "ask", note)
    async with client_of(kind, ensemble.hosts, SHORT) as zk:
        election = AsyncElection(zk, resource)
        await leading(election)
        await eventually(lambda: sum(is_survey for _, is_survey in writes) == 3)
        sent = [at for at, _ in writes]
        await election.resign()
    from_the_first_survey = sent[[is_survey for _, is_survey in writes].index(True) :]  # before, it may be in haste
    assert min(later - earlier for earlier, later in pairwise(from_the_first_survey)) > 0.99 * SHORT / 8


@both_kinds
async def test_none_is_sent_when_nobody_stands(ensemble: Ensemble, resource: str, kind: str) -> None:
    async with Proxy(ensemble.servers[0].port) as proxy, client_of(kind, proxy.address, SHORT) as zk:
        election = AsyncElection(zk, resource)
        await leading(election)
        await election.resign()
        await soon(background_to_end())
        before = proxy.requests[OpCode.MULTI]
        await asyncio.sleep(SHORT / 2)
        assert proxy.requests[OpCode.MULTI] == before


@both_kinds
async def test_at_most_two_are_under_way(ensemble: Ensemble, resource: str, kind: str) -> None:
    async with (
        Proxy(ensemble.servers[0].port) as proxy,
        client_of(kind, proxy.address, T) as zk,
        AsyncElection(zk, resource) as election,
    ):
        await leading(election)
        connection, held = zk.session.conn, proxy.on_reply(is_write, Action.HOLD)
        await soon(held)
        before = proxy.requests[OpCode.MULTI]
        while zk.session.conn is connection and zk.session.state == States.CONNECTED:
            # Behind the one that is held: another keep-alive, and one survey of what is watched.
            assert proxy.requests[OpCode.MULTI] <= before + UNDER_WAY
            await asyncio.sleep(0)
        held.release()
        await eventually(lambda: proxy.requests[OpCode.MULTI] > before)


async def test_a_plain_client_leads_only_when_an_earlier_request_is_old_enough(
    ensemble: Ensemble, resource: str
) -> None:
    """Its own nomination is the first that could be timed. ZKClient's ConnectRequest was: it leads at once."""
    async with client_of("aiozk", ensemble.hosts, T) as plain, client_of("golea_async", ensemble.hosts, T) as prompt:
        election = AsyncElection(plain, resource)
        began = boottime()
        await leading(election)
        assert boottime() - began >= T / 4
        await election.resign()
        async with Proxy(ensemble.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=T) as other:
            election = AsyncElection(other, resource)
            assert (await soon(election.start())).role is Role.LEADER
            # In two round trips: the nomination, and the look with its keep-alive.
            assert proxy.requests[OpCode.MULTI] <= 2
            assert proxy.requests[OpCode.PING] == 0
            await election.resign()
        assert prompt.session.state == States.CONNECTED


@both_kinds
async def test_who_is_elected_between_two_keep_alives_leads_on(ensemble: Ensemble, resource: str, kind: str) -> None:
    """The last keep-alive of one that only stood is half a session timeout after the one before, or its nomination.

    So the lease has a third of a session timeout left, and until shortly before its end nothing can renew it that a
    plain client has timed.
    """
    timeout = 2 * SHORT
    async with (
        client_of("golea_async", ensemble.hosts, timeout) as zk,
        client_of(kind, ensemble.hosts, timeout) as other,
    ):
        leader, heir = AsyncElection(zk, resource), AsyncElection(other, resource)
        await leading(leader)
        nominated_at = boottime()
        await soon(heir.start())
        statuses = heir.statuses()
        await asyncio.sleep(nominated_at + 0.63 * timeout - boottime())
        await leader.resign()
        leadership = await leading(heir)
        await status_of(statuses, Role.LEADER)
        while boottime() < nominated_at + timeout:
            assert leadership.is_valid
            await asyncio.sleep(0.01)
        assert heir.status.role is Role.LEADER
        await heir.resign()


# ---------------------------------------------------------------------- what it survives


async def test_a_connection_that_comes_back_within_the_lease_moves_nothing(ensemble: Ensemble, resource: str) -> None:
    """No status, and is_leader stays true all the time; so does the body."""
    async with proxies_of(ensemble) as proxies, ZKClient(hosts_of(proxies), session_timeout=T) as zk:
        async with AsyncElection(zk, resource) as election, election.leadership() as leadership:
            statuses = election.statuses()
            assert (await anext(statuses)).role is Role.LEADER
            for _ in range(5):
                connection, deadline = zk.session.conn, deadline_of(leadership)
                proxy_in_use(proxies, zk).reset()
                # Until the new connection has renewed the lease; only then the next one.
                while zk.session.conn is connection or deadline_of(leadership) == deadline:
                    assert election.is_leader
                    await asyncio.sleep(0)
                leadership.check()
        assert await rest_of(statuses) == []


@both_kinds
async def test_a_plain_clients_too(ensemble: Ensemble, resource: str, kind: str) -> None:
    async with Proxy(ensemble.servers[0].port) as proxy, client_of(kind, proxy.address, 10) as zk:
        async with AsyncElection(zk, resource) as election:
            leadership = await leading(election)
            statuses = election.statuses()
            assert (await anext(statuses)).role is Role.LEADER
            connection = zk.session.conn
            proxy.reset()
            await eventually(lambda: zk.session.conn is not connection and zk.session.state == States.CONNECTED)
            assert election.current_leadership is leadership
        assert await rest_of(statuses) == []


async def test_unanswered_it_goes_to_another_server_and_leads_on(ensemble: Ensemble, resource: str) -> None:
    """The server answers nothing; long before the session timeout the client is elsewhere."""
    async with proxies_of(ensemble) as proxies, ZKClient(hosts_of(proxies), session_timeout=10) as zk:
        async with AsyncElection(zk, resource) as election, election.leadership() as leadership:
            statuses = election.statuses()
            assert (await anext(statuses)).role is Role.LEADER
            silent, deadline = proxy_in_use(proxies, zk), deadline_of(leadership)
            silent.swallow_replies()
            await eventually(lambda: zk.session.conn is not None and zk.session.conn.port != silent.port)
            await eventually(lambda: deadline_of(leadership) > deadline)
            leadership.check()
            silent.heal()
        assert await rest_of(statuses) == []


@pytest.mark.long
@both_kinds
async def test_late_answers_are_no_silence(ensemble: Ensemble, resource: str, kind: str) -> None:
    """As when thousands join on one client: each answer comes later than T/8, and one after the other."""
    timeout = 3 * SHORT  # a busy machine may be silent itself for an eighth of the short one
    async with Proxy(ensemble.servers[0].port) as proxy, client_of(kind, proxy.address, timeout) as zk:
        election = AsyncElection(zk, resource)
        await leading(election)
        connection = zk.session.conn
        asking = []
        for step in range(40):
            asking.append(asyncio.create_task(ask_on_and_on(zk, resource)))  # one by one, and so come their answers
            proxy.delay(timeout / 8 * step / 40)  # in each direction; at once it would be a silence
            await asyncio.sleep(timeout / 80)
        await asyncio.sleep(1.5 * timeout)  # longer than it takes to leave a server that is silent
        assert zk.session.conn is connection
        proxy.heal()
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        await election.resign()


async def ask_on_and_on(zk: aiozk.ZKClient, resource: str) -> None:
    while True:
        await get_leader(zk, resource)


async def test_a_plain_client_leaves_a_silent_server_too(ensemble: Ensemble, resource: str) -> None:
    """By the keep-alive, not when aiozk would; where it goes then, and how long that takes, is aiozk's."""
    async with (
        proxies_of(ensemble) as proxies,
        client_of("aiozk", hosts_of(proxies), 10) as zk,
        AsyncElection(zk, resource) as election,
    ):
        leadership = await leading(election)
        silent, connection = proxy_in_use(proxies, zk), zk.session.conn
        silent.swallow_replies()
        # It may be elsewhere before anybody looks.
        await eventually(lambda: zk.session.state != States.CONNECTED or zk.session.conn is not connection)
        leadership.check()
        silent.heal()
        silent.reset()  # it may be asking that very server again, and aiozk has no limit for that
        await leading(election)


# ---------------------------------------------------------------------- what ends it


@both_kinds
async def test_cut_off_for_longer_than_the_session(ensemble: Ensemble, resource: str, kind: str) -> None:
    """The lease first, then the session; the work was stopped before anybody else could lead."""
    async with (
        Proxy(ensemble.servers[1].port) as proxy,
        client_of(kind, proxy.address, SHORT) as zk,
        client_of("golea_async", ensemble.hosts, T) as other,
    ):
        election, successor = AsyncElection(zk, resource, "first"), AsyncElection(other, resource, "second")
        leadership = await leading(election)
        statuses = election.statuses()
        assert (await anext(statuses)).role is Role.LEADER
        await soon(successor.start())
        stopped: list[bool] = []

        async def work() -> None:
            async with election.leadership():
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.append(successor.is_leader)

        working = asyncio.create_task(work())
        await asyncio.sleep(0)
        proxy.cut()
        lapse = await status_of(statuses, Role.CANDIDATE)
        assert isinstance(lapse.error, LeaseExpiredError)
        assert lapse.error.candidate_id == leadership._path
        assert not election.is_leader
        assert not successor.is_leader
        with pytest.raises(LeadershipLostError) as caught:
            await soon(working)
        assert isinstance(caught.value.__cause__, LeaseExpiredError)
        assert stopped == [False]
        new = await leading(successor)
        assert new.fencing_token > leadership.fencing_token
        proxy.heal()
        loss = await status_of(statuses, Role.CANDIDATE)
        assert isinstance(loss.error, SessionExpiredError)
        await successor.resign()
        later = await leading(election)
        assert later.fencing_token > new.fencing_token
        await election.resign()


async def test_an_ensemble_that_was_away_gives_every_session_its_time_anew(
    own_ensemble: Callable[..., Ensemble], tmp_path: Path
) -> None:
    """The lease has lapsed, the session has not: the same znode leads again, with the same token."""
    del tmp_path
    ensemble = own_ensemble(3, tick=0.5)
    async with await WireClient.connect(ensemble.servers[0].port) as wire:
        resource = await wire.create("/election")
    async with ZKClient(ensemble.hosts, session_timeout=4.0) as zk:
        election = AsyncElection(zk, resource)
        leadership = await leading(election)
        statuses = election.statuses()
        assert (await anext(statuses)).role is Role.LEADER
        for server in ensemble.servers:
            await asyncio.to_thread(server.kill)
        lapse = await status_of(statuses, Role.CANDIDATE)
        assert isinstance(lapse.error, LeaseExpiredError)
        await soon(leadership.wait_lost())
        for server in ensemble.servers:
            server.start(wait=False)
        read = await statuses_until_leader(statuses)
        assert [status.role for status in read] == [Role.LEADER]
        assert read[-1].fencing_token == leadership.fencing_token
        again = await leading(election)
        assert again is not leadership
        assert not leadership.is_valid
        await election.resign()


@both_kinds
async def test_the_application_closes_the_client(ensemble: Ensemble, resource: str, kind: str) -> None:
    """Belief ends in the same step; the work hears of it."""
    async with client_of(kind, ensemble.hosts, T) as zk:
        election = AsyncElection(zk, resource)
        leadership = await leading(election)
        statuses = election.statuses()
        cancelled = asyncio.Event()

        async def work() -> None:
            async with election.leadership():
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

        working = asyncio.create_task(work())
        await asyncio.sleep(0)
        closing = asyncio.create_task(zk.close())
        await asyncio.sleep(0)  # its first step
        assert not election.is_leader
        assert not leadership.is_valid
        assert leadership.remaining == 0
        await soon(closing)
        await soon(cancelled.wait())
        with pytest.raises(LeadershipLostError) as caught:
            await soon(working)
        assert isinstance(caught.value.__cause__, SessionExpiredError)
        assert isinstance((await rest_of(statuses))[-1].error, SessionExpiredError)
        await soon(election.resign())


@both_kinds
async def test_a_lost_session_ends_it_at_once(ensemble: Ensemble, resource: str, kind: str) -> None:
    async with client_of(kind, ensemble.hosts, T) as zk:
        election = AsyncElection(zk, resource)
        leadership = await leading(election)
        statuses = election.statuses()
        assert (await anext(statuses)).role is Role.LEADER
        await expire_session(ensemble.servers[0].port, zk.session.session_id, zk.session.password)
        await soon(leadership.wait_lost())
        read = await statuses_until_leader(statuses)
        assert any(isinstance(status.error, SessionExpiredError) for status in read)
        assert (read[-1].fencing_token or 0) > leadership.fencing_token
        await soon(election.resign(timeout=None))


# ---------------------------------------------------------------------- a process that does not run

CHILD = """
import asyncio, json, os, sys, time
sys.path.insert(0, {root!r})
from golea_async import AsyncElection, ZKClient
from golea_async._zookeeper.clock import boottime
from tests.support.leading import client_of

def say(**what):
    sys.stdout.write(json.dumps(what) + "\\n")
    sys.stdout.flush()

async def main(kind, hosts, resource, session_timeout):
    async with client_of(kind, hosts, float(session_timeout)) as zk:
        election = AsyncElection(zk, resource, "child")
        await election.start()
        leadership = await election.wait_for_leadership()
        statuses = election.statuses()
        await anext(statuses)
        say(leads=election.is_leader, token=leadership.fencing_token)
{script}

asyncio.run(main(*sys.argv[1:]))
"""

BLOCKED = """
        time.sleep(float(session_timeout))  # nobody runs the loop
        first = election.is_leader
        say(after=[first, leadership.is_valid, leadership.remaining, election.status.role])
        status = await anext(statuses)
        say(told=type(status.error).__name__, role=status.role)
        os._exit(0)
"""

FROZEN = """
        last, now = None, boottime()
        while election.is_leader:  # asks, and nothing else: the loop is blocked
            last, now = now, boottime()  # the answer was given after this
        say(last=last, role=election.status.role)
        status = await anext(statuses)
        say(told=type(status.error).__name__, role=status.role)
        os._exit(0)
"""

FORKED = """
        process = os.fork()
        if process == 0:
            is_none = election.current_leadership is None
            say(child=[election.is_leader, leadership.is_valid, leadership.remaining, is_none])
            os._exit(0)
        os.waitpid(process, 0)
        say(parent=[election.is_leader, leadership.is_valid])
        await election.resign()
"""


class Child:
    """A leader in a process of its own, with a script of what it does once it leads."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await soon(self.process.stdout.readline())
        assert line, "the child has ended"
        said: dict[str, Any] = json.loads(line)
        return said


@asynccontextmanager
async def child(script: str, *arguments: str) -> AsyncIterator[Child]:
    program = CHILD.format(root=str(ROOT), script=script)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, cwd=ROOT, stdout=PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@both_kinds
async def test_the_first_instruction_after_a_blocked_loop(ensemble: Ensemble, resource: str, kind: str) -> None:
    """The clock says so before the event loop has run anything: the status is still the old one."""
    async with child(BLOCKED, kind, ensemble.hosts, resource, str(SHORT)) as leader:
        assert (await leader.said())["leads"] is True
        assert (await leader.said())["after"] == [False, False, 0.0, "leader"]
        told = await leader.said()
        assert told["role"] in ("candidate", "none")
        assert told["told"] in ("LeaseExpiredError", "SessionExpiredError")


@both_kinds
async def test_a_blocked_loop_is_not_a_silent_server(
    ensemble: Ensemble, resource: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It blocks while a keep-alive is under way, whose answer is there when it goes on: no reason to leave."""
    async with client_of(kind, ensemble.hosts, T) as zk:
        election = AsyncElection(zk, resource)
        leadership = await leading(election)
        server, ask = zk.session.conn, Channel.ask
        blocked = asyncio.Event()

        def ask_and_block(connection: Channel, *requests: Request) -> Batch:
            asyncio.get_running_loop().call_soon(block)
            return ask(connection, *requests)

        def block() -> None:
            patch.undo()
            time.sleep(0.3 * T)  # synchronous code in the event loop: what is tested here
            blocked.set()

        with monkeypatch.context() as patch:
            patch.setattr(Channel, "ask", ask_and_block)
            await soon(blocked.wait())
        before = deadline_of(leadership)
        await eventually(lambda: deadline_of(leadership) > before)
        assert zk.session.conn is server
        assert leadership.is_valid
        await election.resign()


@both_kinds
async def test_the_first_instruction_after_sigcont(ensemble: Ensemble, resource: str, kind: str) -> None:
    """It asks all the time. The last time that it heard yes is before the next one leads."""
    async with client_of("golea_async", ensemble.hosts, T) as zk:
        async with child(FROZEN, kind, ensemble.hosts, resource, str(SHORT)) as leader:
            first = await leader.said()
            assert first["leads"] is True
            os.kill(leader.process.pid, signal.SIGSTOP)
            successor = AsyncElection(zk, resource, "successor")
            await soon(successor.start())
            new = await leading(successor)
            now = boottime()
            os.kill(leader.process.pid, signal.SIGCONT)
            asked = await leader.said()
            assert asked["last"] is None or asked["last"] < now
            assert asked["role"] == "leader"
            assert new.fencing_token > first["token"]
            assert (await leader.said())["told"] in ("LeaseExpiredError", "SessionExpiredError")
        await successor.resign()


@both_kinds
async def test_a_forked_child_does_not_lead(ensemble: Ensemble, resource: str, kind: str) -> None:
    async with child(FORKED, kind, ensemble.hosts, resource, str(T)) as leader:
        assert (await leader.said())["leads"] is True
        assert (await leader.said())["child"] == [False, False, 0.0, True]
        assert (await leader.said())["parent"] == [True, True]

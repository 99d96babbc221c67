"""What becomes of a request: sent once, sent again, not sent, unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiozk
import pytest
from aiozk import exc, protocol
from aiozk.states import States

from golea_async.client import NotSentError, OutcomeUnknownError, ZKClient
from tests.ensemble.client.helpers import until
from tests.support.ensemble import Ensemble
from tests.support.proxy import Action, Proxy
from tests.support.wire import OpCode, WireClient, expire_session

ACL = [protocol.UNRESTRICTED_ACCESS]
Call = Callable[[ZKClient, str], Awaitable[Any]]


async def check_only(client: ZKClient, path: str) -> Any:
    request = protocol.TransactionRequest()
    request.add(protocol.CheckVersionRequest(path=path, version=-1))
    return await client.send(request)


async def multi(client: ZKClient, path: str) -> Any:
    transaction = client.begin_transaction()
    transaction.check_version(path, -1)
    transaction.create(f"{path}/child-", sequential=True)
    return await transaction.commit()


WRITES: dict[int, Call] = {
    OpCode.CREATE2: lambda client, path: client.create(f"{path}/child-", sequential=True),
    OpCode.SET_DATA: lambda client, path: client.set_data(path, b"new"),
    OpCode.MULTI: multi,
    7: lambda client, path: client.set_acl(path, ACL),
}
READS: dict[int, Call] = {
    OpCode.EXISTS: lambda client, path: client.exists(path),
    OpCode.GET_DATA: lambda client, path: client.get(path),
    OpCode.GET_CHILDREN2: lambda client, path: client.get_children(path),
    OpCode.SYNC: lambda client, path: client.send(protocol.SyncRequest(path=path)),
    OpCode.MULTI: check_only,
    6: lambda client, path: client.get_acl(path),
}


@pytest.mark.parametrize("opcode", WRITES, ids=str)
@pytest.mark.parametrize("lose", ["request", "reply"])
async def test_what_writes_is_sent_once(server: Ensemble, wire_to_server: WireClient, opcode: int, lose: str) -> None:
    path = await wire_to_server.create("/write-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        lost = proxy.lose_next_reply([opcode]) if lose == "reply" else proxy.lose_next_request([opcode])
        with pytest.raises(OutcomeUnknownError) as caught:
            await WRITES[opcode](client, path)
        await lost
        await client.exists(path)
        assert proxy.requests[opcode] == 1
        assert isinstance(caught.value, exc.ConnectError)


@pytest.mark.parametrize("lose", ["request", "reply"])
@pytest.mark.parametrize("force", [True, False])
async def test_a_delete_is_sent_again(server: Ensemble, wire_to_server: WireClient, lose: str, force: bool) -> None:
    """Whether the first one was carried out or not: that no znode is there is what was asked for."""
    path = await wire_to_server.create("/write-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        await client.exists(path)
        lost = proxy.lose_next_reply([OpCode.DELETE]) if lose == "reply" else proxy.lose_next_request([OpCode.DELETE])
        await client.delete(path, force=force)
        await lost
        assert proxy.requests[OpCode.DELETE] == 2
        assert not await client.exists(path)
        with pytest.raises(exc.NoNode):
            await client.delete(path, force=True)


async def test_a_delete_whose_session_is_lost_is_in_doubt(ensemble: Ensemble) -> None:
    async with Proxy(ensemble.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        path = await client.create("/write-", sequential=True)
        await client.exists(path)
        proxy.lose_next_request([OpCode.DELETE])
        proxy.on_request(lambda frame: frame.opcode == OpCode.CREATE_SESSION, Action.SWALLOW)
        deleting = asyncio.ensure_future(client.delete(path))
        await client.session.state.wait_for(States.SUSPENDED)
        await expire_session(ensemble.servers[0].port, client.session.session_id, client.session.password)
        with pytest.raises(OutcomeUnknownError):
            await deleting
        assert await client.exists(path)


@pytest.mark.parametrize("opcode", READS, ids=str)
async def test_what_reads_is_sent_again(server: Ensemble, wire_to_server: WireClient, opcode: int) -> None:
    path = await wire_to_server.create("/read-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        proxy.lose_next_reply([opcode])
        assert await READS[opcode](client, path) is not None
        assert proxy.requests[opcode] == 2


async def test_the_retry_policy_bounds_how_often(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy:
        policy = aiozk.RetryPolicy.n_times(2)
        async with ZKClient(proxy.address, session_timeout=6, retry_policy=policy) as client:
            proxy.lose_next_reply([OpCode.EXISTS])
            with pytest.raises(exc.FailedRetry):
                await client.exists("/")
            assert not policy.timings


async def test_a_waiting_request_can_be_cancelled_and_limited(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        proxy.cut()
        await client.session.state.wait_for(States.SUSPENDED)
        waiting = asyncio.ensure_future(client.create("/never-sent"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.create("/never-sent-either")
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert not any(client.session.state.futures.values())
        proxy.heal()
        assert not await client.exists("/never-sent")
        assert proxy.requests[OpCode.CREATE2] == 0


async def test_a_cancelled_wait_for_a_state_leaves_nothing(server: Ensemble) -> None:
    async with ZKClient(server.hosts) as client:
        state = client.session.state
        future = state.wait_for(States.SUSPENDED, States.LOST)
        future.cancel()
        await asyncio.sleep(0)
        state.remove_waiting(future, States.SUSPENDED)  # As aiozk's lock does; it is gone already.
        assert not any(state.futures.values())


async def test_waiting_requests_are_sent_in_their_order(server: Ensemble, wire_to_server: WireClient) -> None:
    parent = await wire_to_server.create("/order-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        proxy.cut()
        await client.session.state.wait_for(States.SUSPENDED)
        creates = [asyncio.ensure_future(client.create(f"{parent}/{i}-", sequential=True)) for i in range(20)]
        await asyncio.sleep(0)
        proxy.heal()
        created = await asyncio.gather(*creates)
        assert [path[-10:] for path in created] == sorted(path[-10:] for path in created)


async def test_never_started_and_closed() -> None:
    client = ZKClient("127.0.0.1:1")
    with pytest.raises(NotSentError, match="never started"):
        await client.exists("/")
    await client.close()
    with pytest.raises(NotSentError, match="closed"):
        await client.create("/")


async def test_closed_while_requests_wait_and_are_in_flight(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy:
        client = ZKClient(proxy.address, session_timeout=6)
        await client.start()
        proxy.cut()
        await client.session.state.wait_for(States.SUSPENDED)
        waiting = asyncio.ensure_future(client.exists("/"))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(NotSentError):
            await waiting
        proxy.heal()
        await client.start()
        proxy.swallow_replies()
        in_flight = [asyncio.ensure_future(call) for call in (client.create("/unknown"), client.exists("/"))]
        await asyncio.sleep(0)
        await client.close()
        outcomes = await asyncio.gather(*in_flight, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError, OutcomeUnknownError]


async def test_the_numbers_of_requests_start_again(server: Ensemble) -> None:
    async with ZKClient(server.hosts) as client:
        assert client.session.conn is not None
        client.session.xid = 0x7FFFFFFF - 3
        for _ in range(8):
            assert await client.exists("/zookeeper")
        assert 0 < client.session.xid < 10


async def test_a_request_that_cannot_be_written_harms_nobody(server: Ensemble) -> None:
    async with ZKClient(server.hosts) as client:
        connection = client.session.conn
        with pytest.raises(Exception, match=r"struct|required|None"):
            await client.send(protocol.DeleteRequest(path="/x", version="one"))
        assert await client.exists("/zookeeper")
        assert client.session.conn is connection


async def test_an_unknown_error_code(server: Ensemble, capsys: pytest.CaptureFixture[str]) -> None:
    class Unimplemented(protocol.ExistsRequest):  # type: ignore[misc]
        opcode = 4711

    async with ZKClient(server.hosts, session_timeout=4) as client:
        with pytest.raises(exc.ZKError):
            await client.send(Unimplemented(path="/", watch=False))
    assert capsys.readouterr().out == ""


async def test_the_session_is_taken_over_and_closed_by_somebody_else(ensemble: Ensemble) -> None:
    """Which is what an expiry looks like."""
    async with ZKClient(ensemble.hosts, session_timeout=6) as client:
        events = client.session_events()
        session = client.session
        lost, zxid = session.session_id, session.last_zxid
        assert session.conn is not None
        other = next(each for each in ensemble.servers if each.port != session.conn.port)
        thief = await WireClient.connect(other.port, session_id=session.session_id, password=session.password)
        suspended = session.state.wait_for(States.SUSPENDED)
        await thief.close()
        await suspended  # A create that was under way just then would not know its outcome.
        assert await client.create("/in-the-next-session-", sequential=True, ephemeral=True)
        told = [await anext(events) for _ in range(3)]
        assert [event.state for event in told] == ["suspended", "lost", "connected"]
        assert [event.session_id for event in told] == [lost, lost, session.session_id]
        assert session.last_zxid > zxid


async def test_send_times_are_known_for_leases(server: Ensemble) -> None:
    async with ZKClient(server.hosts, session_timeout=3) as client:
        connection = client.session.conn
        assert connection is not None
        assert connection.connect_sent_at is not None
        await client.exists("/")
        acknowledgements = connection.acknowledgements
        ((sent_at, answered_at),) = acknowledgements
        assert connection.connect_sent_at < sent_at < answered_at
        assert acknowledgements.newest_acknowledged(answered_at) == sent_at
        assert acknowledgements.newest_acknowledged(sent_at) is None
        await until(lambda: len(acknowledgements) > 2)  # Pings count.
        sent = [sent_at for sent_at, _ in acknowledgements]
        assert sent == sorted(sent)
        assert client.session.conn is connection

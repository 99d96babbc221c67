"""TLS and credentials, against real servers."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from aiozk import exc, protocol
from aiozk.states import States

from golea_async._zookeeper.host_list import Host
from golea_async.client import AuthenticationError, NotSentError, ZKClient
from tests.ensemble.client.helpers import refuse_credential, until
from tests.support.certificates import CIPHER_SUITES, Authority
from tests.support.ensemble import Ensemble
from tests.support.listener import Listener
from tests.support.ports import choose_free_ports
from tests.support.proxy import Action, Proxy
from tests.support.wire import OpCode, WireClient

OwnEnsemble = Callable[..., Ensemble]

SECRET = "correct-horse"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


class TlsServer:
    """A ZooKeeper with Netty and TLS.

    :ivar port: where it talks TLS. Its certificate is for ``localhost`` alone.
    """

    def __init__(self, start: OwnEnsemble, authority: Authority, client_certificates: str, **more: str) -> None:
        (self.port,) = choose_free_ports(1)
        settings = {
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "secureClientPort": str(self.port),
            "secureClientPortAddress": "127.0.0.1",
            "ssl.keyStore.location": str(authority.sign("server", "localhost")),
            "ssl.keyStore.type": "PEM",
            "ssl.trustStore.location": str(authority.certificate),
            "ssl.trustStore.type": "PEM",
            "ssl.clientAuth": client_certificates,
            # By itself ZooKeeper 3.8 speaks 1.2 alone, and 3.9 both.
            "ssl.protocol": "TLSv1.3",
            "ssl.enabledProtocols": "TLSv1.3,TLSv1.2",
            "ssl.ciphersuites": CIPHER_SUITES,
            **more,
        }
        self.ensemble = start(1, extra=settings)


@pytest.mark.both_loops
async def test_tls_by_the_server(own_ensemble: OwnEnsemble, authority: Authority) -> None:
    server = await asyncio.to_thread(TlsServer, own_ensemble, authority, "none")
    hosts, context = f"localhost:{server.port}", authority.client_context()
    async with ZKClient(hosts, session_timeout=4, ssl=context) as client:
        assert await client.create("/secret", b"x" * 100_000) == "/secret"
        session_id = client.session.session_id
        client.session.state.transition_to(States.SUSPENDED)
        assert (await client.get("/secret"))[0] == b"x" * 100_000
        assert client.session.session_id == session_id
        await asyncio.to_thread(server.ensemble.servers[0].restart)
        assert await client.exists("/secret")

    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)ip address mismatch|not valid for"):
        await ZKClient(f"127.0.0.1:{server.port}", ssl=context).start()


@pytest.mark.both_loops
async def test_tls_refuses_what_it_does_not_know(
    own_ensemble: OwnEnsemble, authority: Authority, tmp_path: Path
) -> None:
    server = await asyncio.to_thread(TlsServer, own_ensemble, authority, "none")
    stranger = await asyncio.to_thread(Authority, tmp_path, "stranger")
    async with Proxy(server.port, frames=False) as proxy:
        for _ in range(3):
            client = ZKClient(f"localhost:{proxy.port}", ssl=stranger.client_context())
            before = asyncio.all_tasks()
            with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
                await client.start()
            assert not client.session.started
            assert not any(task.get_name() == "golea-session" for task in asyncio.all_tasks() - before)
        await until(lambda: proxy.open_connections == 0)


@pytest.mark.both_loops
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_tls_by_both(own_ensemble: OwnEnsemble, authority: Authority, version: ssl.TLSVersion) -> None:
    server = await asyncio.to_thread(TlsServer, own_ensemble, authority, "need")
    certificate = await asyncio.to_thread(authority.sign, "client", "client")
    hosts = f"localhost:{server.port}"
    async with ZKClient(hosts, ssl=authority.client_context(certificate, version)) as client:
        assert await client.exists("/zookeeper")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert|handshake failure"):
        await ZKClient(hosts, ssl=authority.client_context(version=version)).start()


async def test_tls_never_falls_back_to_plain_text(server: Ensemble, authority: Authority) -> None:
    sent = bytearray()

    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        sent.extend(await reader.read(65536))

    async with Listener(listen) as plain:
        client = ZKClient(
            f"localhost:{plain.port},localhost:{server.servers[0].port}",
            ssl=authority.client_context(),
            auth=[("digest", f"user:{SECRET}")],
        )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await client.start()
    assert sent.startswith(b"\x16\x03")  # A TLS ClientHello.
    assert SECRET.encode() not in sent


async def test_a_server_that_is_amiss_does_not_stop_who_was_connected(
    own_ensemble: OwnEnsemble, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = await asyncio.to_thread(TlsServer, own_ensemble, authority, "none")
    stranger = await asyncio.to_thread(Authority, tmp_path, "stranger")
    amiss = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    amiss.load_cert_chain(await asyncio.to_thread(stranger.sign, "amiss", "localhost"))

    async def serve(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise AssertionError("the client took a certificate of a stranger")

    async with (
        Proxy(server.port, frames=False) as proxy,
        ZKClient(f"localhost:{proxy.port}", session_timeout=4, ssl=authority.client_context()) as client,
    ):
        session_id = client.session.session_id
        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=amiss)
        client.session.hosts.append(client.session.hosts[0]._replace(port=listener.sockets[0].getsockname()[1]))
        proxy.cut()
        await until(lambda: any("TLS refuses" in record.getMessage() for record in caplog.records))
        proxy.heal()
        assert await client.exists("/zookeeper")
        assert client.session.session_id == session_id
        listener.close()


async def test_digest_opens_what_its_acl_protects(server: Ensemble, wire_to_server: WireClient) -> None:
    parent = await wire_to_server.create("/acl-", sequential=True)
    async with (
        Proxy(server.servers[0].port) as proxy,
        ZKClient(proxy.address, session_timeout=6, auth=[("digest", f"user:{SECRET}")]) as member,
        ZKClient(server.hosts, auth=[("digest", b"user:wrong")]) as stranger,
    ):
        path = await member.create(f"{parent}/protected", b"x", acl=[protocol.AUTHED_UNRESTRICTED])
        with pytest.raises(exc.NoAuth):
            await stranger.get(path)
        changed = member.wait_for_events([2], path)
        assert (await member.get(path, watch=True))[0] == b"x"
        first = proxy.on_request(lambda _: True, Action.FORWARD)
        second = proxy.on_request(lambda _: first.happened.done(), Action.FORWARD)
        proxy.reset()
        await member.session.state.wait_for(States.SUSPENDED)
        assert (await member.get(path))[0] == b"x"
        assert [(await first).opcode, (await second).opcode] == [OpCode.CREATE_SESSION, OpCode.AUTH]
        await member.delete(path)
        await changed


@pytest.mark.both_loops
async def test_a_refused_credential_is_an_error(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy:
        client = ZKClient(proxy.address, auth=[("digest", "user:pw"), ("no-such-scheme", f"user:{SECRET}")])
        with pytest.raises(AuthenticationError, match="no-such-scheme") as caught:
            await client.start()
        assert proxy.connections == 1
        assert SECRET not in str(caught.value)
        with pytest.raises(NotSentError):
            await client.exists("/")


async def test_a_credential_that_is_refused_later_does_not_end_the_client(server: Ensemble) -> None:
    """A server whose configuration is being changed: the client goes on trying, and says what it waits for."""
    async with (
        Listener(refuse_credential) as amiss,
        Proxy(server.servers[0].port) as proxy,
        ZKClient(proxy.address, session_timeout=6, auth=[("digest", f"user:{SECRET}")]) as client,
    ):
        session_id = client.session.session_id
        (good,) = client.session.hosts
        client.session.hosts[:] = [Host("127.0.0.1", amiss.port)]
        proxy.reset()
        await until(lambda: amiss.connections >= 2)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await client.exists("/")
        assert caught.value.__cause__ is not None
        (note,) = caught.value.__cause__.__notes__
        assert "refused the credential of scheme 'digest'" in note
        assert SECRET not in note
        client.session.hosts[:] = [good]
        assert await client.exists("/zookeeper")
        assert client.session.session_id == session_id


async def test_passwords_appear_nowhere(server: Ensemble, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        Proxy(server.servers[0].port) as proxy,
        ZKClient(proxy.address, auth=[("digest", f"user:{SECRET}")]) as client,
    ):
        session_password = client.session.password
        proxy.reset()
        await client.session.state.wait_for(States.SUSPENDED)
        await client.exists("/")
        shown = [repr(client), repr(client.session), str(client.session.state), repr(client.session.conn)]
    shown += [record.getMessage() for record in caplog.records]
    assert len(shown) > 4
    assert not re.search(f"{SECRET}|{re.escape(repr(session_password))}", "\n".join(shown))


@pytest.mark.parametrize("auth", [["digest"], [("digest",)], [("digest", 5)], [(b"digest", SECRET)], [SECRET]])
def test_credentials_that_cannot_be_read(auth: list[object]) -> None:
    with pytest.raises(TypeError, match="scheme, credential") as caught:
        ZKClient("localhost", auth=auth)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)

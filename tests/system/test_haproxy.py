"""A load balancer that asks `/leader`: requests reach the leader alone, through a failover and a hand-over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from golea_async import ZKClient, transfer_leadership
from tests.support.ensemble import SharedEnsemble
from tests.support.ports import LOOPBACK, choose_free_ports
from tests.support.programs import eventually
from tests.web.conftest import Line, Run
from tests.web.test_processes import serve

pytestmark = pytest.mark.system

CONFIGURATION = """
global
    maxconn 200
    stats socket {directory}/haproxy.sock level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    retries 0
listen election
    bind {host}:{port}
    option httpchk
    http-check send meth GET uri /election/leader
    http-check expect status 200
    default-server check inter 1s fastinter 100ms downinter 100ms fall 1 rise 1
{servers}
"""


@asynccontextmanager
async def haproxy(directory: Path, port: int, servers: dict[str, int]) -> AsyncIterator[None]:
    file = directory / "haproxy.cfg"
    lines = "".join(f"    server {name} {LOOPBACK}:{each}\n" for name, each in servers.items())
    file.write_text(CONFIGURATION.format(directory=directory, host=LOOPBACK, port=port, servers=lines))
    process = await asyncio.create_subprocess_exec("/usr/sbin/haproxy", "-db", "-f", str(file))
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def tell_haproxy(directory: Path, command: str) -> None:
    reader, writer = await asyncio.open_unix_connection(directory / "haproxy.sock")
    writer.write(f"{command}\n".encode())
    assert (await reader.read()).strip() == b"", command
    writer.close()


class Customer:
    """Sends one request after the other, and notes who has done it, or who has declined."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.done: list[tuple[str, int]] = []
        self.declined_by_handlers = 0
        self.done_in_a_row = 0

    async def send(self) -> None:
        while True:
            with suppress(aiohttp.ClientConnectionError):
                async with self._session.post(self._url) as response:
                    text = await response.text()
                    if response.status == 200:
                        name, _, token = text.partition(" ")
                        self.done.append((name, int(token)))
                        self.done_in_a_row += 1
                    else:
                        assert response.status in (502, 503, 504)
                        self.done_in_a_row = 0
                        self.declined_by_handlers += text == "another one leads"
            await asyncio.sleep(0.005)

    async def until_done_by(self, name: str) -> None:
        async def look() -> bool:
            return bool(self.done) and self.done[-1][0] == name

        await eventually(look)

    async def until_all_are_done(self) -> None:
        """Wait until no request is declined any more."""

        async def look() -> bool:
            return self.done_in_a_row > 50

        await eventually(look)

    async def until_declined(self) -> None:
        """Wait until a handler declines a request, from now on."""
        before = self.declined_by_handlers

        async def look() -> bool:
            return self.declined_by_handlers > before

        await eventually(look)


async def test_requests_reach_the_leader_alone(
    run: Run, line: Line, ensemble: SharedEnsemble, resource: str, tmp_path: Path
) -> None:
    ports = dict(zip("abc", choose_free_ports(3), strict=True))
    (port,) = choose_free_ports(1)
    settings = {"SESSION_TIMEOUT": "2"}
    async with (
        aiohttp.ClientSession() as session,
        run(*serve("fastapi", ports["a"]), NAME="a", **settings) as first,
    ):
        await first.line("^leads")
        async with run(*serve("fastapi", ports["b"]), NAME="b", **settings) as second:
            await line.until(2)
            async with run(*serve("fastapi", ports["c"]), NAME="c", **settings), haproxy(tmp_path, port, ports):
                await line.until(3)
                customer = Customer(session, f"http://{LOOPBACK}:{port}/deed")
                sending = asyncio.create_task(customer.send())
                await customer.until_done_by("a")

                first.process.kill()  # a failover: the next one leads when its session has expired
                await customer.until_done_by("b")

                # A hand-over: b goes on serving and standing, and does not lead any more. Until HAProxy asks it again,
                # which it does each second and here when it may, requests reach b, too.
                await tell_haproxy(tmp_path, "disable health election/b")
                async with ZKClient(ensemble.hosts) as zk:
                    await transfer_leadership(zk, resource)
                await customer.until_declined()
                await customer.until_done_by("c")
                await tell_haproxy(tmp_path, "enable health election/b")
                await customer.until_all_are_done()
                await line.until(2)
                assert second.process.returncode is None

                sending.cancel()
                await asyncio.wait({sending})
    names = [name for name, _ in customer.done]
    assert [name for place, name in enumerate(names) if names[place - 1 : place] != [name]] == ["a", "b", "c"]
    tokens = [token for _, token in customer.done]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 3

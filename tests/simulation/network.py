"""The network between processes and servers: it delays, holds, and breaks connections, and it never reorders them.

What is sent into a cut arrives when the cut has healed, as TCP would send it again, unless one side has given up.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .process import Process
from .world import World

if TYPE_CHECKING:
    from .server import Server

LATENCY = (0.0002, 0.002)


class Path:
    """One direction between two machines.

    :ivar is_open: whether anything passes.
    :ivar delay: in seconds, on top of the latency.
    """

    def __init__(self, world: World, generator: random.Random, latency: tuple[float, float] = LATENCY) -> None:
        self.world = world
        self.is_open = True
        self.delay = 0.0
        self._generator = generator
        self._latency = latency
        self._held: dict[Pipe, None] = {}

    def travel_time(self) -> float:
        low, high = self._latency
        return self.delay + low + (high - low) * self._generator.random()

    def close(self) -> None:
        self.is_open = False

    def open(self) -> None:
        self.is_open = True
        held, self._held = self._held, {}
        for pipe in held:
            pipe.deliver()

    def hold(self, pipe: Pipe) -> None:
        """Something of this pipe would have arrived."""
        self._held[pipe] = None


class Pipe:
    """One direction of one connection: what goes in comes out in order, by calls of ``receive``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[tuple[float, Callable[..., None], tuple[Any, ...]]] = deque()
        self._last_due = 0.0

    def send(self, receive: Callable[..., None], *arguments: Any, late: float = 0.0) -> None:
        """:param late: seconds by which this, and what is sent behind it, comes later than usual."""
        path = self._path
        self._last_due = max(self._last_due, path.world.now + path.travel_time() + late)
        self._waiting.append((self._last_due, receive, arguments))
        path.world.at(self._last_due, self.deliver)

    def deliver(self) -> None:
        """Hand out what is due, unless the path is cut."""
        waiting, path = self._waiting, self._path
        while waiting and waiting[0][0] <= path.world.now:
            if not path.is_open:
                path.hold(self)
                return
            _, receive, arguments = waiting.popleft()
            receive(*arguments)

    def end(self) -> None:
        """Nothing of it is delivered any more."""
        self._waiting.clear()


class Endpoint(Protocol):
    """The server's end of a connection. What it is called with comes from the client."""

    def received(self, data: bytes) -> None: ...
    def ended(self) -> None: ...


class Wire:
    """Both directions between one process and one server.

    :ivar late_replies: by the opcode of the request whose replies come late: by how many seconds.
    :ivar lost_replies: by the opcode of the request whose next reply is lost, and the connection with it: whom to tell.
    """

    def __init__(self, world: World, generator: random.Random, server: Server) -> None:
        self.server = server
        self.to_server = Path(world, generator)
        self.to_client = Path(world, generator)
        self.late_replies: dict[int, float] = {}
        self.lost_replies: dict[int, Callable[[], None]] = {}
        self.transports: dict[Transport, None] = {}

    @property
    def paths(self) -> tuple[Path, Path]:
        return self.to_server, self.to_client

    def reset(self) -> None:
        """Break every connection there is now; both sides hear of it at once."""
        for transport in list(self.transports):
            transport.reset()

    async def dial(self, process: Process, protocol: asyncio.Protocol) -> Transport:
        """Connect.

        :raises ConnectionRefusedError: nobody listens
        """
        answered: asyncio.Future[Transport | None] = process.loop.create_future()
        Pipe(self.to_server).send(self._knock, process, protocol, answered)
        transport = await answered
        if transport is None:
            raise ConnectionRefusedError("the simulated server does not listen")
        protocol.connection_made(transport)
        return transport

    def _knock(self, process: Process, protocol: asyncio.Protocol, answered: asyncio.Future[Transport | None]) -> None:
        transport = None
        if not self.server.is_dead:
            transport = Transport(process, protocol, self)
            self.server.accept(transport)
        Pipe(self.to_client).send(process.io, _answer, transport, answered)


def _answer(transport: Transport | None, answered: asyncio.Future[Transport | None]) -> None:
    if not answered.done():
        answered.set_result(transport)
    elif transport is not None:
        transport.abort()  # who dialled has given up


class Transport(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self, process: Process, protocol: asyncio.Protocol, wire: Wire) -> None:
        super().__init__()
        self._process = process
        self._protocol = protocol
        self._wire = wire
        self._out = Pipe(wire.to_server)
        self._in = Pipe(wire.to_client)
        self._is_closing = False
        self._server_has_ended = False
        self.endpoint: Endpoint | None = None
        wire.transports[self] = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closing and self.endpoint is not None:
            self._out.send(self._at_server, bytes(data))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._is_closing:
            self._end(None)
            self._out.send(self._end_at_server)

    def vanish(self) -> None:
        """The process is no more."""
        self._is_closing = True
        self._in.end()
        self._out.send(self._end_at_server)

    def reset(self) -> None:
        """The network breaks the connection."""
        self._out.end()
        self._end_at_server()
        if not self._is_closing:
            self._end(ConnectionResetError("connection reset by the simulated network"))

    # --- what the server's end does --------------------------------------------------------------------------------

    @property
    def process(self) -> Process:
        return self._process

    def send(self, opcode: int, data: bytes) -> None:
        """Send the reply to such a request."""
        lost = self._wire.lost_replies.pop(opcode, None)
        if lost is None:
            self._in.send(self._at_client, data, late=self._wire.late_replies.get(opcode, 0.0))
        else:
            self.reset()
            lost()

    def close_from_server(self) -> None:
        self._in.send(self._closed_by_server)

    def _at_server(self, data: bytes) -> None:
        if self.endpoint is not None and not self._server_has_ended:
            self.endpoint.received(data)

    def _at_client(self, data: bytes) -> None:
        if not self._is_closing:
            self._process.io(self._hand_over, data)

    def _hand_over(self, data: bytes) -> None:
        if not self._is_closing:  # it may have closed since: frozen, it comes to this late
            self._protocol.data_received(data)

    def _closed_by_server(self) -> None:
        self._process.io(self._end_of_stream)

    def _end_of_stream(self) -> None:
        if not self._is_closing:
            self._end(None)

    def _end_at_server(self) -> None:
        if not self._server_has_ended:
            self._server_has_ended = True
            self._out.end()
            self._wire.transports.pop(self, None)
            if self.endpoint is not None:
                self.endpoint.ended()

    def _end(self, error: Exception | None) -> None:
        self._is_closing = True
        self._in.end()
        if Process.running is self._process:
            self._process.loop.call_soon(self._protocol.connection_lost, error)
        else:
            self._process.io(self._protocol.connection_lost, error)

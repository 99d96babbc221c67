"""`MemoryZooKeeper`: a ZooKeeper in this process, for development and tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

from ._engine import MILLISECONDS, MIN_TICKS, Limits
from ._faults import Delay, Fault, Hold, LostReply, Throttled
from ._four_letters import answer
from ._host import Host
from ._model import OpCode
from ._ports import LOOPBACK
from ._thread import LoopThread

T = TypeVar("T")


class MemoryZooKeeperError(RuntimeError):
    """What was asked of a :class:`MemoryZooKeeper` cannot be done as things are."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session that lives. `timeout` is in seconds; `server` is the place in `MemoryZooKeeper.servers`."""

    session_id: int
    timeout: float
    server: int
    is_connected: bool


class MemoryZooKeeper:
    """A ZooKeeper in this process, for development and tests: it speaks ZooKeeper's protocol on loopback ports.

    It is no distributed system and keeps nothing on disk: when it is closed, all is gone. Production takes a ZooKeeper
    ensemble. Any client works with it. It runs in a thread of its own, so that it goes on while an event loop of the
    test is blocked, and serves synchronous clients too. All methods may be called from any thread or task; they return
    when what they say has happened, within milliseconds.

    ::

        with MemoryZooKeeper() as zookeeper:
            async with ZKClient(zookeeper.hosts) as zk:
                ...

    :param servers: how many ports there are; to clients they are the servers of one ensemble, none of which ever lags.
    :param port: the first server's; a free one by default, as the others'.
    :param tick: in seconds; a session expires at the first tick after its timeout.
    :param min_session_timeout: in seconds; two ticks by default, as in ZooKeeper.
    :param max_session_timeout: in seconds.
    :param seed: of session ids and passwords; chance by default.
    """

    def __init__(
        self,
        servers: int = 1,
        *,
        port: int = 0,
        tick: float = 0.1,
        min_session_timeout: float | None = None,
        max_session_timeout: float = 40.0,
        seed: int | None = None,
    ) -> None:
        if servers < 1:
            raise ValueError(f"a ZooKeeper has at least one server, and not {servers}")
        if round(tick * MILLISECONDS) < 1:
            raise ValueError(f"a tick takes at least a millisecond, and not {tick} s")
        minimum = MIN_TICKS * tick if min_session_timeout is None else min_session_timeout
        limits = Limits(*(round(seconds * MILLISECONDS) for seconds in (tick, minimum, max_session_timeout)))
        self._host = Host([port, *[0] * (servers - 1)], limits, random.Random(seed))
        self._thread: LoopThread | None = None
        self.servers: list[MemoryServer] = [MemoryServer(self, index) for index in range(servers)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def hosts(self) -> str:
        """What a client takes: `127.0.0.1:port,127.0.0.1:port,...`."""
        return ",".join(server.address for server in self.servers)

    def start(self) -> None:
        """Begin to serve; `with` does it.

        :raises MemoryZooKeeperError: it was started before
        :raises OSError: there is no free port, or the one asked for is taken
        """
        if self._thread is not None:
            raise MemoryZooKeeperError("this MemoryZooKeeper was started before: make another one")
        self._thread = LoopThread("MemoryZooKeeper")
        self._thread.start()
        try:
            self._thread.run(self._host.start())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Break all connections and forget everything. A second call does nothing."""
        if self._thread is not None and self._thread.is_running:
            self._thread.run(self._host.close())
            self._thread.stop()

    def sessions(self) -> list[SessionInfo]:
        """All sessions that have not ended, in the order in which they began."""

        def look() -> list[SessionInfo]:
            engine = self._host.engine
            connected = {connection.session_id for connection in engine.connections}
            return [
                SessionInfo(each.session_id, each.timeout / MILLISECONDS, each.server, each.session_id in connected)
                for each in engine.sessions.all()
            ]

        return self._call(look)

    def znodes(self) -> dict[str, bytes | None]:
        """All znodes with their data, sorted by path."""
        return self._call(self._host.engine.tree.contents)

    def four_letter(self, word: str) -> str:
        """What the first server answers to `ruok`, `envi`, `srvr`, `stat`, `mntr`, `cons`, `wchp` or `isro`."""
        return self.servers[0].four_letter(word)

    def expire_session(self, session_id: int) -> None:
        """End a session as if its timeout were over: its ephemeral znodes go, and its connections break.

        :raises MemoryZooKeeperError: there is no such session
        """

        def expire() -> None:
            if self._host.engine.sessions.find(session_id) is None:
                raise MemoryZooKeeperError(f"there is no session 0x{session_id:x}")
            self._host.engine.expire_session(session_id)

        self._call(expire)

    def drop_connections(self, session_id: int | None = None) -> None:
        """Break the connections of this session, or all; sessions, znodes and the ports stay."""
        self._call(lambda: self._host.drop_connections(session_id))

    def cut(
        self, session_id: int | None = None, *, requests: bool = True, replies: bool = True
    ) -> AbstractContextManager[None]:
        """`with zookeeper.cut(session_id): ...`: as if the network swallowed all that this session sends and is sent.

        Its connections stay open; new ones are accepted, and get no answer. Without a session: everybody's. At the end
        of the block what was held up goes on its way, unless somebody has given up.

        :param requests: hold what the client sends.
        :param replies: hold what the client is sent, watch events included.
        """
        return self._during(Hold(session_id, requests=requests, replies=replies))

    def delay(self, seconds: float, session_id: int | None = None) -> AbstractContextManager[None]:
        """`with zookeeper.delay(0.2): ...`: replies and watch events take so much longer; delays add up."""
        return self._during(Delay(seconds, session_id))

    def lose_reply(self, *opcodes: OpCode, session_id: int | None = None) -> None:
        """The next such request is carried out, and then its connection breaks in place of a reply.

        It happens once. Without a session: to whoever sends one first.
        """
        if not opcodes:
            raise ValueError("which replies? For example OpCode.CREATE")
        self._begin(LostReply(frozenset(opcodes), session_id))

    def throttle(self, *opcodes: OpCode, times: int = 1, session_id: int | None = None) -> None:
        """The next such requests are not carried out: their answer is "throttled", as of a server that is overloaded.

        :param times: how many of them. Without a session: of whoever sends them first.
        """
        if not opcodes:
            raise ValueError("which requests? For example OpCode.CREATE")
        for _ in range(times):
            self._begin(Throttled(frozenset(opcodes), session_id))

    @contextmanager
    def outage(self) -> Iterator[None]:
        """`with zookeeper.outage(): ...`: no server is there, connections break and new ones are refused.

        Sessions survive it, as they do in an ensemble that comes back: their timeouts begin anew.
        """
        for server in self.servers:
            server.stop()
        try:
            yield
        finally:
            for server in self.servers:
                server.start()

    def restart(self) -> None:
        """Stop all servers, and start them at once with all that they had: an outage without length."""
        with self.outage():
            pass

    @contextmanager
    def _during(self, fault: Fault) -> Iterator[None]:
        self._begin(fault)
        try:
            yield
        finally:
            self._end(fault)

    def _begin(self, fault: Fault) -> None:
        self._call(lambda: self._host.begin(fault))

    def _end(self, fault: Fault) -> None:
        self._call(lambda: self._host.end(fault))

    def _call(self, function: Callable[[], T]) -> T:
        return self._running().call(function)

    def _running(self) -> LoopThread:
        if self._thread is None or not self._thread.is_running:
            raise MemoryZooKeeperError("this MemoryZooKeeper does not run")
        return self._thread


class MemoryServer:
    """One port of a :class:`MemoryZooKeeper`: to a client, one server of an ensemble."""

    def __init__(self, zookeeper: MemoryZooKeeper, index: int) -> None:
        self._zookeeper = zookeeper
        self._index = index
        self._freeze = Hold(server=index)

    def __repr__(self) -> str:
        return f"<MemoryServer {self._index} on {self.address}>"

    @property
    def port(self) -> int:
        """0 before it was started."""
        return self._zookeeper._host.ports[self._index]

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def four_letter(self, word: str) -> str:
        """What this server answers to `ruok`, `envi`, `srvr`, `stat`, `mntr`, `cons`, `wchp` or `isro`."""
        host = self._zookeeper._host
        return self._zookeeper._call(lambda: answer(word, host.engine, self._index))

    def freeze(self) -> None:
        """From now on it accepts connections and answers nothing; its clients' sessions go on towards expiry."""
        self._zookeeper._begin(self._freeze)

    def thaw(self) -> None:
        """It goes on, with all that has come in meanwhile. Sessions whose time is over are over."""
        self._zookeeper._end(self._freeze)

    def stop(self) -> None:
        """Its connections break, and new ones are refused. Sessions live on: their clients can go to another server."""
        self._zookeeper._call(lambda: self._zookeeper._host.stop_listening(self._index))

    def start(self) -> None:
        """It serves again, on the same port."""
        self._zookeeper._running().run(self._zookeeper._host.listen(self._index))

"""Real ZooKeeper ensembles of one or three servers on loopback, made for tests: each server can be killed and frozen.

The calls are synchronous. In an asyncio test that must go on meanwhile, use `await asyncio.to_thread(server.restart)`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from ._guardian import Guardian
from ._installation import ZooKeeperNotInstalledError, find_class_path, find_java
from ._ports import LOOPBACK, choose_free_ports
from ._server_process import EnsembleError, Mode, PortTakenError, Server, mode_of

__all__ = ["Ensemble", "EnsembleError", "Mode", "PeerAddress", "Server", "ZooKeeperNotInstalledError"]

PeerAddress = Callable[[int, int, int], int]
"""(id of the server that connects, id of the server it connects to, that server's port) -> the port to use."""

START_ATTEMPTS = 5
# What the loggers of ZooKeeper's own distributions read; without it they log every packet.
LOGGER_FILES = {
    "logback.xml": (
        '<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder>'
        "<pattern>%d{HH:mm:ss.SSS} [%thread] %level %logger - %msg%n</pattern></encoder></appender>"
        '<root level="INFO"><appender-ref ref="OUT"/></root></configuration>'
    ),
    "log4j.properties": (
        "log4j.rootLogger=INFO, OUT\n"
        "log4j.appender.OUT=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.OUT.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.OUT.layout.ConversionPattern=%d{HH:mm:ss,SSS} [%t] %p %c - %m%n\n"
    ),
}


class Ensemble:
    """A ZooKeeper of one or three servers in a temporary directory, on free loopback ports.

    Times are in seconds. `extra` are further lines of every server's `zoo.cfg`. With `peer_address` the way from one
    server to another can be led through a proxy. Everything is stopped and removed by `stop()`, and also when this
    process ends in any way.
    """

    def __init__(
        self,
        servers: int = 1,
        *,
        tick: float = 0.5,
        min_session_timeout: float | None = None,
        max_session_timeout: float | None = None,
        init_limit: int = 10,
        sync_limit: int = 4,
        extra: Mapping[str, str] = MappingProxyType({}),
        peer_address: PeerAddress | None = None,
    ) -> None:
        self.size = servers
        self.tick = tick
        self.servers: list[Server] = []
        self._settings = {
            "tickTime": _milliseconds(tick),
            "initLimit": str(init_limit),
            "syncLimit": str(sync_limit),
            "maxClientCnxns": "0",
            "admin.enableServer": "false",
            "autopurge.purgeInterval": "0",
            "4lw.commands.whitelist": "*",
            "standaloneEnabled": "true",
            "forceSync": "no",
        }
        if min_session_timeout is not None:
            self._settings["minSessionTimeout"] = _milliseconds(min_session_timeout)
        if max_session_timeout is not None:
            self._settings["maxSessionTimeout"] = _milliseconds(max_session_timeout)
        self._settings |= extra
        self._peer_address = peer_address
        self._directory: Path | None = None
        self._guardian: Guardian | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def hosts(self) -> str:
        """What a client takes: `127.0.0.1:port,127.0.0.1:port,...`."""
        return ",".join(server.address for server in self.servers)

    def start(self) -> None:
        """Start all servers, and return when every one of them serves.

        :raises ZooKeeperNotInstalledError: there is no ZooKeeper here; the message says how to install it
        :raises EnsembleError: a server did not start; with the end of its log
        """
        if self.servers:
            raise EnsembleError("this ensemble is running already")
        find_class_path()
        find_java()
        for attempts_left in reversed(range(START_ATTEMPTS)):
            try:
                self._start_on_new_ports()
                return
            except PortTakenError:
                self.stop()
                if not attempts_left:
                    raise
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Kill every server and remove the directory. A second call does nothing."""
        for server in self.servers:
            server.kill()
        self.servers = []
        if self._guardian is not None:
            self._guardian.release()
            self._guardian = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def leader(self) -> Server:
        """The server that leads the ensemble now (of a single server: that one).

        :raises EnsembleError: none does, or it does not answer
        """
        for server in self.servers:
            if mode_of(server) in ("leader", "standalone"):
                return server
        raise EnsembleError(f"no server of {self.hosts} leads")

    def followers(self) -> list[Server]:
        """The servers that follow the ensemble's leader now."""
        return [server for server in self.servers if mode_of(server) == "follower"]

    def wait_until_serving(self) -> None:
        """Return when every running server serves; for use after kills and thaws."""
        for server in self.servers:
            if server.is_running:
                server.wait_until_serving()

    def _start_on_new_ports(self) -> None:
        # The kernel resolves links in the paths that a server reports, so this must be the real path from the start.
        self._directory = Path(tempfile.mkdtemp(prefix="golea-ensemble-")).resolve()
        self._guardian = Guardian(self._directory)
        ports = iter(choose_free_ports(3 * self.size))
        for identity in range(1, self.size + 1):
            server_ports = (next(ports), next(ports), next(ports))
            self.servers.append(Server(identity, self._directory / str(identity), server_ports, self._guardian))
        for server in self.servers:
            self._write_configuration(server)
            server.start(wait=False)
        for server in self.servers:
            server.wait_until_serving()

    def _write_configuration(self, server: Server) -> None:
        server.directory.mkdir()
        (server.directory / "myid").write_text(str(server.identity))
        for name, content in LOGGER_FILES.items():
            (server.directory / name).write_text(content)
        settings = self._settings | {
            "dataDir": str(server.directory),
            "clientPort": str(server.port),
            "clientPortAddress": LOOPBACK,
        }
        if self.size > 1:
            settings |= {f"server.{peer.identity}": self._address_for(server, peer) for peer in self.servers}
        lines = [f"{key}={value}\n" for key, value in settings.items()]
        (server.directory / "zoo.cfg").write_text("".join(lines))

    def _address_for(self, server: Server, peer: Server) -> str:
        ports = (peer.quorum_port, peer.election_port)
        if self._peer_address is not None and peer is not server:
            quorum_port, election_port = (self._peer_address(server.identity, peer.identity, port) for port in ports)
        else:
            quorum_port, election_port = ports
        return f"{LOOPBACK}:{quorum_port}:{election_port}"


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))

"""Real ZooKeeper ensembles of one or three servers on loopback, made for tests: each server can be killed and frozen.

The calls are synchronous. In an asyncio test that must go on meanwhile, use `await asyncio.to_thread(server.restart)`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self, cast

from ._guardian import Guardian
from ._installation import ZooKeeperNotInstalledError, find_class_path, find_java
from ._ports import LOOPBACK, choose_free_ports

__all__ = ["Ensemble", "EnsembleError", "Mode", "PeerAddress", "Server", "ZooKeeperNotInstalledError"]

Mode = Literal["leader", "follower", "standalone"]
PeerAddress = Callable[[int, int, int], int]
"""(id of the server that connects, id of the server it connects to, that server's port) -> the port to use."""

START_TIMEOUT = 60.0
POLL_INTERVAL = 0.02
START_ATTEMPTS = 5
FOUR_LETTER_TIMEOUT = 2.0
# A server that has just begun to listen can leave its first connection without an answer.
POLL_TIMEOUT = 0.2

JVM_OPTIONS = (
    "-Xms16m",  # by itself Java begins with a share of the machine's memory, and fills it before it collects
    "-Xmx128m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dzookeeper.extendedTypesEnabled=true",
    "-Dzookeeper.preAllocSize=1024",
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
MAIN_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
# Not on the class path: Java uses no archive of classes where there are directories on it.
LOGGER_SETTINGS = {"logback.configurationFile": "logback.xml", "log4j.configuration": "log4j.properties"}
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


class EnsembleError(RuntimeError):
    """A server did not start, or does not answer."""


class _PortTakenError(EnsembleError):
    """Somebody else took a port between the choice and the bind."""


class Server:
    """One ZooKeeper server process. Made by `Ensemble`."""

    def __init__(self, identity: int, directory: Path, ports: tuple[int, int, int], guardian: Guardian) -> None:
        self.identity = identity
        self.port: int
        self.quorum_port: int
        self.election_port: int
        self.port, self.quorum_port, self.election_port = ports
        self.directory = directory
        self.log_path: Path = directory / "server.log"
        self._guardian = guardian
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Server {self.identity} on {self.address}>"

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether the process lives; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int:
        return self._live_process().pid

    def start(self, *, wait: bool = True) -> None:
        """Start the process; with `wait`, return when it serves clients (which takes a quorum)."""
        if self.is_running:
            raise EnsembleError(f"{self} is running already")
        loggers = [f"-D{name}={self.directory.as_uri()}/{file}" for name, file in LOGGER_SETTINGS.items()]
        command = [find_java(), *JVM_OPTIONS, *loggers, "-cp", ":".join(find_class_path()), MAIN_CLASS]
        command.append(str(self.directory / "zoo.cfg"))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._guardian.watch(self._process.pid)
        if wait:
            self.wait_until_serving()

    def restart(self) -> None:
        """Kill it if it runs, then start it and wait until it serves."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """SIGKILL, and wait for the end of the process. Nothing happens if it does not run."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._guardian.forget(self._process.pid)
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP, and wait until every thread has stopped.

        Its connections stay open, new ones are accepted (by the kernel), and nothing is answered.
        """
        process_id = self.process_id
        os.kill(process_id, signal.SIGSTOP)
        # The signal takes effect some time after it was sent: without this the server may answer once more.
        _, status = os.waitpid(process_id, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise EnsembleError(f"{self} ended when it was to be frozen")

    def thaw(self) -> None:
        """SIGCONT."""
        self._live_process().send_signal(signal.SIGCONT)

    def mode(self) -> Mode:
        """What the server is.

        :raises EnsembleError: it does not serve at the moment
        """
        match = re.search(r"^Mode: (leader|follower|standalone)$", self.four_letter("srvr"), re.MULTILINE)
        if match is None:
            raise EnsembleError(f"{self} does not serve at the moment")
        return cast(Mode, match.group(1))

    def four_letter(self, word: str, *, timeout: float = FOUR_LETTER_TIMEOUT) -> str:
        """The answer to a four-letter word such as `mntr`, `srvr`, `cons` or `wchp`.

        :raises EnsembleError: the server does not answer
        """
        answer = bytearray()
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=timeout) as connection:
                connection.sendall(word.encode())
                while chunk := connection.recv(65536):
                    answer += chunk
        except OSError as error:
            raise EnsembleError(f"{self} does not answer {word!r}: {error}") from error
        return answer.decode()

    def wait_until_serving(self, timeout: float = START_TIMEOUT) -> None:
        """Return when it answers as leader, follower or standalone.

        :raises EnsembleError: its process ended, or the time is over; with the end of its log
        """
        deadline = time.monotonic() + timeout
        while not self._is_serving():
            log = self.log_path.read_text(errors="replace")
            if "BindException" in log or "Address already in use" in log:
                raise _PortTakenError(f"a port of {self} was taken\n{log[-2000:]}")
            if not self.is_running:
                raise EnsembleError(f"{self} ended while it started\n{log[-4000:]}")
            if time.monotonic() > deadline:
                raise EnsembleError(f"{self} does not serve after {timeout:g} s\n{log[-4000:]}")
            time.sleep(POLL_INTERVAL)

    def _is_serving(self) -> bool:
        try:
            # Another ensemble's server may have taken the port, and would answer here.
            is_this_one = f"dataDir={self.directory}" in self.four_letter("conf", timeout=POLL_TIMEOUT)
            return is_this_one and bool(self.mode())
        except EnsembleError:
            return False

    def _live_process(self) -> subprocess.Popen[bytes]:
        if self._process is None or not self.is_running:
            raise EnsembleError(f"{self} is not running")
        return self._process


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
            except _PortTakenError:
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
            if _mode_or_none(server) in ("leader", "standalone"):
                return server
        raise EnsembleError(f"no server of {self.hosts} leads")

    def followers(self) -> list[Server]:
        """The servers that follow the ensemble's leader now."""
        return [server for server in self.servers if _mode_or_none(server) == "follower"]

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


def _mode_or_none(server: Server) -> Mode | None:
    try:
        return server.mode()
    except EnsembleError:
        return None


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))

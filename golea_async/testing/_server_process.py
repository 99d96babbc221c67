"""One ZooKeeper server as a process of its own: it is started, killed and frozen, and says what it is."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Literal, cast

from ._guardian import Guardian
from ._installation import find_class_path, find_java
from ._ports import LOOPBACK

Mode = Literal["leader", "follower", "standalone"]

START_TIMEOUT = 60.0
POLL_INTERVAL = 0.02
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


class EnsembleError(RuntimeError):
    """A server did not start, or does not answer."""


class PortTakenError(EnsembleError):
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
                raise PortTakenError(f"a port of {self} was taken\n{log[-2000:]}")
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


def mode_of(server: Server) -> Mode | None:
    """Return what a server is; None: it does not serve at the moment."""
    try:
        return server.mode()
    except EnsembleError:
        return None

"""`python -m tests.support.classes FILE` writes an archive of ZooKeeper's classes.

A server that has it starts with two thirds of the processor time. Java goes without an archive that does not fit.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from golea_async.testing import Ensemble

POLL_INTERVAL = 0.02


def write(archive: Path) -> None:
    """Run a server, and have Java write down at its end what it has loaded."""
    written = archive.with_suffix(".new")
    written.unlink(missing_ok=True)
    os.environ["JDK_JAVA_OPTIONS"] = f"-XX:+IgnoreUnrecognizedVMOptions -XX:ArchiveClassesAtExit={written}"
    with Ensemble(1) as ensemble:
        (server,) = ensemble.servers
        server.four_letter("mntr")
        os.kill(server.process_id, signal.SIGTERM)
        while server.is_running:
            time.sleep(POLL_INTERVAL)
    if written.exists():  # not with Java 11 and 12
        written.replace(archive)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

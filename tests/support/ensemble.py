"""The ensembles of `golea_async.testing`, under the names that our tests know."""

import re
from typing import TypeAlias

from golea_async.testing import MemoryZooKeeper
from golea_async.testing.ensemble import Ensemble, EnsembleError, Mode, PeerAddress, Server

__all__ = ["Ensemble", "EnsembleError", "Mode", "PeerAddress", "Server", "SharedEnsemble", "version_of"]

SharedEnsemble: TypeAlias = Ensemble | MemoryZooKeeper
"""The fixture `ensemble` where tests also run in memory; elsewhere it is always a real one."""


def version_of(ensemble: SharedEnsemble) -> tuple[int, ...]:
    """Return the version of ZooKeeper, as its first server says it: such as (3, 8, 0)."""
    said = ensemble.servers[0].four_letter("srvr")
    version = re.match(r"Zookeeper version: (\d+)\.(\d+)\.(\d+)", said)
    assert version is not None, said
    return tuple(map(int, version.groups()))

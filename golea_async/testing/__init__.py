"""What tests of leader election need: a ZooKeeper in memory, faults, real ensembles, and pytest fixtures.

The fixtures `memory_zookeeper`, `zk_client` and `zookeeper_ensemble` are there wherever this package is installed
(:mod:`golea_async.testing.pytest_plugin`).
"""

from ._model import OpCode
from .ensemble import Ensemble, EnsembleError, Server, ZooKeeperNotInstalledError
from .server import MemoryServer, MemoryZooKeeper, MemoryZooKeeperError, SessionInfo

__all__ = [
    "Ensemble",
    "EnsembleError",
    "MemoryServer",
    "MemoryZooKeeper",
    "MemoryZooKeeperError",
    "OpCode",
    "Server",
    "SessionInfo",
    "ZooKeeperNotInstalledError",
]

"""What `golea_async.testing` offers: all of it is imported from there."""

from ._hand_over import handed_over
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
    "handed_over",
]

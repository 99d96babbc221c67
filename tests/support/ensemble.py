"""The ensembles of `golea_async.testing`, under the names that our tests know."""

from typing import TypeAlias

from golea_async.testing import MemoryZooKeeper
from golea_async.testing.ensemble import Ensemble, EnsembleError, Mode, PeerAddress, Server

__all__ = ["Ensemble", "EnsembleError", "Mode", "PeerAddress", "Server", "SharedEnsemble"]

SharedEnsemble: TypeAlias = Ensemble | MemoryZooKeeper
"""The fixture `ensemble` where tests also run in memory; elsewhere it is always a real one."""

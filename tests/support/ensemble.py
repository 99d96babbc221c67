"""The real ensembles of `golea_async.testing`, under the name that our tests know."""

from golea_async.testing.ensemble import Ensemble, EnsembleError, Mode, PeerAddress, Server

__all__ = ["Ensemble", "EnsembleError", "Mode", "PeerAddress", "Server"]

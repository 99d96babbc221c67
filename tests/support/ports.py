"""The choice of ports of `golea_async.testing`, under the name that our tests know."""

from golea_async.testing._ports import LOOPBACK, choose_free_ports

__all__ = ["LOOPBACK", "choose_free_ports"]

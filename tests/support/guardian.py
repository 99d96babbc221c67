"""The guardian of `golea_async.testing`, under the name that our tests know."""

from golea_async.testing._guardian import Guardian

__all__ = ["Guardian"]

"""Packages whose names are loaded when the first of them is wanted.

pytest imports `golea_async.testing.pytest_plugin`, and so its packages, in every run of every project where this
library is installed. A run that uses none of it does not pay for aiozk, nor for a ZooKeeper in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module


def load_on_first_use(package: str) -> Callable[[str], object]:
    """Return the `__getattr__` of a package that offers the names of its module `_api`."""

    def __getattr__(name: str) -> object:  # noqa: N807 - it is one
        # The import system asks a package for `__path__` and others: that is no use of it.
        if not name.startswith("_") or name == "__all__":
            api = import_module(f"{package}._api")
            names = {each: getattr(api, each) for each in ("__all__", *api.__all__)}
            vars(sys.modules[package]).update(names)
            if name in names:
                return names[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])

    return __getattr__

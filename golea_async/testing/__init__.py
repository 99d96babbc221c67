"""What tests of leader election need: a ZooKeeper in memory, faults, real ensembles, and pytest fixtures.

pytest finds the fixtures `memory_zookeeper`, `zk_client` and `zookeeper_ensemble` wherever this package is installed.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._api import *  # noqa: F403 - its __all__ is the list of names
else:
    from golea_async._lazy import load_on_first_use

    __getattr__ = load_on_first_use(__name__)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})

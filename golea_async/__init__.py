"""Leader election for asyncio on Apache ZooKeeper."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._api import *  # noqa: F403 - its __all__ is the list of names
else:
    from ._lazy import load_on_first_use

    __getattr__ = load_on_first_use(__name__)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})

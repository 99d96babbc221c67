# Incomplete: what is not described here may be anything.
from typing import Any

def __getattr__(name: str) -> Any: ...

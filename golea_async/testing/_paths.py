"""Which paths ZooKeeper takes, and what their parts are. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from ._model import ErrorCode, RequestError


def parent_of(path: str) -> str:
    """The parent's path as watches know it."""
    return path.rpartition("/")[0] or "/"


def parent(path: str) -> str:
    """Return the path under which a znode is to be made or deleted.

    :raises RequestError: there is none
    """
    if "/" not in path or "\0" in path:
        raise RequestError(ErrorCode.BAD_ARGUMENTS)
    return path.rpartition("/")[0]


def name(path: str) -> str:
    """Return a znode's name without its parents."""
    return path.rpartition("/")[2]


def validate(path: str) -> None:
    """:raises RequestError: ZooKeeper takes no such path"""
    if not _is_valid(path):
        raise RequestError(ErrorCode.BAD_ARGUMENTS)


# ZooKeeper's `PathUtils.validatePath`: of the parts none is empty, "." or "..". Java sees two surrogates where a
# character is beyond 16 bits, and forbids those.
_VALID_PATH = re.compile("/|(?:/(?!\\.{0,2}(?:/|$))[^/\0-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]+)+")


@lru_cache(maxsize=1024)
def _is_valid(path: str) -> bool:
    """The same paths come again and again, thousands of times in one multi."""
    return _VALID_PATH.fullmatch(path) is not None

"""Which paths ZooKeeper takes, and what their parts are. Pure."""

from __future__ import annotations

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


@lru_cache(maxsize=1024)
def _is_valid(path: str) -> bool:
    """ZooKeeper's `PathUtils.validatePath`. The same paths come again and again, thousands of times in one multi."""
    if path == "/":
        return True
    parts = path.split("/")
    is_absolute = parts[0] == "" and len(parts) > 1
    return is_absolute and not any(part in ("", ".", "..") for part in parts[1:]) and not any(map(_is_forbidden, path))


def _is_forbidden(character: str) -> bool:
    # Java sees two surrogates where a character is beyond 16 bits, and forbids those.
    number = ord(character)
    return number <= 0x1F or 0x7F <= number <= 0x9F or 0xD800 <= number <= 0xF8FF or number >= 0xFFF0

"""What a write does to the znodes, decided: the change, who makes it and when, and what comes of it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ._model import Acl, ErrorCode, EventType, Identity, OpCode, Stat


class Creation(NamedTuple):
    opcode: OpCode
    path: str
    data: bytes | None
    acl: tuple[Acl, ...]
    owner: int


@dataclass(frozen=True, slots=True)
class Deletion:
    path: str


@dataclass(frozen=True, slots=True)
class NewData:
    path: str
    data: bytes | None
    version: int


@dataclass(frozen=True, slots=True)
class NewAcl:
    path: str
    acl: tuple[Acl, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Checked:
    path: str


Change: TypeAlias = Creation | Deletion | NewData | NewAcl | Checked


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes: the owner of ephemeral znodes, and the identities that access control lists are held against."""

    session_id: int
    identities: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """When in history a change is: its zxid, and the milliseconds since 1970."""

    zxid: int
    time: int


class Event(NamedTuple):
    """What happened to a znode, and who may read it, and its parent: nobody else may hear of it."""

    type: EventType
    path: str
    acl: tuple[Acl, ...]
    parent_acl: tuple[Acl, ...] = ()


class Applied(NamedTuple):
    """A change that was made; the stat is the one right after it, and `undo` takes it back if it is the latest."""

    change: Change
    stat: Stat | None
    event: Event | None
    undo: Callable[[], None]


class MultiError(Exception):
    """Nothing was done, because of one write of several."""

    def __init__(self, index: int, code: ErrorCode) -> None:
        super().__init__(index, code)
        self.index = index
        self.code = code

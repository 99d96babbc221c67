"""What stands in ZooKeeper about one election at one moment."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiozk import exc

from golea_async import Candidate, ElectionNotFoundError, ZKClient, list_candidates

_OURS = re.compile("le_-?[0-9]{9,10}|DONE|step_down")
MOST_LISTS = 20
"""So often the candidates are listed for one snapshot, when they come and go faster than they can be read."""


class State(StrEnum):
    """What an election is in."""

    LED = "led"
    NOBODY_STANDS = "nobody stands"
    BEING_ENDED = "being ended"
    NO_ELECTION = "no election"


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate.

    :ivar since: when it was nominated, in seconds since the epoch, by ZooKeeper's clock.
    :ivar session: the session whose end takes it away; 0 when it is persistent, and nothing does.
    """

    id: str
    name: str
    fencing_token: int
    since: float
    session: int

    @property
    def label(self) -> str:
        """What to call it: its name, or its znode where it has none."""
        return self.name or self.id.rpartition("/")[2]

    def as_json(self) -> dict[str, Any]:
        """Return it with times that people can read, too."""
        return {
            "id": self.id,
            "name": self.name,
            "fencing_token": self.fencing_token,
            "since": round(self.since, 3),
            "session": f"0x{self.session & (2**64 - 1):x}",
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An election: the candidates in order, the leader first, and the children that are none of an election's."""

    resource: str
    state: State
    candidates: tuple[Standing, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def leader(self) -> Standing | None:
        """Who leads by ZooKeeper's word."""
        return self.candidates[0] if self.candidates else None

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        candidates = [candidate.as_json() for candidate in self.candidates]
        return {
            "resource": self.resource,
            "state": self.state,
            "leader": candidates[0] if candidates else None,
            "followers": candidates[1:],
            "foreign_children": list(self.foreign),
        }

    def age(self, candidate: Standing) -> float:
        """Return for how many seconds a candidate has stood."""
        return time.time() - candidate.since


async def take_snapshot(zk: ZKClient, resource: str, *, watch: bool = False) -> Snapshot:
    """Read an election, behind a quorum write: as of now.

    :param watch: also have the client told of the next change of the children, or of the election node's creation.
    """
    try:
        if watch:  # before it is read: of a change in between nothing else would tell
            await zk.get_children(resource, watch=True)
        standing = await _read(zk, resource)
        children = await zk.get_children(resource)
    except (ElectionNotFoundError, exc.NoNode):
        if watch:
            await zk.exists(resource, watch=True)
        return Snapshot(resource, State.NO_ELECTION)
    foreign = tuple(sorted(child for child in children if not _OURS.fullmatch(child)))
    state = State.LED if standing else State.NOBODY_STANDS
    return Snapshot(resource, State.BEING_ENDED if "DONE" in children else state, standing, foreign)


async def _read(zk: ZKClient, resource: str) -> tuple[Standing, ...]:
    """Return who stands: all that one list shows.

    When one of them is gone before its session was read, it lists again, as `list_candidates` does, and as often.
    """
    known: dict[tuple[str, int], Standing] = {}
    candidates: list[Candidate] = []
    for _ in range(MOST_LISTS):
        with _said_here():
            candidates = await list_candidates(zk, resource)
        unread = [each for each in candidates if _key(each) not in known]
        stats = await asyncio.gather(*(_stat(zk, each.id) for each in unread))
        for each, stat in zip(unread, stats, strict=True):
            if stat is not None and stat.created_zxid == each.fencing_token:
                since, session = stat.created / 1000, stat.ephemeral_owner
                known[_key(each)] = Standing(each.id, each.name, each.fencing_token, since, session)
        if all(_key(each) in known for each in candidates):
            break
    return tuple(known[_key(each)] for each in candidates if _key(each) in known)


def _key(candidate: Candidate) -> tuple[str, int]:
    return candidate.id, candidate.fencing_token


@contextmanager
def _said_here() -> Iterator[None]:
    """Have the library not warn of foreign children: the snapshot has them."""
    logger = logging.getLogger("golea_async.election")
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False


async def _stat(zk: ZKClient, path: str) -> Any:
    """Return the stat of a znode, None when it has gone since it was listed."""
    try:
        _, stat = await zk.get(path)
    except exc.NoNode:
        return None
    return stat

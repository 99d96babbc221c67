"""A leader and a follower that have just joined: where most cases of docs/protocol.md begin."""

from __future__ import annotations

from typing import Any

from .life import (
    Life,
    created,
    missing,
    node,
    path,
    shown,
)
from .script import OTHER_SESSION


def leader(**settings: Any) -> Life:
    """One that was alone when it joined, with number 0."""
    life = Life(**settings)
    life.begin()
    life.join(created(0), node(children=1), missing())
    life.watches("get le_0 (w)")
    life.show(path(0), shown(0))
    life.waits()
    life.statuses()
    return life


def follower(**settings: Any) -> Life:
    """Number 7, behind number 6."""
    life = Life(**settings)
    life.begin()
    life.join(created(7), node(newest=7), missing())
    life.watches("get le_6 (w) + get le_7 (w)")
    life.show(path(6), shown(6, session=OTHER_SESSION))
    life.show(path(7), shown(7))
    life.waits()
    life.statuses()
    return life

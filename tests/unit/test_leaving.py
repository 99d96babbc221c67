"""A candidate deletes its own znode and no other one: what it looks at first, and what it says of one that has gone."""

from __future__ import annotations

import pytest
from aiozk import exc

from golea_async._protocol.role import Explained

from .life import DATA_CHANGED, DELETED, FIRST_CZXID, Life, checked, deleted, missing, path, shown
from .placed import follower, leader
from .script import NODE_CZXID, OTHER_SESSION, RESOURCE, there
from .script import shown as any_shown


def leaving() -> Life:
    """Number 7, which looks first, since it has another connection."""
    life = follower()
    life.lose_connection()
    life.resign()
    life.reconnect()
    life.asks("check le_7 + get le_7 (w) + exists /election")
    return life


class TestItMayNotBeRead:
    """Then the election node says whether it can still be the own one."""

    @pytest.mark.parametrize("node", [missing(), any_shown(b"", FIRST_CZXID + 50)], ids=["gone", "made anew"])
    def test_and_the_election_is_another_one(self, node: object) -> None:
        life = leaving()
        life.answer(checked(missing()), exc.NoAuth(), node)
        life.has_ended()
        assert life.me.is_withdrawn
        assert life.me.withdrawal_error is None

    def test_and_the_election_is_the_same(self) -> None:
        life = leaving()
        life.answer(checked(), exc.NoAuth(), any_shown(b"", NODE_CZXID))
        life.asks("delete le_7")
        life.answer(deleted())
        life.has_ended()
        assert life.me.is_withdrawn


def test_it_has_gone_before_the_deletion_comes() -> None:
    life = leaving()
    life.answer(checked(), shown(7), there())
    life.asks("delete le_7")
    life.answer(missing())
    life.has_ended()
    assert life.me.is_withdrawn
    assert life.me.withdrawal_error is None


def test_its_data_are_changed_while_it_looks() -> None:
    """That has used up the watch, whose silence would have said that it is there."""
    life = leader()
    life.is_blocked = True
    life.resign()
    life.has_caught_up(is_recent=False)
    life.asks("check le_0 + exists /election")
    life.event(DATA_CHANGED, path(0))
    life.answer(checked(), there())
    life.has_caught_up(is_recent=True)
    life.asks("check le_0 + get le_0 (w) + exists /election")


class TestItSeemedToBeGoneBefore:
    """Belief has ended by that, and who was told so is told why."""

    def resigned(self) -> Life:
        life = leader()
        life.event(DELETED, path(0))
        life.lose_connection()
        life.resign()
        return life

    def test_somebody_has_deleted_it(self) -> None:
        life = self.resigned()
        life.reconnect()
        life.misses_its_znode(0)
        (explained,) = [each for each in life.told if isinstance(each, Explained)]
        assert str(explained.cause) == str(life.me.identity.deleted())
        assert life.me.claims is not None
        assert life.claims.departure is None  # it has not left

    def test_in_another_session_nobody_knows(self) -> None:
        life = self.resigned()
        life.reconnect(OTHER_SESSION)
        life.misses_its_znode(0)
        assert [each for each in life.told if isinstance(each, Explained)] == [Explained(None)]


def test_a_watch_is_set_by_the_reply_that_shows_its_znode() -> None:
    """The runner keeps a watch that nobody waits for no longer than that."""
    life = leader()
    life.event(DATA_CHANGED, path(0))
    assert life.me.read(path(0), shown(0))
    assert life.me.read(path(0), shown(0)), "it may have been asked twice"
    assert not life.me.read(f"{RESOURCE}/else", shown(0)), "nobody has asked"

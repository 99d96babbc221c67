"""Cases of docs/protocol.md, step by step without a loop: the predecessor goes, or the candidate itself."""

from __future__ import annotations

from typing import Any

import pytest
from aiozk import exc

from golea_async import Role
from golea_async._protocol.steps import Pause, WorkStopped

from .life import (
    CREATED,
    DATA_CHANGED,
    DELETED,
    DONE,
    Life,
    checked,
    created,
    czxid,
    deleted,
    listed,
    missing,
    node,
    path,
    shown,
)
from .placed import follower, leader
from .script import OTHER_SESSION, there

CANDIDATE, FOLLOWER, LEADER = Role.CANDIDATE, Role.FOLLOWER, Role.LEADER


class TestThePredecessorGoes:
    def test_and_it_was_the_last(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.asks("list")  # in the very call that hears of it
        life.answer(listed(7, 8))
        assert life.statuses() == [(LEADER, None)]
        assert life.status.was_following == path(6)
        life.waits()

    def test_with_the_list_travels_a_keep_alive_where_there_is_no_lease(self) -> None:
        life = follower()
        life.lease(None)
        life.event(DELETED, path(6))
        life.asks("check le_7 + list")

    def test_and_another_one_is_before_it(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.answer(listed(2, 7))
        assert life.statuses() == [(FOLLOWER, None)]
        assert (life.status.now_following, life.status.was_following) == (path(2), path(6))
        life.watches("get le_2 (w)")

    def test_its_data_are_changed(self) -> None:
        """That has used up the watch."""
        life = follower()
        life.event(DATA_CHANGED, path(6))
        life.answer(listed(6, 7))
        assert life.statuses() == []
        life.watches("get le_6 (w)")

    def test_and_the_election_with_it(self) -> None:
        life = follower()
        life.event(DELETED, path(6))
        life.answer(missing())
        life.asks("check le_7 + get le_7 + exists DONE + exists /election")
        life.answer(checked(missing()), missing(), missing(), missing())
        assert life.ended() == ["ElectionOverError"]

    def test_before_the_reply_that_shows_it(self) -> None:
        """An event can come before the reply, which then says nothing any more."""
        life = Life()
        life.begin()
        life.join(created(7), node(newest=7), missing())
        life.event(DELETED, path(6))
        life.show(path(6), shown(6, session=OTHER_SESSION))
        life.asks("list")
        assert life.statuses() == [(CANDIDATE, None)]

    def test_while_a_list_is_on_its_way(self) -> None:
        """The election ends in the meantime: what the list shows is not true any more."""
        life = follower()
        life.event(DELETED, path(6))
        life.event(CREATED, DONE)
        life.answer(listed(7))
        assert life.ended() == ["ElectionOverError"]
        assert life.statuses() == []


class TestResigning:
    def test_as_the_leader(self) -> None:
        life = leader()
        life.resign()
        assert (life.ceased(), life.ended()) == ([None], [None])
        life.asks("delete le_0")  # in the very call
        assert not life.me.is_withdrawn
        life.answer(deleted())
        life.has_ended()
        assert life.me.is_withdrawn

    def test_the_deletion_waits_for_the_work(self) -> None:
        life = leader()
        life.me.is_working = True
        life.resign()
        assert life.ceased() == [None]
        assert isinstance(life.step, WorkStopped)
        life.me.is_working = False
        life.work_has_stopped()
        life.asks("delete le_0")

    def test_behind_a_lost_connection_it_looks_first(self) -> None:
        life = leader()
        life.resign()
        life.lose_connection()
        life.waits()
        life.reconnect()
        life.finds_its_znode(0)
        life.asks("delete le_0")
        life.answer(missing())
        life.has_ended()

    def test_another_candidates_znode_at_its_path_stays(self) -> None:
        life = leader()
        life.resign()
        life.lose_connection()
        life.reconnect()
        life.answer(checked(), shown(0, session=OTHER_SESSION), there())
        life.has_ended()
        assert life.me.is_withdrawn

    def test_without_permission(self) -> None:
        life = leader()
        life.resign()
        life.answer(exc.NoAuth())
        life.has_ended()
        assert type(life.me.withdrawal_error).__name__ == "NotAuthorizedError"
        life.withdraw_again()
        life.finds_its_znode(0)
        life.answer(deleted())
        life.has_ended()
        assert life.me.is_withdrawn

    def test_when_something_was_not_read_it_is_read_first(self) -> None:
        life = leader()
        life.is_blocked = True
        life.resign()
        life.event(DELETED, path(0))
        life.has_caught_up(is_recent=True)
        life.has_ended()
        assert life.me.is_withdrawn

    def test_after_a_pause_it_looks_first(self) -> None:
        life = leader()
        life.is_blocked = True
        life.resign()
        life.has_caught_up(is_recent=False)
        life.asks("check le_0 + exists /election")  # its watch is set: an event comes ahead of the answer
        life.event(DELETED, path(0))
        life.answer(checked(missing()), missing())
        life.has_caught_up(is_recent=True)
        life.has_ended()

    def test_what_may_not_be_read_is_deleted_where_the_election_node_is_older(self) -> None:
        life = leader()
        life.lose_connection()
        life.resign()
        life.reconnect()
        life.answer(checked(), exc.NoAuth(), there())
        life.asks("delete le_0")

    def test_while_it_is_out_of_touch(self) -> None:
        life = follower()
        life.lose_connection()
        life.resign()
        life.waits()
        life.reconnect()
        life.asks("check le_7 + get le_7 (w) + exists /election")


class TestTheClientIsClosed:
    def test_in_order(self) -> None:
        life = leader()
        life.me.session_timeout = 4.0
        life.close_client()
        assert (life.ceased(), life.ended()) == (["ClientClosedError"], ["ClientClosedError"])
        assert life.step == Pause(4.0)
        life.client_is_closed()
        life.has_ended()
        assert life.me.is_withdrawn

    def test_while_the_answer_is_on_its_way_that_shows_the_own_znode(self) -> None:
        """It does not come any more."""
        life = leader()
        life.me.session_timeout = 4.0
        life.event(DATA_CHANGED, path(0))
        life.resign()
        life.answer(listed(0))
        life.waits()
        life.close_client()
        assert life.step == Pause(4.0)
        life.client_is_closed()
        life.has_ended()
        assert life.me.is_withdrawn

    def test_without_an_answer(self) -> None:
        life = leader()
        life.close_client()
        life.time_is_over()
        life.has_ended()
        assert type(life.me.withdrawal_error).__name__ == "ResignError"


@pytest.mark.parametrize(("make", "number", "token"), [(follower, 7, None), (leader, 0, czxid(0))])
def test_a_crash_is_the_last_status_and_the_znode_goes(
    make: Any, number: int, token: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    life = make()
    role, me = life.status.role, f"candidate 'one' ({path(number)})"
    life.event(DATA_CHANGED, path(6 if role is FOLLOWER else 0))
    life.answer(None)  # nothing that ZooKeeper could answer
    assert life.ended() == ["CrashedError"]
    error = life.status.error
    assert isinstance(error.__cause__, AttributeError)
    assert str(error) == f"{me} has crashed: {error.__cause__!r}; please report it"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.levelname == "ERROR"
    assert record.getMessage() == f"{me} has crashed: this is a bug in golea_async"
    carried = {key: vars(record)[key] for key in ("election", "candidate", "role", "reason", "fencing_token")}
    assert carried == life.me.identity.fields(role, "crashed", token)
    life.show(path(number), shown(number))
    life.asks(f"delete le_{number}")

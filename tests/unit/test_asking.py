"""What requests of operators have in common, step by step and without a socket: the child, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from aiozk import exc

from golea_async import ElectionError, ElectionNotFoundError, ElectionOverError, NotAuthorizedError, TransferError
from golea_async._protocol.asking import Asking
from golea_async._protocol.refusals import THROTTLED, NotDoneError
from golea_async._protocol.steps import Pause
from golea_async._zookeeper.wire import response_error

from .operator_script import (
    ASKS_A,
    ASKS_B,
    BY,
    CHECKED,
    DEADLINE,
    FOR_B,
    FOR_C,
    LASTING,
    LOOK,
    MEETS,
    THERE,
    UNREADABLE,
    ZK,
    A,
    B,
    C,
    D,
    Line,
    asked,
    look,
    meets,
    nothing_to_delete,
    pauses,
    reads,
    removal,
    says,
    takes_back,
    transfer,
    watches,
    writes,
)
from .script import (
    NODE_CZXID,
    NOT_THERE,
    OTHER_SESSION,
    RESOURCE,
    SESSION,
    TAKEN,
    behind,
    failed,
    interrupted,
    listed,
    play,
    refused,
    shown,
)

BAD = exc.BadArguments()
REMOVE = "remove it, by `await zk.delete('/election/step_down')`"
LASTS = f"that znode belongs to no session, so it never goes by itself: {REMOVE}"
MAY_LAST = f"If it is not that of a newer version of golea_async, and does not go with a session, {REMOVE}"


class TestSomethingHasChangedBeforeItWasWatched:
    """Its event will not come: it looks again, without a pause."""

    @pytest.mark.parametrize(
        "watched",
        [
            watches(A, B, shows=NOT_THERE),
            watches(A, B, done=THERE),
            watches(A, B, child=NOT_THERE),
        ],
        ids=["a candidate", "DONE", "the child"],
    )
    def test_it_looks_again(self, watched: Line) -> None:
        script = [look(A, B), reads(A, B), writes(ASKS_A), watched, look(B), *nothing_to_delete()]
        play(transfer().run(ZK), script)


class TestTheChildIsSomebodyElses:
    @pytest.mark.parametrize(
        ("child", "who"),
        [
            (says(asked(A, to=B, by="ops:2"), owner=OTHER_SESSION), "ops:2"),
            (says(asked(A, to=B, id="another")), BY),  # of the same program
            (says(asked(A, to=B, by="ops:2")), "ops:2"),  # of a forked process that has drawn the same id
            (shown(b"?", 700), "somebody"),
            (shown(None, 700), "somebody"),
            (UNREADABLE, "somebody"),
        ],
    )
    def test_it_is_left_alone(self, child: object, who: str) -> None:
        asking = transfer()
        script = [look(A, B, child=child), reads(A, B)]
        refused(asking.run(ZK), script, TransferError, f"^{who} asks candidates")
        assert not asking.has_begun

    def test_somebody_was_faster(self) -> None:
        """Its create has failed, and the next look shows whose child there is: that one is not taken back."""
        others = says(asked(A, to=B, by="ops:2"), owner=OTHER_SESSION)
        script = [
            look(A, B),
            reads(A, B),
            writes(ASKS_A, failed(2, 0, exc.NodeExists())),
            watches(A, B),
            pauses(),
            look(A, B, child=others),
            (["check /election", "get step_down"], [CHECKED, others]),
            (["list"], [listed(A, B)]),
        ]
        refused(transfer().run(ZK), script, TransferError, "ops:2 asks")


class TestTheChild:
    @pytest.mark.parametrize("error", [exc.NoNode(), exc.BadVersion(), exc.NodeExists()])
    def test_has_changed_since_the_look(self, error: Exception) -> None:
        """The next look shows that."""
        script = [look(A, B), reads(A, B), writes(ASKS_A, failed(2, 1, error)), watches(A, B, child=NOT_THERE)]
        play(transfer().run(ZK), [*script, look(B), *nothing_to_delete()])

    def test_must_not_be_made(self) -> None:
        asking = transfer()
        script = [look(A, B), reads(A, B), writes(ASKS_A, failed(2, 0, exc.NoAuth())), *nothing_to_delete(A, B)]
        refused(asking.run(ZK), script, NotAuthorizedError, "step_down")
        assert not asking.has_begun

    def test_is_of_an_earlier_session(self) -> None:
        """It goes with that session: it is made anew in this one."""
        script = [
            look(A, B, child=says(FOR_B, version=1, owner=OTHER_SESSION)),
            reads(A, B),
            writes(f"delete step_down at 1, {ASKS_A}"),
            watches(A, B),
            pauses(),
            look(B, child=says(FOR_B, version=1)),
            *takes_back(says(FOR_B, version=1)),
        ]
        play(transfer().run(ZK), script)

    def test_has_asked_the_leader_and_somebody_stands_between_again(self) -> None:
        """A version of 1 and more asks the leader: the followers are asked by a new one."""
        script = [
            look(A, B, C, child=says(asked(A, to=C), version=1)),
            reads(A, B, C),
            writes(f"delete step_down at 1, {ASKS_B}"),
            watches(B, C),
            pauses(),
            look(C, child=says(FOR_C)),
            *takes_back(says(FOR_C)),
        ]
        play(transfer("carl").run(ZK), script)

    def test_has_not_asked_the_leader(self) -> None:
        """Of an earlier run, and what it says is right but for the version."""
        script = [
            look(A, B, child=says(FOR_B)),
            reads(A, B),
            writes("set step_down at 0: le_0 -> le_1"),
            watches(A, B),
            pauses(),
            look(B, child=says(FOR_B, version=1)),
            *takes_back(says(FOR_B, version=1)),
        ]
        play(transfer().run(ZK), script)


class TestTheElection:
    def test_is_missing(self) -> None:
        script = [(LOOK, [NOT_THERE, NOT_THERE, NOT_THERE])]
        refused(transfer().run(ZK), script, ElectionNotFoundError, "create_election")
        script = [(MEETS, [NOT_THERE] * 5)]
        refused(removal().run(ZK), script, ElectionNotFoundError, "create_election")

    def test_must_not_be_listed(self) -> None:
        refused(transfer().run(ZK), [(LOOK, [UNREADABLE, UNREADABLE, UNREADABLE])], NotAuthorizedError, RESOURCE)

    def test_is_being_ended(self) -> None:
        refused(transfer().run(ZK), [look("DONE", A, B)], ElectionOverError, "is being ended")

    def test_is_ended_meanwhile(self) -> None:
        script = [
            *[look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses()],
            look("DONE", A, B, child=says(FOR_B, version=1)),
            *takes_back(says(FOR_B, version=1)),
        ]
        refused(transfer().run(ZK), script, ElectionOverError, "is being ended, or was")

    def test_is_deleted_meanwhile(self) -> None:
        script = [
            *[look(A, B), reads(A, B), writes(ASKS_A), watches(A, B, shows=NOT_THERE)],
            (LOOK, [NOT_THERE, NOT_THERE, NOT_THERE]),
            (["check /election", "get step_down"], [NOT_THERE, NOT_THERE]),
            (["list"], [NOT_THERE]),
        ]
        refused(transfer().run(ZK), script, ElectionOverError, "or was")

    def test_is_deleted_and_made_anew(self) -> None:
        """The one that is there now is another one: nobody is asked in it."""
        script = [
            *[look(A, B), reads(A, B), writes(ASKS_A), watches(A, B, shows=NOT_THERE)],
            look(A, B, czxid=NODE_CZXID + 1),
            *nothing_to_delete(A, B),
        ]
        refused(transfer().run(ZK), script, ElectionOverError, "or was")


class TestZooKeeperHasNoTime:
    """The whole run is to be begun anew."""

    @pytest.mark.parametrize("place", range(3))
    def test_at_the_look(self, place: int) -> None:
        replies: list[object] = [CHECKED, listed(A, B), NOT_THERE]
        replies[place] = response_error(THROTTLED)
        with pytest.raises(NotDoneError):
            play(transfer().run(ZK), [(LOOK, replies)])

    @pytest.mark.parametrize("place", range(2))
    def test_when_it_takes_the_child_back(self, place: int) -> None:
        """It is still to be taken back by the next run."""
        asking = transfer()
        back = (["check /election", "get step_down"], [CHECKED, says(FOR_B, version=1)])
        replies = [TAKEN, listed(B)]
        replies[place] = response_error(THROTTLED)
        script = [
            *[look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses(), look(B), back],
            (["delete step_down at 1", "list"], replies),
        ]
        with pytest.raises(NotDoneError):
            play(asking.run(ZK), script)
        assert asking.has_begun
        play(asking.run(ZK), [look(B), *takes_back(says(FOR_B, version=1))])


class TestGivenUp:
    """By the driver: the client is closed, or the caller was cancelled. Then the child is taken back, and no more."""

    def test_while_it_pauses(self) -> None:
        asking = transfer()
        script = [
            *[look(A, B), reads(A, B), writes(ASKS_A), watches(A, B)],
            (Pause(DEADLINE), asking.given_up()),
            *takes_back(says(FOR_B, version=1)),
        ]
        refused(asking.run(ZK), script, TransferError, "was taken back")
        assert not asking.has_begun

    def test_before_its_next_look(self) -> None:
        asking = transfer()

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses()]
            asking.is_given_up = True
            yield from takes_back(says(FOR_B, version=1))

        # The last line before has been answered by then: the look that would follow is not sent.
        refused(asking.run(ZK), script(), TransferError, "was taken back")

    def test_before_anybody_was_asked(self) -> None:
        asking = transfer()
        asking.is_given_up = True
        refused(asking.run(ZK), [], TransferError, "was taken back")


class TestOnTheNextConnection:
    """Each run is one connection; the state between them is the request's."""

    @pytest.mark.parametrize("steps", range(1, 6))
    def test_it_begins_anew_wherever_it_was(self, steps: int) -> None:
        asking = transfer()
        interrupted(asking.run(ZK), [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses()][:steps])
        assert asking.has_begun == (steps > 2)
        choice = [] if asking.target else [reads(A, B)]
        child = says(FOR_B, version=1) if asking.has_begun else NOT_THERE
        asks = [] if asking.has_begun else [writes(ASKS_A)]
        script = [look(A, B, child=child), *choice, *asks, watches(A, B), pauses(), look(B)]
        play(asking.run(ZK), [*script, *takes_back(says(FOR_B, version=1))])

    def test_in_another_session(self) -> None:
        """The child has gone with the former one, or is going: it is made anew in this one."""
        asking = transfer()
        interrupted(asking.run(ZK), [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B)])
        asking.session_id = SESSION + 1
        going, made = says(FOR_B, version=1), says(FOR_B, version=1, owner=SESSION + 1)
        script = [look(A, B, child=going), writes(f"delete step_down at 1, {ASKS_A}"), watches(A, B), pauses()]
        play(asking.run(ZK), [*script, look(B, child=made), *takes_back(made)])

    def test_the_reply_to_the_deletion_of_the_child_is_lost(self) -> None:
        asking = transfer()
        child = says(FOR_B, version=1)
        script = [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses(), look(B), *takes_back(child)]
        interrupted(asking.run(ZK), script)
        play(asking.run(ZK), [look(B), *nothing_to_delete(B)])


class TestWhatTheChildSays:
    """A test of the bytes: candidates of other versions read them, too."""

    @pytest.mark.parametrize(
        ("asking", "script", "data"),
        [
            (
                transfer,
                [look(A, B), reads(A, B)],
                b'{"candidates": ["le_0000000000"], "to": "le_0000000001", "by": "ops:1", "id": "5f3a"}',
            ),
            (
                removal,
                [meets(A, B)],
                b'{"candidates": ["le_0000000001"], "leave": true, "by": "ops:1", "id": "5f3a"}',
            ),
        ],
        ids=["transfer", "removal"],
    )
    def test_in_json(self, asking: Callable[[], Asking], script: list[Line], data: bytes) -> None:
        (multi,) = behind(asking().run(ZK), script).requests
        assert [each.data for each in multi.requests] == [data] * len(multi.requests)


class TestTheFirstFollowersHaveMoved:
    """Version 0 asks followers, and no other version does: what a leader was asked before is not done for that."""

    def test_the_others_are_asked_by_a_new_child(self) -> None:
        again = "le_0000000004"  # where B stands then
        child = says(asked(B, C, to=D))
        script = [
            look(A, B, C, D),
            reads(A, B, C, D),
            writes("create step_down: le_1 le_2 -> le_3"),
            *[watches(B, D), pauses()],
            look(A, C, D, again, child=child),
            writes("delete step_down at 0, create step_down: le_2 -> le_3"),
            *[watches(C, D), pauses()],
            look(A, C, D, again, child=says(asked(C, to=D))),
            *[watches(C, D), pauses()],  # it says so already
            look(D, child=says(asked(C, to=D))),
            *takes_back(says(asked(C, to=D))),
        ]
        play(transfer("dora").run(ZK), script)


class TestWhatIsSaid:
    """Each text, whole: what is the matter, where, and the way out."""

    def test_of_somebody_elses_request(self) -> None:
        others = says(asked(A, to=B, by="ops:2"), owner=OTHER_SESSION)
        error = refused(transfer().run(ZK), [look(A, B, child=others), reads(A, B)], TransferError)
        assert str(error) == (
            "ops:2 asks candidates of /election for something already (/election/step_down): wait until that is "
            "through; a child that an operator has left behind goes with its session"
        )

    @pytest.mark.parametrize(
        ("child", "who", "way_out"),
        [
            (says(asked(A, to=B, by="ops:2"), owner=LASTING), "ops:2", LASTS),
            (shown(b"?", 700, owner=LASTING), "somebody", LASTS),
            (shown(b"?", 700), "somebody", f"that znode says nothing that is understood. {MAY_LAST}"),
            (UNREADABLE, "somebody", f"that znode may not be read. {MAY_LAST}"),
        ],
        ids=["of no session", "of no session, and strange", "strange", "unreadable"],
    )
    def test_of_a_request_that_may_never_go(self, child: object, who: str, way_out: str) -> None:
        text = f"{who} asks candidates of /election for something already (/election/step_down): {way_out}"
        assert str(refused(transfer().run(ZK), [look(A, B, child=child), reads(A, B)], TransferError)) == text
        assert str(refused(removal().run(ZK), [meets(A, B, child=child)], TransferError)) == text

    def test_of_an_ending(self) -> None:
        error = refused(transfer().run(ZK), [look("DONE", A, B)], ElectionOverError)
        assert str(error) == "the election /election is being ended, or was: nobody is asked any more"

    def test_of_one_that_was_given_up(self) -> None:
        assert str(transfer().given_up()) == (
            "a request to candidates of /election was taken back: its client was closed, or it was cancelled"
        )
        assert transfer().given_up().resource == RESOURCE


class TestARequestIsRefused:
    """With an error that says nothing of the candidates, such as a quota's."""

    @pytest.mark.parametrize(
        ("asking", "script", "path"),
        [
            (transfer, [(LOOK, [CHECKED, BAD, NOT_THERE])], RESOURCE),
            (transfer, [look(A, B), reads(A, B, shows=BAD)], f"{RESOURCE}/{B}"),
            (transfer, [look(A, B), reads(A, B), writes(ASKS_A, BAD), *nothing_to_delete()], f"{RESOURCE}/step_down"),
            (removal, [meets(A, B, shows=BAD)], f"{RESOURCE}/{B}"),
        ],
        ids=["list", "candidate", "child", "candidate to remove"],
    )
    def test_the_error_names_the_znode(self, asking: Callable[[], Asking], script: list[Line], path: str) -> None:
        error = refused(asking().run(ZK), script, ElectionError)
        assert str(error).startswith(f"ZooKeeper refused a request on {path}: ")

    def test_not_done_is_tried_again(self) -> None:
        with pytest.raises(NotDoneError):
            play(removal().run(ZK), [meets(A, B, shows=response_error(THROTTLED))])


def test_it_waits_no_longer_than_there_is_time() -> None:
    asking = transfer()
    asking.now = DEADLINE - 0.25
    script = [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses(0.25), look(B), *nothing_to_delete()]
    play(asking.run(ZK), script)

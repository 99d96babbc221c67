"""The removal of one candidate, by its own doing, step by step and without a socket."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from golea_async import ElectionError, TransferError
from golea_async._protocol.steps import Pause

from .operator_script import (
    CHECKED,
    DEADLINE,
    LASTING,
    LOOK,
    THERE,
    UNREADABLE,
    ZK,
    A,
    B,
    Line,
    asked,
    asked_to_leave,
    candidate,
    look,
    nothing_to_delete,
    pauses,
    reads,
    removal,
    says,
    takes_back,
    watches,
    writes,
)
from .script import (
    NODE_CZXID,
    NOT_THERE,
    OTHER_SESSION,
    RESOURCE,
    play,
    refused,
)

LEAVES = "create step_down: le_1 leaves"
B_LEAVES = asked_to_leave(B)


class TestRemoval:
    def test_it_leaves(self) -> None:
        asking = removal()
        script = [
            look(A, B),
            reads(B),
            writes(LEAVES),
            watches(B),
            pauses(),
            look(A, child=says(B_LEAVES)),
            *takes_back(says(B_LEAVES)),
        ]
        play(asking.run(ZK), script)
        assert not asking.has_begun

    def test_it_does_not_stand(self) -> None:
        play(removal().run(ZK), [look(A)])

    def test_it_leaves_before_it_is_asked(self) -> None:
        play(removal().run(ZK), [look(A, B), reads(B, shows=NOT_THERE)])

    def test_another_one_stands_at_its_path(self) -> None:
        """The path was issued again: that one is not meant."""
        another = candidate(B, czxid=900)
        script = [look(A, B), reads(B), writes(LEAVES), watches(B), pauses(), look(B), reads(B, shows=another)]
        play(removal().run(ZK), [*script, *nothing_to_delete(B)])

    def test_one_that_may_not_be_read_is_asked(self) -> None:
        script = [look(A, B), reads(B, shows=UNREADABLE), writes(LEAVES), watches(B, shows=UNREADABLE), pauses()]
        play(removal().run(ZK), [*script, look(A, child=says(B_LEAVES)), *takes_back(says(B_LEAVES))])

    def test_nobody_answers_for_one_that_belongs_to_no_session(self) -> None:
        script = [look(A, B), reads(B, shows=candidate(B, owner=LASTING))]
        error = refused(removal().run(ZK), script, TransferError)
        assert str(error) == (
            f"{RESOURCE}/{B} belongs to no session, so nobody answers for it: remove it with force=True"
        )
        assert error.candidate_id == f"{RESOURCE}/{B}"

    def test_the_child_is_somebody_elses(self) -> None:
        others = says(asked(A, to=B, by="ops:2"), owner=OTHER_SESSION)
        refused(removal().run(ZK), [look(A, B, child=others), reads(B)], TransferError, "ops:2 asks")

    def test_too_late(self) -> None:
        asking = removal()

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(B), writes(LEAVES), watches(B), pauses()]
            asking.now = DEADLINE
            yield from [look(A, B, child=says(B_LEAVES)), reads(B)]
            yield from takes_back(says(B_LEAVES), A, B)
            yield reads(B)

        error = refused(asking.run(ZK), script(), TransferError)
        assert str(error) == (
            f"'bert' ({B}) was asked to leave {RESOURCE} and did not in time; a GoLea process and a candidate of "
            "golea_async before 0.2 never answer, and neither does one whose work does not stop, or whose program "
            "hangs. force=True deletes it at once, and then two may believe to lead, as docs/hand-over.md tells"
        )
        assert error.candidate_id == f"{RESOURCE}/{B}"

    def test_it_leaves_at_the_last_moment(self) -> None:
        asking = removal()

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(B), writes(LEAVES), watches(B), pauses()]
            asking.now = DEADLINE
            yield from [look(A, B, child=says(B_LEAVES)), reads(B)]
            yield from takes_back(says(B_LEAVES), A)

        play(asking.run(ZK), script())

    def test_the_election_is_gone_at_the_last_moment(self) -> None:
        """And it with that."""
        asking = removal()

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(B), writes(LEAVES), watches(B), pauses()]
            asking.now = DEADLINE
            yield from [look(A, B, child=says(B_LEAVES)), reads(B)]
            yield ["check /election", "get step_down"], [CHECKED, says(B_LEAVES)]
            yield ["delete step_down at 0", "list"], [NOT_THERE, NOT_THERE]

        play(asking.run(ZK), script())

    def test_the_election_is_being_ended(self) -> None:
        """Then it leaves anyway: it is not asked, and waited for."""
        script = [
            look("DONE", A, B),
            reads(B),
            watches(B, child=NOT_THERE, done=THERE),
            pauses(),
            look("DONE", A),
        ]
        play(removal().run(ZK), script)

    def test_the_ending_is_taken_back_before_it_is_watched(self) -> None:
        script = [look("DONE", B), reads(B), watches(B, child=NOT_THERE), look(B), reads(B), writes(LEAVES), watches(B)]
        play(removal().run(ZK), [*script, pauses(), look(), *nothing_to_delete()])

    @pytest.mark.parametrize(
        "seen", [(LOOK, [NOT_THERE] * 3), look(B, czxid=NODE_CZXID + 1)], ids=["deleted", "made anew"]
    )
    def test_the_election_is_gone_and_it_with_that(self, seen: Line) -> None:
        script = [look(A, B), reads(B), writes(LEAVES), watches(B, shows=NOT_THERE), seen]
        play(removal().run(ZK), [*script, *nothing_to_delete()])

    def test_given_up(self) -> None:
        asking = removal()
        script = [look(A, B), reads(B), writes(LEAVES), watches(B), (Pause(DEADLINE), asking.given_up())]
        refused(asking.run(ZK), [*script, *takes_back(says(B_LEAVES))], ElectionError, "was taken back")

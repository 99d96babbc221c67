"""The removal of one candidate, by its own doing, step by step and without a socket."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from golea_async import ElectionError, NotAuthorizedError, TransferError
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
    E,
    Line,
    asked,
    asked_to_leave,
    candidate,
    look,
    meets,
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
    SESSION,
    play,
    refused,
    shown,
)

LEAVES = "create step_down: le_1 leaves"
B_LEAVES = asked_to_leave(B)


class TestRemoval:
    def test_it_leaves(self) -> None:
        asking = removal()
        script = [
            meets(A, B),
            writes(LEAVES),
            watches(B),
            pauses(),
            look(A, child=says(B_LEAVES)),
            *takes_back(says(B_LEAVES)),
        ]
        play(asking.run(ZK), script)
        assert not asking.has_begun

    def test_its_server_shows_it_late(self) -> None:
        script = [meets(A, B, at_once=NOT_THERE), writes(LEAVES), watches(B), pauses()]
        play(removal().run(ZK), [*script, look(A, child=says(B_LEAVES)), *takes_back(says(B_LEAVES))])

    def test_it_does_not_stand(self) -> None:
        play(removal().run(ZK), [meets(A, shows=NOT_THERE)])

    def test_another_one_stands_at_its_path(self) -> None:
        """The election was made anew between the two answers, and the path was issued again: that one is not meant."""
        play(removal().run(ZK), [meets(A, B, czxid=900)])

    def test_one_that_may_not_be_read_is_asked(self) -> None:
        script = [meets(A, B, shows=UNREADABLE), writes(LEAVES), watches(B, shows=UNREADABLE), pauses()]
        play(removal().run(ZK), [*script, look(A, child=says(B_LEAVES)), *takes_back(says(B_LEAVES))])

    def test_nobody_answers_for_one_that_belongs_to_no_session(self) -> None:
        script = [meets(A, B, shows=candidate(B, owner=LASTING))]
        error = refused(removal().run(ZK), script, TransferError)
        assert str(error) == (
            f"{RESOURCE}/{B} belongs to no session, so nobody answers for it: remove it with force=True"
        )
        assert error.candidate_id == f"{RESOURCE}/{B}"

    def test_the_child_is_somebody_elses(self) -> None:
        others = says(asked(A, to=B, by="ops:2"), owner=OTHER_SESSION)
        refused(removal().run(ZK), [meets(A, B, child=others)], TransferError, "ops:2 asks")

    def test_too_late(self) -> None:
        asking = removal()

        def script() -> Iterable[Line]:
            yield from [meets(A, B), writes(LEAVES), watches(B), pauses()]
            asking.now = DEADLINE
            yield look(A, B, child=says(B_LEAVES))
            yield from takes_back(says(B_LEAVES), A, B)
            yield reads(B)

        error = refused(asking.run(ZK), script(), TransferError)
        assert str(error) == (
            f"'bert' ({B}) was asked to leave {RESOURCE} and did not in time; a GoLea process and a candidate of "
            "an older golea_async never answer, and neither does one whose work does not stop, whose program hangs, "
            f"or that may not read {RESOURCE}/step_down, which has this client's default_acl. force=True deletes it at "
            "once, and then two may believe to lead, as docs/hand-over.md tells"
        )
        assert error.candidate_id == f"{RESOURCE}/{B}"

    def test_it_leaves_at_the_last_moment(self) -> None:
        asking = removal()

        def script() -> Iterable[Line]:
            yield from [meets(A, B), writes(LEAVES), watches(B), pauses()]
            asking.now = DEADLINE
            yield look(A, B, child=says(B_LEAVES))
            yield from takes_back(says(B_LEAVES), A)

        play(asking.run(ZK), script())

    def test_the_election_is_gone_at_the_last_moment(self) -> None:
        """And it with that."""
        asking = removal()

        def script() -> Iterable[Line]:
            yield from [meets(A, B), writes(LEAVES), watches(B), pauses()]
            asking.now = DEADLINE
            yield look(A, B, child=says(B_LEAVES))
            yield ["check /election", "get step_down"], [CHECKED, says(B_LEAVES)]
            yield ["delete step_down at 0", "list"], [NOT_THERE, NOT_THERE]

        play(asking.run(ZK), script())

    def test_the_election_is_being_ended(self) -> None:
        """Then it leaves anyway: it is not asked, and waited for."""
        script = [
            meets("DONE", A, B),
            watches(B, child=NOT_THERE, done=THERE),
            pauses(),
            look("DONE", A),
        ]
        play(removal().run(ZK), script)

    def test_the_ending_is_taken_back_before_it_is_watched(self) -> None:
        script = [meets("DONE", B), watches(B, child=NOT_THERE), look(B), writes(LEAVES), watches(B)]
        play(removal().run(ZK), [*script, pauses(), look(), *nothing_to_delete()])

    @pytest.mark.parametrize(
        "seen", [(LOOK, [NOT_THERE] * 3), look(B, czxid=NODE_CZXID + 1)], ids=["deleted", "made anew"]
    )
    def test_the_election_is_gone_and_it_with_that(self, seen: Line) -> None:
        script = [meets(A, B), writes(LEAVES), watches(B, shows=NOT_THERE), seen]
        play(removal().run(ZK), [*script, *nothing_to_delete()])

    def test_given_up(self) -> None:
        asking = removal()
        script = [meets(A, B), writes(LEAVES), watches(B), (Pause(DEADLINE), asking.given_up())]
        refused(asking.run(ZK), [*script, *takes_back(says(B_LEAVES))], ElectionError, "was taken back")


class TestItStepsDownMeanwhile:
    """Its znode is gone, and it stands on at the end of the line: it is asked there."""

    MOVED = shown(b"bert", 900)  # of the same session
    AGAIN = "create step_down: le_5 leaves"
    MOVED_LEAVES = asked_to_leave(E)

    def test_it_is_asked_again(self) -> None:
        script = [
            *[meets(A, B), writes(LEAVES), watches(B), pauses()],
            look(A, E, child=says(B_LEAVES)),
            (["get le_5"], [self.MOVED]),
            writes(f"delete step_down at 0, {self.AGAIN}"),
            *[(["exists DONE (w)", "get step_down (w)", "get le_5 (w)"], [NOT_THERE, THERE, self.MOVED]), pauses()],
            look(A, child=says(self.MOVED_LEAVES)),
            *takes_back(says(self.MOVED_LEAVES), A),
        ]
        play(removal().run(ZK), script)

    @pytest.mark.parametrize("shows", [candidate(B), NOT_THERE], ids=["just before", "at once"])
    def test_before_it_was_listed(self, shows: object) -> None:
        """It was seen at its path, so it is known whom to look for."""
        script = [
            meets(A, E, shows=shows, at_once=candidate(B)),
            (["get le_5"], [self.MOVED]),
            writes(self.AGAIN),
            *[(["exists DONE (w)", "get step_down (w)", "get le_5 (w)"], [NOT_THERE, THERE, self.MOVED]), pauses()],
            look(A, child=says(self.MOVED_LEAVES)),
            *takes_back(says(self.MOVED_LEAVES), A),
        ]
        play(removal().run(ZK), script)

    def test_again_before_it_was_read(self) -> None:
        """Whoever was listed and is gone may be the one: it lists again."""
        script = [
            *[meets(A, B), writes(LEAVES), watches(B), pauses()],
            look(A, E, child=says(B_LEAVES)),
            (["get le_5"], [NOT_THERE]),
            look(A, child=says(B_LEAVES)),
            *takes_back(says(B_LEAVES), A),
        ]
        play(removal().run(ZK), script)

    @pytest.mark.parametrize(
        "newer",
        [shown(b"bert", 900, owner=SESSION), shown(b"carl", 900), UNREADABLE],
        ids=["another session", "another name", "of others"],
    )
    def test_one_that_came_is_another(self, newer: object) -> None:
        script = [
            *[meets(A, B), writes(LEAVES), watches(B), pauses()],
            look(A, E, child=says(B_LEAVES)),
            (["get le_5"], [newer]),
            *takes_back(says(B_LEAVES), A, E),
        ]
        play(removal().run(ZK), script)

    def test_one_that_may_be_read_is_another_than_one_that_may_not(self) -> None:
        """A client gives all its znodes the same access control list."""
        script = [
            *[meets(A, B, shows=UNREADABLE), writes(LEAVES), watches(B, shows=UNREADABLE), pauses()],
            look(A, E, child=says(B_LEAVES)),
            (["get le_5"], [self.MOVED]),
            *takes_back(says(B_LEAVES), A, E),
        ]
        play(removal().run(ZK), script)

    def test_one_that_stood_there_all_the_time_is_another(self) -> None:
        """Also of the same name and session: it was there when both stood."""
        script = [
            *[meets(A, B, E), writes(LEAVES), watches(B), pauses()],
            look(A, E, child=says(B_LEAVES)),
            *takes_back(says(B_LEAVES), A, E),
        ]
        play(removal().run(ZK), script)

    def test_where_it_may_not_be_read_nobody_can_tell(self) -> None:
        script = [
            *[meets(A, B, shows=UNREADABLE), writes(LEAVES), watches(B, shows=UNREADABLE), pauses()],
            look(A, E, child=says(B_LEAVES)),
            (["get le_5"], [UNREADABLE]),
            *takes_back(says(B_LEAVES), A, E),
        ]
        refused(removal().run(ZK), script, NotAuthorizedError, f"{RESOURCE}/{E}")

    def test_at_the_last_moment(self) -> None:
        asking = removal()

        def script() -> Iterable[Line]:
            yield from [meets(A, B), writes(LEAVES), watches(B), pauses()]
            asking.now = DEADLINE
            yield look(A, B, child=says(B_LEAVES))
            yield from takes_back(says(B_LEAVES), A, E)
            yield ["get le_5"], [self.MOVED]
            yield ["get le_5"], [self.MOVED]

        error = refused(asking.run(ZK), script(), TransferError, rf"^'bert' \({E}\) was asked to leave")
        assert error.candidate_id == f"{RESOURCE}/{E}"

    def test_and_time_is_up(self) -> None:
        """Whether it has left cannot be told, so that is not said."""
        asking = removal()

        def script() -> Iterable[Line]:
            yield from [meets(A, B), writes(LEAVES), watches(B), pauses()]
            asking.now = DEADLINE
            yield look(A, E, child=says(B_LEAVES))
            yield ["get le_5"], [NOT_THERE]
            yield from takes_back(says(B_LEAVES), A, "le_0000000006")
            yield ["get le_6"], [NOT_THERE]
            yield reads(B, shows=NOT_THERE)

        refused(asking.run(ZK), script(), TransferError, f"^{RESOURCE}/{B} was asked to leave")

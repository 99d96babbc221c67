"""A transfer of leadership, step by step and without a socket: whom it asks, and what follows from the replies."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from golea_async import NotAuthorizedError, TransferError
from golea_async._protocol.transfer import MOST_MOVES

from .operator_script import (
    ASKS_A,
    ASKS_B,
    CHECKED,
    DEADLINE,
    FOR_B,
    FOR_C,
    LASTING,
    THERE,
    UNREADABLE,
    ZK,
    A,
    B,
    C,
    D,
    E,
    Line,
    asked,
    candidate,
    look,
    nothing_to_delete,
    pauses,
    reads,
    says,
    takes_back,
    transfer,
    watches,
    writes,
)
from .script import (
    NOT_THERE,
    RESOURCE,
    SESSION,
    play,
    refused,
    short,
    shown,
)

NOT_TRANSFERRED = "leadership of /election was not transferred, and by this request will not be: "


class TestTransfer:
    def test_to_the_leaders_follower(self) -> None:
        asking = transfer()
        script = [
            look(A, B),
            reads(A, B),
            writes(ASKS_A),
            watches(A, B),
            pauses(),
            look(B, C, child=says(FOR_B, version=1)),  # as C the former leader stands at the end
            *takes_back(says(FOR_B, version=1), B, C),
        ]
        play(asking.run(ZK), script)
        assert (asking.target, asking.shown) == (B, candidate(B))
        assert not asking.has_begun

    @pytest.mark.parametrize("to", ["carl", C, f"{RESOURCE}/{C}"])
    def test_to_one_behind_others_which_are_asked_first(self, to: str) -> None:
        again = "le_0000000003"  # where B stands then
        script = [
            look(A, B, C),
            reads(A, B, C),
            writes(ASKS_B),
            watches(B, C),
            pauses(),
            look(A, C, again, child=says(FOR_C)),
            writes("set step_down at 0: le_0 -> le_2"),
            watches(A, C),
            pauses(),
            look(C, again, child=says(asked(A, to=C), version=1)),
            *takes_back(says(asked(A, to=C), version=1)),
        ]
        play(transfer(to).run(ZK), script)

    def test_several_are_asked_at_once(self) -> None:
        script = [
            look(A, B, C, D),
            reads(A, B, C, D),
            writes("create step_down: le_1 le_2 -> le_3"),
            watches(B, D),
            pauses(),
            look(D, child=says(asked(B, C, to=D))),
            *takes_back(says(asked(B, C, to=D)), D),
        ]
        play(transfer("dora").run(ZK), script)

    def test_to_who_leads_already(self) -> None:
        asking = transfer("anna")
        play(asking.run(ZK), [look(A, B), reads(A, B)])
        assert not asking.has_begun

    def test_what_it_has_asked_is_not_asked_again(self) -> None:
        script = [
            look(A, B),
            reads(A, B),
            writes(ASKS_A),
            watches(A, B),
            pauses(),
            look(A, B, child=says(FOR_B, version=1)),
            watches(A, B),
            pauses(),
            look(B, child=says(FOR_B, version=1)),
            *takes_back(says(FOR_B, version=1)),
        ]
        play(transfer().run(ZK), script)

    def test_without_a_time_limit_it_looks_again_from_time_to_time(self) -> None:
        script = [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses(3600.0), look(B), *nothing_to_delete()]
        play(transfer(deadline=math.inf).run(ZK), script)


class TestTheTarget:
    def test_leaves(self) -> None:
        script = [
            look(A, B),
            reads(A, B),
            writes(ASKS_A),
            watches(A, B, shows=NOT_THERE),
            look(A, child=says(FOR_B, version=1)),
            reads(A),
            *takes_back(says(FOR_B, version=1), A),
        ]
        left = r"who was to lead has left \(le_0000000001\): ask again, for another candidate"
        refused(transfer("bert").run(ZK), script, TransferError, f"^{NOT_TRANSFERRED}{left}$")

    def test_leaves_and_another_one_follows(self) -> None:
        """Where anybody may lead next the child is changed: it is about another target now."""
        script = [
            look(A, B, C),
            reads(A, B, C),
            writes(ASKS_A),
            watches(A, B, shows=NOT_THERE),
            look(A, C, child=says(FOR_B, version=1)),
            reads(A, C),
            writes("set step_down at 1: le_0 -> le_2"),
            watches(A, C),
            pauses(),
            look(C, child=says(asked(A, to=C), version=2)),
            *takes_back(says(asked(A, to=C), version=2)),
        ]
        play(transfer().run(ZK), script)

    def test_leaves_while_it_is_looked_for(self) -> None:
        script = [look(A, B), reads(A, B, shows=NOT_THERE), look(A)]
        refused(transfer().run(ZK), script, TransferError, f"^{NOT_TRANSFERRED}nobody else stands$")

    def test_is_nobody(self) -> None:
        refused(transfer().run(ZK), [look()], TransferError, f"^{NOT_TRANSFERRED}nobody stands$")
        refused(transfer("bert").run(ZK), [look(), ([], [])], TransferError, "no candidate 'bert' stands")

    def test_is_unknown(self) -> None:
        script = [look(A, B), reads(A, B)]
        refused(transfer("carl").run(ZK), script, TransferError, f"^{NOT_TRANSFERRED}no candidate 'carl' stands$")
        refused(transfer("x" * 101).run(ZK), script, TransferError, f"no candidate '{'x' * 100}' stands")

    def test_has_a_name_that_others_have_too(self) -> None:
        script = [look(A, B, C), reads(A, B, C, shows=candidate(B, czxid=102))]
        with pytest.raises(ValueError, match=f"2 candidates .* {RESOURCE}/{B}, {RESOURCE}/{C}"):
            play(transfer("bert").run(ZK), script)

    def test_may_not_be_read(self) -> None:
        refused(transfer().run(ZK), [look(A, B), reads(A, B, shows=UNREADABLE)], NotAuthorizedError, B)

    def test_belongs_to_no_session(self) -> None:
        script = [look(A, B), reads(A, B, shows=candidate(B, owner=LASTING))]
        refused(transfer().run(ZK), script, TransferError, "belongs to no session")

    def test_stands_behind_one_that_belongs_to_no_session(self) -> None:
        """That one never answers, and nobody behind it ever leads; one behind the target is in nobody's way."""
        lasting = candidate(B, owner=LASTING)
        nodes = ["get le_0", "get le_1", "get le_2"]
        script = [look(A, B, C), (nodes, [candidate(A), lasting, candidate(C)])]
        error = refused(transfer("carl").run(ZK), script, TransferError)
        assert str(error) == (
            f"{NOT_TRANSFERRED}{RESOURCE}/{B} belongs to no session, and nobody behind it ever leads: remove it, by "
            f"`depose(zk, '{RESOURCE}/{B}', force=True)`"
        )
        script = [look(C, A, B), (nodes, [candidate(A), lasting, candidate(C)])]
        play(transfer("anna").run(ZK), script)


class TestTheTargetStepsDownMeanwhile:
    """Its znode is gone, and it stands on at the end of the line."""

    MOVED = shown(b"bert", 900)  # of the same session

    def watches_it(self) -> Line:
        sent = ["exists DONE (w)", "get step_down (w)", "get le_0 (w)", "get le_5 (w)"]
        return sent, [NOT_THERE, THERE, candidate(A), self.MOVED]

    @pytest.mark.parametrize("to", ["bert", B])
    def test_it_leads_all_the_same(self, to: str) -> None:
        asking, again = transfer(to), says(asked(A, to=E), version=1)
        script = [
            *[look(A, B), reads(A, B), writes(ASKS_A), watches(A, B, shows=NOT_THERE)],
            look(A, E, child=says(FOR_B, version=1)),
            (["get le_5"], [self.MOVED]),
            writes("set step_down at 1: le_0 -> le_5"),
            *[self.watches_it(), pauses()],
            look(E, child=again),
            *takes_back(again, E),
        ]
        play(asking.run(ZK), script)
        assert (asking.target, asking.shown) == (E, self.MOVED)

    def test_before_it_was_read(self) -> None:
        """Of that name nobody was shown, and whoever is gone may be the one: it lists again."""
        script = [
            *[look(A, B), reads(A, B, shows=NOT_THERE)],
            look(A, E),
            (["get le_0", "get le_5"], [candidate(A), self.MOVED]),
            writes("create step_down: le_0 -> le_5, set step_down at 0: le_0 -> le_5"),
            *[self.watches_it(), pauses()],
            look(E, child=says(asked(A, to=E), version=1)),
            *takes_back(says(asked(A, to=E), version=1), E),
        ]
        play(transfer("bert").run(ZK), script)

    def test_again_before_it_was_read(self) -> None:
        script = [
            *[look(A, B), reads(A, B), writes(ASKS_A), watches(A, B, shows=NOT_THERE)],
            look(A, D, child=says(FOR_B, version=1)),
            (["get le_3"], [NOT_THERE]),
            look(E, child=says(FOR_B, version=1)),
            (["get le_5"], [self.MOVED]),
            *takes_back(says(FOR_B, version=1), E),
        ]
        play(transfer("bert").run(ZK), script)

    def test_it_has_left_and_comes_again_in_another_session(self) -> None:
        """A name means whoever has it."""
        came = candidate(B, owner=SESSION, czxid=900)
        script = [
            *[look(A, B), reads(A, B), writes(ASKS_A), watches(A, B, shows=NOT_THERE)],
            look(E, A, child=says(FOR_B, version=1)),
            (["get le_5"], [came]),
            (["get le_0", "get le_5"], [candidate(A), came]),
            writes("set step_down at 1: le_0 -> le_5"),
            *[self.watches_it(), pauses()],
            look(E, child=says(asked(A, to=E), version=1)),
            *takes_back(says(asked(A, to=E), version=1), E),
        ]
        play(transfer("bert").run(ZK), script)

    def test_again_and_again(self) -> None:
        """It does not want to lead; asking everybody before it to move behind it has no end."""

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B, shows=NOT_THERE)]
            child = says(FOR_B, version=1)
            for number in range(10, 10 + MOST_MOVES):
                name = f"le_{number:010d}"
                yield look(A, name, child=child)
                yield [f"get le_{number}"], [self.MOVED]
                yield writes(f"set step_down at 1: le_0 -> le_{number}")
                sent = ["exists DONE (w)", "get step_down (w)", "get le_0 (w)", f"get le_{number} (w)"]
                yield sent, [NOT_THERE, THERE, candidate(A), NOT_THERE]
                child = says(asked(A, to=name), version=1)
            yield look(A, "le_0000000099", child=child)
            yield ["get le_99"], [self.MOVED]
            yield from takes_back(child, A, "le_0000000099")

        error = refused(transfer("bert").run(ZK), script(), TransferError)
        assert str(error) == (
            f"{NOT_TRANSFERRED}who was to lead goes to the end of the line again and again (le_0000000099): ask again "
            "when it stays, or for another candidate"
        )

    def test_and_time_is_up(self) -> None:
        asking = transfer("bert")

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses()]
            asking.now = DEADLINE
            yield look(A, E, child=says(FOR_B, version=1))
            yield ["get le_5"], [NOT_THERE]
            yield from takes_back(says(FOR_B, version=1), A)

        up = "time was up while candidates came and went too fast to be read: try again"
        refused(asking.run(ZK), script(), TransferError, f"^{NOT_TRANSFERRED}{up}$")


class TestTooLate:
    """What is not done when the child has been taken back will not be."""

    def test_the_leader_has_not_answered(self) -> None:
        asking = transfer()

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses()]
            asking.now = DEADLINE
            yield look(A, B, child=says(FOR_B, version=1))
            yield from takes_back(says(FOR_B, version=1), A, B)
            yield reads(A)

        error = refused(asking.run(ZK), script(), TransferError)
        assert str(error) == (
            f"{NOT_TRANSFERRED}'anna' ({A}) did not step down in time; a GoLea process and a candidate of an older "
            "golea_async never answer, and neither does one whose work does not stop, whose program hangs, or that may "
            f"not read {RESOURCE}/step_down, which has this client's default_acl"
        )
        assert not asking.has_begun

    def test_it_has_answered_at_the_last_moment(self) -> None:
        asking = transfer()

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses()]
            asking.now = DEADLINE
            yield look(A, B, child=says(FOR_B, version=1))
            yield from takes_back(says(FOR_B, version=1), B, C)

        play(asking.run(ZK), script())

    def test_there_was_no_time_at_all(self) -> None:
        """Nobody was asked, so nothing has to be taken back."""
        script = [look(A, B), reads(A, B), reads(A)]
        refused(transfer(deadline=0.0).run(ZK), script, TransferError, "did not step down in time")

    def test_there_was_no_time_for_the_leader(self) -> None:
        asking = transfer("carl")

        def script() -> Iterable[Line]:
            yield from [look(A, B, C), reads(A, B, C), writes(ASKS_B), watches(B, C), pauses()]
            asking.now = DEADLINE
            yield look(A, B, C, child=says(FOR_C))
            yield from takes_back(says(FOR_C), A, C)

        left = "time was up before all that stand before the target were asked"
        refused(asking.run(ZK), script(), TransferError, f"^{NOT_TRANSFERRED}{left}$")

    @pytest.mark.parametrize(("many", "more"), [(5, ""), (6, " and 1 more"), (7, " and 2 more")])
    def test_of_many_not_all_are_named(self, many: int, more: str) -> None:
        """And of a name that is no text, or a long one, as much as people can read."""
        names = [f"le_{number:010d}" for number in range(1, many + 2)]
        asking = transfer(names[-1])
        shows = [shown(data, 100) for data in (b"x", b"\xff", b"y" * 101, None)]
        nodes = [shows[0]] * (many + 2)

        def script() -> Iterable[Line]:
            yield look(A, *names)
            yield [f"get {short(name)}" for name in (A, *names)], nodes
            yield writes(f"create step_down: {' '.join(map(short, names[:-1]))} -> {short(names[-1])}")
            watched = ["exists DONE (w)", "get step_down (w)", "get le_1 (w)", f"get {short(names[-1])} (w)"]
            yield watched, [NOT_THERE, THERE, *nodes[:2]]
            yield pauses()
            asking.now = DEADLINE
            yield look(A, *names, child=says(asked(*names[:-1], to=names[-1])))
            yield from takes_back(says(asked(*names[:-1], to=names[-1])), A, *names)
            yield [f"get {short(name)}" for name in names[:5]], [*shows, NOT_THERE]  # the last one has left since

        error = refused(asking.run(ZK), script(), TransferError)
        assert str(error).startswith(
            f"{NOT_TRANSFERRED}'x' (le_0000000001), '\ufffd' (le_0000000002), '{'y' * 100}' (le_0000000003), "
            f"'' (le_0000000004), {RESOURCE}/{names[4]}{more} did not step down in time; "
        )

    def test_the_election_is_gone_by_then(self) -> None:
        asking = transfer()

        def script() -> Iterable[Line]:
            yield from [look(A, B), reads(A, B), writes(ASKS_A), watches(A, B), pauses()]
            asking.now = DEADLINE
            yield look(A, B, child=says(FOR_B, version=1))
            yield ["check /election", "get step_down"], [CHECKED, says(FOR_B, version=1)]
            yield ["delete step_down at 1", "list"], [NOT_THERE, NOT_THERE]
            yield reads(A, shows=NOT_THERE)

        refused(asking.run(ZK), script(), TransferError, "did not step down in time")

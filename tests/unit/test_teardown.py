"""Ending an election, step by step and without a socket: what is sent, and what follows from the replies."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import aiozk
import pytest
from aiozk import exc

from golea_async import ElectionError, ElectionNotFoundError, NotAuthorizedError
from golea_async._protocol.steps import Pause, WorkStopped
from golea_async._protocol.teardown import MOST_BYTES, MOST_DELETES, Teardown, in_batches
from golea_async._zookeeper.requests import Requests
from golea_async._zookeeper.wire import Created, Found, Listed, Shown, response_error
from golea_async.exceptions import ElectionOverError

from . import script as script_of
from .script import (
    NODE_CZXID,
    NOT_THERE,
    SESSION,
    TAKEN,
    failed,
    interrupted,
    play,
    refused,
    results,
    short,
    stat,
    there,
)

ZK = Requests("", [aiozk.ACL.make("world", "anyone", read=True)])
LOOK = ["check /election", "exists /election", "exists DONE", "list", "list DONE"]
PROBE_END = "multi[create DONE, delete DONE, check /election never]"
PROBE_DELETE = "multi[create DONE, delete DONE, delete /election, check /election never]"
MAKE_DONE = ["create DONE"]
LIST = ["list"]
CLOSE_END = ["multi[delete DONE]"]
CLOSE_DELETE = ["multi[delete DONE, delete /election]"]
TAKE_AWAY = ["delete DONE"]
A, B, C = "le_0000000000", "le_0000000001", "le_0000000002"

Line = tuple[list[str], list[object]]


def listed(*children: str, czxid: int = NODE_CZXID) -> list[object]:
    return [script_of.listed(*children, czxid=czxid)]


DONE_IS_THERE = HERE = there()
STANDS = there(owner=SESSION)
FINE = results(TAKEN)
CHECKED = results(None)
MADE = [Created("/election/DONE", stat())]


def look(
    *children: str, done: object = NOT_THERE, below: object = NOT_THERE, czxid: int = NODE_CZXID
) -> tuple[object, object]:
    return LOOK, [CHECKED, Found(stat(czxid)), done, *listed(*children, czxid=czxid), below]


END_ALLOWED = failed(3, 2, exc.BadVersion())
DELETE_ALLOWED = failed(4, 2, exc.NotEmpty())


def probe(*candidates: str, deletes: bool = False, probed: object = None) -> Line:
    asked = [PROBE_DELETE if deletes else PROBE_END, *(f"exists {short(name)}" for name in candidates)]
    return asked, [probed or (DELETE_ALLOWED if deletes else END_ALLOWED), *[STANDS] * len(candidates)]


def begun(*candidates: str, deletes: bool = False) -> list[tuple[object, object]]:
    """The way to `DONE`."""
    return [look(*candidates), probe(*candidates, deletes=deletes), (MAKE_DONE, MADE)]


def wait_for(name: str, pause: float = 10.0, node: object = STANDS) -> list[tuple[object, object]]:
    return [([f"get {short(name)} (w)", "get DONE (w)"], [node, DONE_IS_THERE]), (Pause(pause), None)]


def path_of(error: ElectionError) -> str:
    """Return which znode a refusal is about."""
    assert isinstance(error, NotAuthorizedError)
    return error.path


def ending(**options: Any) -> Teardown:
    return Teardown("/election", **{"deletes_election": False, **options})


def deletion(**options: Any) -> Teardown:
    return ending(deletes_election=True, **options)


def test_an_end_waits_for_one_after_the_other() -> None:
    teardown = ending()
    assert not teardown.has_begun
    script = [
        *begun(A, B),
        (LIST, listed("DONE", B, A)),
        *wait_for(A),
        (LIST, listed("DONE", B)),
        *wait_for(B),
        (LIST, listed("DONE", "theirs")),
        (CLOSE_END, [FINE]),
    ]
    play(teardown.run(ZK), script)
    assert teardown.has_begun


def test_a_deletion() -> None:
    script = [*begun(A, deletes=True), (LIST, listed("DONE")), (CLOSE_DELETE, [FINE])]
    play(deletion().run(ZK), script)


def test_nothing_is_deleted_but_done_and_the_election_node() -> None:
    """Whatever happens to the candidates, and however often it is told of an event."""
    script = [*begun(A, deletes=True), *[(LIST, listed("DONE", A)), *wait_for(A)] * 20, (LIST, listed("DONE"))]
    play(deletion().run(ZK), [*script, (CLOSE_DELETE, [FINE])])


def test_one_that_goes_before_it_is_watched_is_not_waited_for() -> None:
    gone = (["get le_0 (w)", "get DONE (w)"], [NOT_THERE, DONE_IS_THERE])
    play(ending().run(ZK), [*begun(A), (LIST, listed("DONE", A)), gone, (LIST, listed("DONE")), (CLOSE_END, [FINE])])


def test_one_that_may_not_be_read_is_looked_for_in_the_list() -> None:
    unreadable = wait_for(A, pause=1.0, node=exc.NoAuth())
    play(
        ending().run(ZK),
        [*begun(), (LIST, listed("DONE", A)), *unreadable, (LIST, listed("DONE")), (CLOSE_END, [FINE])],
    )


def test_done_may_not_be_read() -> None:
    """It is there, or the list would not show it; that it goes is seen in the next list."""
    asked = (["get le_0 (w)", "get DONE (w)"], [STANDS, exc.NoAuth()])
    script = [*begun(A), (LIST, listed("DONE", A)), asked, (Pause(10.0), None), (LIST, listed("DONE"))]
    play(ending().run(ZK), [*script, (CLOSE_END, [FINE])])


def test_an_operators_request_goes_with_the_election_node_and_is_left_by_an_end() -> None:
    last = (LIST, listed("DONE", "step_down"))
    close = ["multi[delete DONE, delete step_down, delete /election]"]
    play(deletion().run(ZK), [*begun(A, deletes=True), last, (close, [FINE])])
    play(ending().run(ZK), [*begun(A), last, (CLOSE_END, [FINE])])


class TestBeginning:
    def test_a_missing_election_cannot_be_ended(self) -> None:
        missing = (LOOK, [NOT_THERE] * 5)
        refused(ending().run(ZK), [missing], ElectionNotFoundError, "create_election")

    def test_a_missing_election_is_deleted(self) -> None:
        play(deletion().run(ZK), [(LOOK, [NOT_THERE] * 5)])

    def test_it_goes_between_two_reads(self) -> None:
        half = (LOOK, [CHECKED, HERE, NOT_THERE, NOT_THERE, NOT_THERE])
        play(deletion().run(ZK), [half, (LOOK, [NOT_THERE] * 5)])

    def test_foreign_children_keep_it_from_being_deleted(self) -> None:
        error = refused(deletion().run(ZK), [look(A, "x", "config")], ElectionError, "config, x")
        assert str(error) == (
            "/election has children that are not an election's (config, x) and is left as it is: remove them first, if "
            "they may be removed"
        )

    def test_of_many_foreign_children_five_are_named(self) -> None:
        children = [f"x{number}" for number in range(7)]
        refused(deletion().run(ZK), [look(*children)], ElectionError, r"\(x0, x1, x2, x3, x4 and 2 more\) and is left")

    def test_foreign_children_do_not_keep_it_from_being_ended(self) -> None:
        script = [look("x"), probe(), (MAKE_DONE, MADE), (LIST, listed("DONE", "x")), (CLOSE_END, [FINE])]
        play(ending().run(ZK), script)

    @pytest.mark.parametrize("deletes", [False, True])
    def test_children_of_done_keep_it_from_both(self, deletes: bool) -> None:
        looked = look("DONE", done=DONE_IS_THERE, below=Listed(["x"], stat()))
        refused(ending(deletes_election=deletes).run(ZK), [looked], ElectionError, "DONE/x")

    def test_children_of_done_that_may_not_be_listed(self) -> None:
        looked = look("DONE", done=exc.NoAuth(), below=exc.NoAuth())
        probed = (["multi[delete DONE, check /election never]"], [failed(2, 0, exc.NotEmpty())])
        refused(ending().run(ZK), [looked, probed], ElectionError, "DONE/")

    @pytest.mark.parametrize("deletes", [False, True])
    def test_a_persistent_candidate_is_named(self, deletes: bool) -> None:
        asked, (probed, *_) = probe(A, B, deletes=deletes)
        script = [look(A, B), (asked, [probed, STANDS, HERE])]
        error = refused(ending(deletes_election=deletes).run(ZK), script, ElectionError, "persistent")
        assert error.candidate_id == f"/election/{B}"
        assert str(error) == (
            f"/election has persistent children with a candidate's name ({B}), which no session takes away, and is "
            f"left as it is: remove them first, if they may be removed (`delete /election/{B}` in zkCli.sh)"
        )

    def test_a_candidate_that_may_not_be_read(self) -> None:
        asked, (probed, *_) = probe(A)
        error = refused(ending().run(ZK), [look(A), (asked, [probed, exc.NoAuth()])], NotAuthorizedError, A)
        assert (error.candidate_id, path_of(error)) == (f"/election/{A}", f"/election/{A}")

    def test_a_candidate_that_has_left(self) -> None:
        asked, (probed, *_) = probe(A)
        script = [look(A), (asked, [probed, NOT_THERE]), (MAKE_DONE, MADE), (LIST, listed("DONE")), (CLOSE_END, [FINE])]
        play(ending().run(ZK), script)

    def test_no_permission_to_look_at_it(self) -> None:
        """Servers from 3.8.4 and 3.9.2 on show no stat of an unreadable znode."""
        error = refused(ending().run(ZK), [(LOOK, [exc.NoAuth()] * 5)], NotAuthorizedError, "work on /election:")
        assert path_of(error) == "/election"

    def test_no_permission_to_list(self) -> None:
        looked = (LOOK, [exc.NoAuth(), HERE, NOT_THERE, exc.NoAuth(), NOT_THERE])
        refused(ending().run(ZK), [looked], NotAuthorizedError, "/election")


class TestProbing:
    """A refusal is a refusal before anybody was told."""

    @pytest.mark.parametrize(("position", "path"), [(0, "/election/DONE"), (1, "/election/DONE"), (2, "/election")])
    def test_no_permission_to_end(self, position: int, path: str) -> None:
        teardown = ending()
        script = [look(A), probe(A, probed=failed(3, position, exc.NoAuth()))]
        error = refused(teardown.run(ZK), script, NotAuthorizedError, path)
        assert isinstance(error, NotAuthorizedError)
        assert error.path == path
        assert not teardown.has_begun

    @pytest.mark.parametrize(
        ("position", "path"), [(0, "/election/DONE"), (1, "/election/DONE"), (2, "/election"), (3, "/election")]
    )
    def test_no_permission_to_delete(self, position: int, path: str) -> None:
        script = [look(A), probe(A, deletes=True, probed=failed(4, position, exc.NoAuth()))]
        error = refused(deletion().run(ZK), script, NotAuthorizedError, path)
        assert isinstance(error, NotAuthorizedError)
        assert error.path == path

    @pytest.mark.parametrize(
        "probed", [failed(4, 2, exc.NotEmpty()), failed(4, 3, exc.NoNode()), failed(4, 3, exc.BadVersion())]
    )
    def test_a_deletion_is_allowed(self, probed: object) -> None:
        script = [look(A), probe(A, deletes=True, probed=probed), (MAKE_DONE, MADE), (LIST, listed("DONE"))]
        play(deletion().run(ZK), [*script, (CLOSE_DELETE, [FINE])])

    @pytest.mark.parametrize("refusal", [exc.NoAuth(), response_error(-124)])
    def test_the_transaction_is_refused_as_a_whole(self, refusal: exc.ResponseError) -> None:
        """Then nothing tells which operation it was: the first one is named."""
        script = [look("DONE", done=DONE_IS_THERE), (["multi[delete DONE, check /election never]"], [refusal])]
        assert path_of(refused(ending().run(ZK), script, NotAuthorizedError, "/election/DONE")) == "/election/DONE"

    @pytest.mark.parametrize("probed", [failed(3, 0, exc.NodeExists()), failed(3, 0, exc.NoNode())])
    def test_the_election_has_changed_meanwhile(self, probed: object) -> None:
        play(ending().run(ZK), [look(), probe(probed=probed), *begun(), (LIST, listed("DONE")), (CLOSE_END, [FINE])])

    @pytest.mark.parametrize("position", [0, 1])
    def test_where_done_is_there(self, position: int) -> None:
        """It is not made, so the right to make it is not asked for; that to delete it is."""
        probed = "multi[delete DONE, check /election never]"
        errors = [exc.NoAuth(), exc.BadVersion()]
        script = [look("DONE", done=DONE_IS_THERE), ([probed], [failed(2, position, errors[position])])]
        if position == 0:
            refused(ending().run(ZK), script, NotAuthorizedError, "/election/DONE")
        else:
            script += [(MAKE_DONE, [exc.NodeExists()]), (LIST, listed("DONE")), (CLOSE_END, [FINE])]
            play(ending().run(ZK), script)

    def test_done_is_refused_after_all(self) -> None:
        script = [look(), probe(), (MAKE_DONE, [exc.NoAuth()]), (TAKE_AWAY, [NOT_THERE])]
        refused(ending().run(ZK), script, NotAuthorizedError, "/election/DONE")

    def test_the_election_is_deleted_before_done_is_made(self) -> None:
        script = [look(), probe(deletes=True), (MAKE_DONE, [NOT_THERE]), (LOOK, [NOT_THERE] * 5)]
        play(deletion().run(ZK), script)


class TestRefusedHalfWay:
    """`DONE` is taken away, so that others can stand."""

    def test_a_foreign_child(self) -> None:
        script = [
            *begun(A, deletes=True),
            (LIST, listed("DONE", A, "config")),
            (TAKE_AWAY, [TAKEN]),
        ]
        error = refused(deletion().run(ZK), script, ElectionError, "config")
        assert str(error) == (
            "/election has children that are not an election's (config) and is not ended, though candidates may have "
            "left; DONE is taken away again: remove them first, if they may be removed"
        )
        assert not hasattr(error, "__notes__")

    def test_somebody_else_has_taken_done_away(self) -> None:
        script = [*begun(A, deletes=True), (LIST, listed("DONE", A, "config")), (TAKE_AWAY, [NOT_THERE])]
        error = refused(deletion().run(ZK), script, ElectionError, "config")
        assert not hasattr(error, "__notes__")

    def test_a_foreign_child_at_the_last_moment(self) -> None:
        not_empty = results(exc.RolledBack(), exc.NotEmpty())
        script = [
            *begun(deletes=True),
            (LIST, listed("DONE")),
            (CLOSE_DELETE, [not_empty]),
            look("DONE", "config", done=DONE_IS_THERE),
            (TAKE_AWAY, [TAKEN]),
        ]
        refused(deletion().run(ZK), script, ElectionError, "config")

    def test_a_persistent_candidate(self) -> None:
        script = [
            *begun(),
            (LIST, listed("DONE", A)),
            wait_for(A, node=HERE)[0],
            (TAKE_AWAY, [TAKEN]),
        ]
        refused(ending().run(ZK), script, ElectionError, "persistent")

    def test_a_permission_that_was_taken_away(self) -> None:
        script = [*begun(), (LIST, listed("DONE")), (CLOSE_END, [failed(1, 0, exc.NoAuth())])]
        error = refused(ending().run(ZK), [*script, (TAKE_AWAY, [exc.NoAuth()])], NotAuthorizedError, "/election/DONE")
        assert path_of(error) == "/election/DONE"
        assert error.__notes__ == [
            f"/election/DONE could not be taken away ({exc.NoAuth()}): nobody can stand in /election until it is"
        ]

    @pytest.mark.parametrize(("position", "path"), [(0, "/election/DONE"), (1, "/election")])
    def test_a_permission_to_delete_that_was_taken_away(self, position: int, path: str) -> None:
        script = [*begun(deletes=True), (LIST, listed("DONE")), (CLOSE_DELETE, [failed(2, position, exc.NoAuth())])]
        error = refused(deletion().run(ZK), [*script, (TAKE_AWAY, [TAKEN])], NotAuthorizedError, path)
        assert path_of(error) == path

    def test_the_last_transaction_is_refused_as_a_whole(self) -> None:
        script = [*begun(deletes=True), (LIST, listed("DONE")), (CLOSE_DELETE, [response_error(-124)])]
        error = refused(deletion().run(ZK), [*script, (TAKE_AWAY, [TAKEN])], NotAuthorizedError, "/election/DONE")
        assert path_of(error) == "/election/DONE"

    def test_done_cannot_be_watched(self) -> None:
        asked = (["get le_0 (w)", "get DONE (w)"], [STANDS, exc.BadArguments()])
        script = [*begun(A), (LIST, listed("DONE", A)), asked, (TAKE_AWAY, [TAKEN])]
        refused(ending().run(ZK), script, ElectionError, "refused a request on /election/DONE:")

    def test_a_child_of_done(self) -> None:
        script = [*begun(), (LIST, listed("DONE")), (CLOSE_END, [failed(1, 0, exc.NotEmpty())])]
        error = refused(ending().run(ZK), [*script, (TAKE_AWAY, [exc.NotEmpty()])], ElectionError, "DONE/")
        assert any("nobody can stand" in note for note in error.__notes__)

    def test_no_permission_to_list_any_more(self) -> None:
        script = [*begun(A), (LIST, [exc.NoAuth()]), (TAKE_AWAY, [TAKEN])]
        refused(ending().run(ZK), script, NotAuthorizedError, "/election")

    def test_given_up_by_the_driver(self) -> None:
        asked, _ = wait_for(A)[0], None
        script = [
            *begun(A),
            (LIST, listed("DONE", A)),
            asked,
            (Pause(10.0), ElectionOverError("given up", resource="/election")),
            (TAKE_AWAY, [TAKEN]),
        ]
        refused(ending().run(ZK), script, ElectionOverError, "given up")

    def test_what_is_said_when_its_client_is_closed(self) -> None:
        error = ending().given_up()
        assert str(error) == (
            "the ending of /election was given up, since its client was closed before all candidates had left: those "
            "that are left stand on; end it again"
        )
        assert error.resource == "/election"


class TestAnotherHasFinished:
    @pytest.mark.parametrize(
        "seen",
        [listed(), listed(A), listed("DONE", A, czxid=NODE_CZXID + 1), [NOT_THERE]],
        ids=["ended", "used", "anew", "gone"],
    )
    def test_before_it_lists(self, seen: list[object]) -> None:
        """Who stands there now has joined since, and is not meant."""
        is_anew, is_gone = seen == listed("DONE", A, czxid=NODE_CZXID + 1), seen == [NOT_THERE]
        again = look(A, done=DONE_IS_THERE, czxid=NODE_CZXID + 1) if is_anew else look(A)
        play(ending().run(ZK), [*begun(A), (LIST, seen), (LOOK, [NOT_THERE] * 5) if is_gone else again])

    def test_while_it_waits(self) -> None:
        asked = (["get le_0 (w)", "get DONE (w)"], [STANDS, NOT_THERE])
        play(ending().run(ZK), [*begun(A), (LIST, listed("DONE", A)), asked, (LIST, listed(A)), look(A)])

    def test_at_the_last_moment(self) -> None:
        script = [*begun(), (LIST, listed("DONE")), (CLOSE_END, [failed(1, 0, exc.NoNode())]), look(A)]
        play(ending().run(ZK), script)

    def test_an_election_that_was_only_ended_is_still_to_be_deleted(self) -> None:
        script = [*begun(A, deletes=True), (LIST, listed(B)), *begun(B, deletes=True), (LIST, listed("DONE"))]
        play(deletion().run(ZK), [*script, (CLOSE_DELETE, [FINE])])

    def test_an_election_that_was_made_anew_is_not_deleted(self) -> None:
        script = [*begun(A, deletes=True), (LIST, listed(A, czxid=NODE_CZXID + 1)), look(A, czxid=NODE_CZXID + 1)]
        play(deletion().run(ZK), script)


def test_somebody_comes_late() -> None:
    late = results(exc.RolledBack(), exc.NotEmpty())
    script = [
        *begun(deletes=True),
        (LIST, listed("DONE")),
        (CLOSE_DELETE, [late]),
        look("DONE", A, done=DONE_IS_THERE),
        (
            ["multi[delete DONE, delete /election, check /election never]", f"exists {short(A)}"],
            [failed(3, 1, exc.NotEmpty()), STANDS],
        ),
        (MAKE_DONE, [exc.NodeExists()]),
        (LIST, listed("DONE", A)),
        *wait_for(A),
        (LIST, listed("DONE")),
        (CLOSE_DELETE, [FINE]),
    ]
    play(deletion().run(ZK), script)


class TestOnTheNextConnection:
    """Each run is one connection; the state between them is the teardown's."""

    @pytest.mark.parametrize("steps", range(6))
    def test_it_begins_anew_wherever_it_was(self, steps: int) -> None:
        teardown = deletion()
        script = [*begun(A, deletes=True), (LIST, listed("DONE", A)), *wait_for(A)]
        interrupted(teardown.run(ZK), script[:steps])
        assert teardown.has_begun == (steps > 2)
        play(teardown.run(ZK), [*begun(A, deletes=True), (LIST, listed("DONE")), (CLOSE_DELETE, [FINE])])

    @pytest.mark.parametrize("deletes", [False, True])
    def test_the_last_reply_was_lost(self, deletes: bool) -> None:
        teardown = ending(deletes_election=deletes)
        last = (CLOSE_DELETE if deletes else CLOSE_END, [FINE])
        interrupted(teardown.run(ZK), [*begun(deletes=deletes), (LIST, listed("DONE")), last])
        play(teardown.run(ZK), [(LOOK, [NOT_THERE] * 5) if deletes else look(A)])


class TestWhoIsLeft:
    def test_they_are_named_every_ten_seconds(self, caplog: pytest.LogCaptureFixture) -> None:
        teardown = ending()
        steps = teardown.run(ZK)
        named = ([f"get {short(A)}", f"get {short(B)}"], [Shown(b"worker", stat(owner=SESSION)), exc.NoAuth()])

        def script() -> Iterable[tuple[object, object]]:
            yield from begun(A, B)
            for seconds in (0.0, 10.0, 20.0):
                teardown.now = seconds
                yield LIST, listed("DONE", A, B)
                if seconds:
                    yield named
                yield from wait_for(A)
                teardown.now = seconds + 9.5  # an event comes just before the next warning
                yield LIST, listed("DONE", A, B)
                yield from wait_for(A, pause=0.5)
            yield LIST, listed("DONE")
            yield CLOSE_END, [FINE]

        with caplog.at_level(logging.WARNING, "golea_async"):
            play(steps, script())
        assert len(caplog.messages) == 2
        for message in caplog.messages:
            assert f"have not left yet: 'worker' (/election/{A}), /election/{B}; each" in message
            assert "/election is being ended" in message

    @pytest.mark.parametrize(("data", "name"), [(None, "''"), (b"\xff", "'\ufffd'"), (b"100%s", "'100%s'")])
    def test_a_name_that_somebody_else_has_written(
        self, data: bytes | None, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        teardown = ending()

        def script() -> Iterable[tuple[object, object]]:
            yield from begun(A)
            yield LIST, listed("DONE", A)
            teardown.now = 10.0
            yield [f"get {short(A)}"], [Shown(data, stat(owner=SESSION))]
            yield from wait_for(A)
            yield LIST, listed("DONE")
            yield CLOSE_END, [FINE]

        play(teardown.run(ZK), script())
        assert f"have not left yet: {name} (/election/{A}); each" in caplog.messages[0]

    def test_not_all_of_many(self, caplog: pytest.LogCaptureFixture) -> None:
        teardown = ending()
        names = [f"le_{number:010d}" for number in range(5000)]

        def script() -> Iterable[tuple[object, object]]:
            yield from begun(*names)
            yield LIST, listed("DONE", *names)
            teardown.now = 10.0
            yield [f"get {short(name)}" for name in names[:5]], [NOT_THERE] * 5
            yield from wait_for(A)
            yield LIST, listed("DONE")
            yield CLOSE_END, [FINE]

        play(teardown.run(ZK), script())
        named = ", ".join(f"/election/{name}" for name in names[:5])
        (message,) = caplog.messages
        assert message == (
            f"the election /election is being ended, and these candidates have not left yet: {named} and 4995 more; "
            "each leaves when its work has stopped, at the latest with its session (force_after= deletes who is "
            "left, and tells for how long two may lead then)"
        )
        assert caplog.records[0].name == "golea_async.admin"
        assert caplog.records[0].msg == "%s", "a name may have a per cent sign"


class TestByForce:
    def test_at_once(self) -> None:
        script = [
            *begun(A, B),
            (LIST, listed("DONE", A, B)),
            ([f"exists {short(A)}", f"exists {short(B)}"], [STANDS, STANDS]),
            ([f"multi[check DONE, delete {short(B)}, delete {short(A)}]"], [FINE]),
            (LIST, listed("DONE")),
            (CLOSE_END, [FINE]),
        ]
        play(ending(force_after=0).run(ZK), script)

    def test_after_some_seconds(self) -> None:
        teardown = ending(force_after=2.5)

        def script() -> Iterable[tuple[object, object]]:
            yield from begun(A)
            yield LIST, listed("DONE", A)
            teardown.now = 1.0
            yield from wait_for(A, pause=1.5)
            teardown.now = 2.5
            yield LIST, listed("DONE", A)
            yield [f"exists {short(A)}"], [STANDS]
            yield [f"multi[check DONE, delete {short(A)}]"], [FINE]
            yield LIST, listed("DONE")
            yield CLOSE_END, [FINE]

        play(teardown.run(ZK), script())

    @pytest.mark.parametrize("refusal", [exc.NoAuth(), failed(2, 1, exc.NoAuth())])
    def test_no_permission(self, refusal: object) -> None:
        script = [
            *begun(A, B),
            (LIST, listed("DONE", A, B)),
            ([f"exists {short(A)}", f"exists {short(B)}"], [STANDS, STANDS]),
            ([f"multi[check DONE, delete {short(B)}, delete {short(A)}]"], [refusal]),
            (TAKE_AWAY, [TAKEN]),
        ]
        error = refused(ending(force_after=0).run(ZK), script, NotAuthorizedError, A)
        assert path_of(error) == f"/election/{A}"

    @pytest.mark.parametrize("position", [0, 1])
    def test_one_that_is_gone_is_looked_at_again(self, position: int) -> None:
        """A candidate left by itself, or somebody else has finished: the list tells which."""
        script = [
            *begun(A),
            (LIST, listed("DONE", A)),
            ([f"exists {short(A)}"], [STANDS]),
            ([f"multi[check DONE, delete {short(A)}]"], [failed(2, position, exc.NoNode())]),
        ]
        rest = [(LIST, listed(A)), look(A)] if position == 0 else [(LIST, listed("DONE")), (CLOSE_END, [FINE])]
        play(ending(force_after=0).run(ZK), [*script, *rest])

    def test_never_a_persistent_one(self) -> None:
        script = [*begun(), (LIST, listed("DONE", A)), ([f"exists {short(A)}"], [HERE]), (TAKE_AWAY, [NOT_THERE])]
        refused(ending(force_after=0).run(ZK), script, ElectionError, "persistent")


class TestFromTheLeadersOwnWork:
    def test_its_candidate_leaves_last(self) -> None:
        script = [
            *begun(A, B),
            (LIST, listed("DONE", A, B)),
            *wait_for(B),
            (LIST, listed("DONE", A)),
            (WorkStopped(), None),
            (LIST, listed("DONE", A)),
            *wait_for(A),
            (LIST, listed("DONE")),
            (CLOSE_END, [FINE]),
        ]
        play(ending(own=[A]).run(ZK), script)

    def test_it_is_not_deleted_by_force_before_the_others(self) -> None:
        script = [
            *begun(A, B),
            (LIST, listed("DONE", A, B)),
            ([f"exists {short(B)}"], [STANDS]),
            ([f"multi[check DONE, delete {short(B)}]"], [FINE]),
            (LIST, listed("DONE", A)),
            (WorkStopped(), None),
            (LIST, listed("DONE")),
            (CLOSE_END, [FINE]),
        ]
        play(ending(own=[A], force_after=0).run(ZK), script)


@pytest.mark.parametrize("chroot", [0, 975, 5_000, 39_000])
@pytest.mark.parametrize("count", [0, 1, 500, 501, 1200])
def test_batches_fit_into_packets(chroot: int, count: int) -> None:
    requests = Requests("/" + "x" * chroot if chroot else "", [])
    deletions = [requests.delete(f"/election/le_{number:010d}") for number in range(count)]
    batches = in_batches(deletions)
    assert [deletion for batch in batches for deletion in batch] == deletions
    for batch in batches:
        assert 0 < len(batch) <= MOST_DELETES
        assert len(requests.multi(*batch).serialize(1)) < MOST_BYTES + 100 or len(batch) == 1


def test_a_batch_is_as_large_as_it_may_be() -> None:
    """A deletion takes 17 bytes beside its path."""
    requests = Requests("/" + "x" * (2000 - 17 - len(f"//election/{A}")), [])
    batches = in_batches([requests.delete(f"/election/{A}")] * 600)
    assert [len(batch) for batch in batches] == [MOST_BYTES // 2000, MOST_BYTES // 2000, 100]

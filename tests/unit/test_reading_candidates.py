"""Reading who stands, step by step and without a socket: what it returns was so at one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import aiozk
import pytest

from golea_async import ElectionNotFoundError
from golea_async._candidates import MOST_LISTS, read_candidates
from golea_async._protocol.steps import ask
from golea_async._zookeeper.requests import Requests

from .operator_script import CHECKED, NAMES, A, B, C, E, Line, candidate, reads
from .script import NODE_CZXID, NOT_THERE, RESOURCE, listed, play, short, shown


class Connection(Requests):
    """Has the script answer."""

    client: Any

    def __init__(self) -> None:
        super().__init__("", [aiozk.ACL.make("world", "anyone", read=True)])
        self.client = self

    async def send(self, *requests: Any) -> list[Any]:
        return await ask(*requests)


def lists(*names: str, czxid: int = NODE_CZXID) -> Line:
    return ["check /election", "list"], [CHECKED, listed(*names, czxid=czxid)]


def gone(*names: str) -> Line:
    return [f"get {short(name)}" for name in names], [NOT_THERE] * len(names)


def read(script: Iterable[Line]) -> list[tuple[str, str, int]]:
    """Play it, and return what it has returned."""
    returned: list[tuple[str, str, int]] = []

    async def reading() -> None:
        connection: Any = Connection()
        candidates = await read_candidates(connection, RESOURCE)
        returned.extend((each.id.rpartition("/")[2], each.name, each.fencing_token) for each in candidates)

    play(reading(), script)
    return returned


def standing(*names: str) -> list[tuple[str, str, int]]:
    return [(name, NAMES[name].decode(), candidate(name).stat.created_zxid) for name in names]


def test_in_order() -> None:
    assert read([lists(B, A, "step_down"), reads(A, B)]) == standing(A, B)
    assert read([lists()]) == []


def test_of_a_missing_election() -> None:
    with pytest.raises(ElectionNotFoundError):
        read([(["check /election", "list"], [NOT_THERE, NOT_THERE])])


def test_one_steps_down_before_it_is_read() -> None:
    """It stands all the time. What was read is not read again."""
    moved = shown(b"bert", 900)
    script = [lists(A, B, C), ([*reads(A, B, C)[0]], [candidate(A), NOT_THERE, candidate(C)]), lists(A, C, E)]
    assert read([*script, (["get le_5"], [moved])]) == [*standing(A, C), (E, "bert", 900)]


def test_one_leaves_before_it_is_read() -> None:
    script = [lists(A, B), ([*reads(A, B)[0]], [NOT_THERE, candidate(B)]), lists(B)]
    assert read(script) == standing(B)


def test_one_that_was_read_leaves_meanwhile() -> None:
    """It is not in the list that counts."""
    script = [lists(A, B), ([*reads(A, B)[0]], [candidate(A), NOT_THERE]), lists(C), reads(C)]
    assert read(script) == standing(C)


def test_the_election_is_made_anew_meanwhile() -> None:
    """Then the same path is another candidate's."""
    anew = candidate(A, czxid=901)
    script = [lists(A, B), ([*reads(A, B)[0]], [candidate(A), NOT_THERE]), lists(A, czxid=900), (["get le_0"], [anew])]
    assert read(script) == [(A, "anna", 901)]


@pytest.mark.parametrize("comes_and_goes", [lambda _: E, "le_{:010d}".format], ids=["one", "one after the other"])
def test_it_ends_also_where_somebody_comes_and_goes_all_the_time(comes_and_goes: Callable[[int], str]) -> None:
    def script() -> Iterable[Line]:
        names = [comes_and_goes(10 + number) for number in range(MOST_LISTS)]
        yield lists(A, names[0])
        yield [f"get {short(A)}", f"get {short(names[0])}"], [candidate(A), NOT_THERE]
        for name in names[1:]:
            yield lists(A, name)
            yield gone(name)

    assert read(script()) == standing(A)

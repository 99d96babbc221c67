"""The ports of test servers, of which each worker of pytest-xdist has its own."""

from __future__ import annotations

from itertools import islice

from golea_async.testing._ports import FIRST_PORT, LAST_PORT, PARTS, _ports_of


def first_ports(run: str, worker: str, count: int) -> set[int]:
    return set(islice(_ports_of(run, worker), count))


def test_workers_of_one_run_offer_different_ports() -> None:
    of_each = [first_ports("some run", f"gw{number}", 1000) for number in range(PARTS)]
    assert [len(ports) for ports in of_each] == [1000] * PARTS
    assert len(set().union(*of_each)) == 1000 * PARTS


def test_a_port_comes_again_when_all_others_were_offered() -> None:
    everything = LAST_PORT - FIRST_PORT
    assert first_ports("", "", everything) == set(range(FIRST_PORT, LAST_PORT))

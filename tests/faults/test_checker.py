"""The checker itself: each fault of a record that it is there to find, and records that are right."""

from __future__ import annotations

import math

import pytest

from .checker import check, leaderless, moves, overlap_time, overlaps
from .cluster import Cluster
from .contenders import Library
from .record import Band, Belief, Record, StatusChange, Znode
from .scenarios import ROWS, play

ID_OF = {"a": "/e/le_0000000000", "b": "/e/le_0000000001"}


def belief(
    candidate: str, start: float, end: float, *, token: int = 1, number: int = 1, goes_on: bool = False
) -> Belief:
    """Samples that each took a hundredth of a second."""
    ended = None if goes_on else end + 0.02
    return Belief(candidate, number, token, (start, start + 0.01), (end, end + 0.01), ended)


def good_record() -> Record:
    """`a` leads for 10 s and is killed, `b` leads from 15 s on."""
    record = Record(4.0, 0.5, started=0.0, ended=30.0, candidates=["a", "b"])
    record.beliefs = [belief("a", 1, 10), belief("b", 14.9, 30, token=2, goes_on=True)]
    record.statuses = [
        StatusChange("a", 1, "leader", ID_OF["a"], token=1),
        StatusChange("b", 1, "follower", ID_OF["b"], following=ID_OF["a"]),
        StatusChange("b", 14.9, "leader", ID_OF["b"], token=2),
    ]
    record.faults = [Band("SIGKILL", "a", 10.01, 10.02)]
    record.standing = [Band("stands", "a", 0.5, 10.01), Band("stands", "b", 0.6)]
    record.writes = [tenth / 10 for tenth in range(300)]
    record.left = [Znode(ID_OF["b"], 2, 77, "b")]
    return record


def test_a_record_that_is_right() -> None:
    assert check(good_record()) == []


def test_a_command_that_ends_with_an_error_which_is_no_elections() -> None:
    record = good_record()
    record.errors.append("a: TypeError: oops")
    assert check(record) == ["a: TypeError: oops"]


def test_two_leaders_at_once() -> None:
    record = good_record()
    record.beliefs[0].last = (16.0, 16.01)
    assert overlap_time(record) == pytest.approx(16.0 - 14.91)
    assert any("both led" in fault for fault in check(record))


def test_a_hand_over_without_a_pause_is_none() -> None:
    record = good_record()
    record.beliefs[0].last = (14.905, 14.95)  # may have been true before b's first sample was
    assert overlaps(record) == []


@pytest.mark.parametrize(("target", "deleted_at", "is_wrong"), [("a", 14.0, False), ("b", 14.0, True), ("a", 11, True)])
def test_who_was_deposed_by_hand_may_believe_as_long_as_its_lease(
    target: str, deleted_at: float, is_wrong: bool
) -> None:
    record = good_record()
    record.beliefs[0].last = (16.0, 16.01)
    record.faults = [Band("znode deleted", target, deleted_at, deleted_at + 0.1)]
    assert any("both led" in fault for fault in check(record)) == is_wrong


def test_a_single_sample_within_anothers_belief() -> None:
    record = good_record()
    record.beliefs.append(Belief("a", 2, 1, (20.0, 20.001), (20.0, 20.001), 20.002))
    assert len(overlaps(record)) == 1
    assert check(record)


def test_a_single_sample_that_may_have_been_taken_before() -> None:
    """Frozen between the two readings of the clock: belief may have been read before the freeze."""
    record = good_record()
    record.beliefs.append(Belief("a", 2, 1, (12.0, 20.0), (12.0, 20.0), 20.002))
    assert overlaps(record) == []


def test_one_candidates_runs_do_not_overlap_each_other() -> None:
    record = good_record()
    record.beliefs.append(belief("b", 20, 21, token=2, number=2))
    assert overlaps(record) == []


def test_a_token_that_went_down() -> None:
    record = good_record()
    record.beliefs[1].token = 0
    assert [fault for fault in check(record) if "with token 0" in fault]


def test_a_token_of_two_candidates() -> None:
    record = good_record()
    record.beliefs[1].token = 1
    assert "token 1 was used by ['a', 'b']" in check(record)


class TestGaps:
    def test_nobody_leads_for_too_long(self) -> None:
        record = good_record()
        record.beliefs[1].first = (15.1, 15.11)
        (fault,) = check(record)
        assert "nobody led for 5.080 s" in fault
        assert "b could have" in fault
        assert check(record, prompt=False) == []

    def test_but_the_quorum_was_away(self) -> None:
        record = good_record()
        record.beliefs[1].first = (18.0, 18.01)
        record.writes = [at for at in record.writes if not 11 < at < 14]
        assert check(record) == []

    def test_the_quorum_came_back_long_ago(self) -> None:
        record = good_record()
        record.beliefs[1].first = (22.0, 22.01)
        record.writes = [at for at in record.writes if not 11 < at < 14]
        assert any("nobody led" in fault for fault in check(record))

    def test_but_nobody_could_have(self) -> None:
        record = good_record()
        record.beliefs[1].first = (20.0, 20.01)
        record.faults.append(Band("cut off", "b", 9.0, 17.0, frozenset({"b"})))
        assert check(record) == []

    def test_but_the_machine_did_not_run_it(self) -> None:
        record = good_record()
        record.beliefs[1].first = (18.0, 18.01)
        record.stalls = [("b", 13.0, 14.0)]
        assert check(record) == []

    def test_nobody_ever_leads(self) -> None:
        record = good_record()
        record.beliefs = []
        assert any("nobody led" in fault for fault in check(record))

    def test_a_stall_within_a_leadership_is_no_gap(self) -> None:
        record = good_record()
        first = record.beliefs[0]
        first.last, first.ended = (4.0, 4.01), None
        record.beliefs.append(belief("a", 5.0, 10.0, number=2))
        assert leaderless(record) == [(10.01, 14.9)]
        assert moves(record) == 1

    def test_a_loss_within_a_leadership_is_one(self) -> None:
        record = good_record()
        first = record.beliefs[0]
        first.last, first.ended = (4.0, 4.01), 4.1
        record.beliefs.append(belief("a", 5.0, 10.0, number=2))
        assert leaderless(record) == [(4.01, 5.0), (10.01, 14.9)]


class TestTheEnd:
    def test_a_znode_without_an_owner(self) -> None:
        record = good_record()
        assert record.left is not None
        record.left.append(Znode("/e/le_0000000007", 9, 0x99, "b"))
        assert check(record) == ["/e/le_0000000007 of 'b' (session 0x99) belongs to nobody"]

    def test_a_candidate_that_hangs(self) -> None:
        record = good_record()
        record.statuses.append(StatusChange("b", 20, "candidate", ID_OF["b"]))
        assert "b hangs: candidate" in check(record)

    def test_what_is_lost_when_the_servers_are_taken_down(self) -> None:
        record = good_record()
        record.statuses.append(StatusChange("b", 30.1, "candidate", ID_OF["b"]))
        assert check(record) == []

    def test_a_candidate_that_never_said_a_word(self) -> None:
        record = good_record()
        record.candidates.append("c")
        record.standing.append(Band("stands", "c", 3.0))
        assert "c hangs: no status at all" in check(record)

    def test_a_candidate_whose_znode_is_gone(self) -> None:
        record = good_record()
        record.left = []
        assert f"b believes in a znode that is gone: {ID_OF['b']}" in check(record)

    def test_nobody_leads_in_the_end(self) -> None:
        record = good_record()
        record.beliefs[1].ended = 29.0
        assert "in the end nobody led" in check(record)

    def test_it_never_settled(self) -> None:
        record = good_record()
        record.left = None
        assert check(record) == ["the run ended before everything had settled"]

    def test_bands_without_an_end(self) -> None:
        assert good_record().standing[1].end == math.inf


@pytest.mark.asyncio(loop_scope="package")  # as the cluster's
async def test_aiozks_own_recipe_fails_it(cluster: Cluster) -> None:
    """A real run of a library with a known fault: cut off from all servers, it leads for ever."""
    run = await play(ROWS["leader-cut-off"], cluster, Library.AIOZK)
    assert overlap_time(run.record) > 0
    assert any("a (token None) and b (token None) both led" in fault for fault in run.faults())

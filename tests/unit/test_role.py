"""What a candidate says of its role: each status whole, each cause in its words, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from golea_async import CandidateDeletedError, Role, SessionExpiredError, Status
from golea_async._protocol.appeal import Order
from golea_async._protocol.claims import Nomination
from golea_async._protocol.identity import Identity
from golea_async._protocol.role import Belief, Ceased, Change, Ended, Explained, Gained, Notice
from golea_async._protocol.view import Sight, View
from golea_async.exceptions import ElectionError, HandedOverError, LeaseExpiredError, NotStandingError

from .life import path
from .script import RESOURCE, SESSION

TOKEN = 107
OWN = Nomination(path(7), TOKEN, SESSION)
BEFORE = path(4)
STRETCH = 3
ABOUT = f"candidate 'one' ({path(7)})"
LEADING = Status(Role.LEADER, path(7), fencing_token=TOKEN)


class Told:
    """A belief, and what it has told since one looked last."""

    def __init__(self, *, rejoins: bool = True) -> None:
        identity = Identity(RESOURCE, "one")
        identity.candidate_id = OWN.path
        self.belief = Belief(identity, rejoins=rejoins)
        assert (self.belief.latest, self.belief.held, self.belief.has_ended) == (Status(Role.NONE), None, False)
        self.belief.join()
        assert self.changes() == [Status(Role.CANDIDATE)]

    def changes(self) -> list[Change]:
        changes, self.belief.changes = self.belief.changes, []
        return changes

    def leads(self) -> Belief:
        """Have it lead from now on."""
        self.belief.lead(OWN, STRETCH)
        self.changes()
        return self.belief

    def loses(self, **seen: Any) -> ElectionError | None:
        """Have it lose leadership by what is seen; return the cause, which is no guess."""
        self.leads().reconsider(view(**seen))
        ceased, *_ = self.changes()
        assert isinstance(ceased, Ceased)
        assert ceased.is_in_doubt is False
        assert self.belief.stretch is None
        return ceased.cause


def view(**seen: Any) -> View:
    """What a leader sees, but for this."""
    done, own = Sight(f"{RESOURCE}/DONE", is_there=False), Sight(OWN.path, is_there=True)
    return View(**{"done": done, "own": own, "is_first": True, "in_touch": True, "lease": STRETCH, **seen})


def about(error: ElectionError | None) -> tuple[object, ...]:
    """Return what an error says, of whom."""
    assert error is not None
    return type(error), str(error), error.resource, error.candidate_id


# ---------------------------------------------------------------------- gains


def test_a_leader_says_whom_it_followed_before() -> None:
    told = Told()
    told.belief.follow(OWN, BEFORE)
    told.belief.lead(OWN, STRETCH)
    assert (told.belief.stretch, told.belief.held) == (STRETCH, path(7))
    following, gained, leading = told.changes()
    assert following == Status(Role.FOLLOWER, path(7), now_following=BEFORE)
    assert gained == Gained(OWN)
    assert leading == Status(Role.LEADER, path(7), was_following=BEFORE, fencing_token=TOKEN)


def test_a_follower_says_each_change_once() -> None:
    told = Told()
    for predecessor in (path(5), path(5), BEFORE):
        told.belief.follow(OWN, predecessor)
    assert told.changes() == [
        Status(Role.FOLLOWER, path(7), now_following=path(5)),
        Status(Role.FOLLOWER, path(7), now_following=BEFORE, was_following=path(5)),
    ]


def test_the_lease_is_kept_alive_for_whoever_is_the_first_and_no_longer() -> None:
    told = Told()
    told.belief.be_first(OWN)
    assert told.belief.held == path(7)
    told.belief.follow(OWN, BEFORE)
    assert told.belief.held is None


def test_whoever_leads_already_says_nothing_again() -> None:
    told = Told()
    told.leads().lead(OWN, STRETCH + 1)
    assert told.changes() == []
    assert told.belief.stretch == STRETCH


def test_two_stretches_are_never_read_as_one() -> None:
    """The znode was deleted, or so it seemed, and before anybody knew better it stands, and leads."""
    told = Told()
    told.leads().reconsider(view(own=None))
    told.changes()
    told.belief.lead(OWN, STRETCH + 1)
    assert told.changes() == [Status(Role.CANDIDATE, path(7)), Explained(None), Gained(OWN), LEADING]


# ---------------------------------------------------------------------- losses


def test_a_znode_that_seems_gone_leaves_the_cause_in_doubt_until_it_is_known() -> None:
    told = Told()
    told.leads().reconsider(view(own=Sight(OWN.path, is_there=False)))
    (ceased,) = told.changes()
    assert isinstance(ceased, Ceased)
    assert ceased.is_in_doubt is True
    assert about(ceased.cause) == (
        CandidateDeletedError,
        f"{ABOUT} is gone from ZooKeeper: somebody has deleted it, unless its session has ended",
        RESOURCE,
        path(7),
    )
    why = ElectionError("why")
    told.belief.cease(None)
    assert told.changes() == [], "nobody knows better yet"
    told.belief.cease(why)
    told.belief.explain(ElectionError("another"))
    assert told.changes() == [Explained(why)], "once"


def test_a_cause_that_is_certain_is_not_explained_again() -> None:
    told = Told()
    told.leads().cease(ElectionError("why"))
    told.changes()
    told.belief.cease(ElectionError("another"))
    told.belief.explain(None)
    assert told.changes() == []


def test_what_does_not_end_belief_changes_nothing() -> None:
    told = Told()
    told.leads().reconsider(view(in_touch=False))
    assert told.changes() == []
    assert (told.belief.stretch, told.belief.held) == (STRETCH, path(7))


def test_who_does_not_lead_loses_nothing() -> None:
    told = Told()
    told.belief.be_first(OWN)
    told.belief.reconsider(view(own=None))
    assert told.changes() == []
    assert told.belief.held == path(7)


def test_a_lapsed_lease_is_a_status_and_is_asked_for_again() -> None:
    told = Told()
    told.leads().reconsider(view(lease=None))
    ceased, status = told.changes()
    assert isinstance(ceased, Ceased)
    assert about(ceased.cause) == (
        LeaseExpiredError,
        f"{ABOUT} was out of touch with ZooKeeper's quorum for too long: its lease has expired",
        RESOURCE,
        path(7),
    )
    assert ceased.is_in_doubt is False
    assert status == Status(Role.CANDIDATE, path(7), error=ceased.cause)
    assert told.belief.held == path(7)


@pytest.mark.parametrize(
    ("rejoins", "way_out"),
    [(True, "it stands again as soon as ZooKeeper is back"), (False, "start() it again to stand anew")],
)
def test_a_lost_session_says_whether_it_stands_again(rejoins: bool, way_out: str) -> None:
    told = Told(rejoins=rejoins)
    assert about(told.loses(is_session_lost=True)) == (
        SessionExpiredError,
        f"{ABOUT} lost its ZooKeeper session, and its znode with it; {way_out}",
        RESOURCE,
        path(7),
    )
    assert told.belief.held is None


def test_one_that_is_found_before_it_is_named() -> None:
    told = Told()
    assert about(told.loses(before=Sight(BEFORE, is_there=True))) == (
        CandidateDeletedError,
        f"{ABOUT} has found {BEFORE} before it",
        RESOURCE,
        path(7),
    )


def test_the_operator_who_deposes_it_is_named() -> None:
    told = Told()
    assert about(told.loses(order=Order("ops:1", 0, leaves=True))) == (
        CandidateDeletedError,
        f"{ABOUT} was deposed by ops:1: start() it again to stand anew",
        RESOURCE,
        path(7),
    )


def test_the_operator_who_has_it_step_down_is_named() -> None:
    told = Told()
    told.leads().reconsider(view(order=Order("ops:1", 0, target=path(9))))
    ceased, status = told.changes()
    assert isinstance(ceased, Ceased)
    assert isinstance(ceased.cause, HandedOverError)
    assert (ceased.cause.by, ceased.cause.to) == ("ops:1", path(9))
    assert status == Status(Role.CANDIDATE, path(7), error=ceased.cause)


def test_stepping_down_by_oneself_is_no_error() -> None:
    told = Told()
    told.leads().reconsider(view(steps_down=True))
    ceased, status = told.changes()
    assert isinstance(ceased, Ceased)
    assert str(ceased.cause) == f"{ABOUT} has stepped down; it stands on at the end of the line"
    assert status == Status(Role.CANDIDATE, path(7))


def test_a_resignation_has_no_cause() -> None:
    assert Told().loses(is_leaving=True) is None


def test_the_first_one_that_gives_way_lets_its_lease_lapse() -> None:
    told = Told()
    told.belief.be_first(OWN)
    told.belief.give_way(HandedOverError("why"))
    assert told.belief.held is None


def test_a_follower_that_gives_way_says_whom_it_followed() -> None:
    told = Told()
    told.belief.follow(OWN, BEFORE)
    told.changes()
    why = HandedOverError("why", by="ops:1")
    told.belief.give_way(why)
    told.belief.give_way(why)
    assert told.changes() == [Status(Role.CANDIDATE, path(7), was_following=BEFORE, error=why)]


# ---------------------------------------------------------------------- standing anew, and the end


def test_a_follower_whose_session_is_lost_says_whom_it_followed() -> None:
    told = Told()
    told.belief.follow(OWN, BEFORE)
    told.changes()
    lost = SessionExpiredError("lost")
    told.belief.rejoin(lost)
    assert told.changes() == [Status(Role.CANDIDATE, was_following=BEFORE, error=lost)]


def test_a_leader_whose_session_is_lost_ceases_first() -> None:
    told = Told()
    lost = SessionExpiredError("lost")
    told.leads().rejoin(lost)
    assert told.changes() == [Ceased(lost), Status(Role.CANDIDATE, error=lost)]
    assert told.belief.held is None


def test_the_end_of_a_leader() -> None:
    told = Told()
    over = ElectionError("over")
    told.leads().end(over)
    told.belief.end(ElectionError("again"))
    told.belief.join()
    assert told.changes() == [Ceased(over), Ended(over)]
    assert told.belief.latest == Status(Role.NONE, path(7), error=over)
    assert told.belief.held is None


def test_the_end_of_a_follower_says_whom_it_followed() -> None:
    told = Told()
    told.belief.follow(OWN, BEFORE)
    told.changes()
    told.belief.end(None)
    assert told.changes() == [Ended(None)]
    assert told.belief.latest == Status(Role.NONE, path(7), was_following=BEFORE)


def test_a_leader_that_ends_without_an_error_was_cancelled() -> None:
    told = Told()
    told.leads().end(None)
    ceased, ended = told.changes()
    assert isinstance(ceased, Ceased)
    assert about(ceased.cause) == (NotStandingError, f"{ABOUT} was cancelled", RESOURCE, path(7))
    assert ended == Ended(None)


def test_the_end_explains_a_loss_that_was_in_doubt() -> None:
    told = Told()
    told.leads().reconsider(view(own=None))
    told.changes()
    over = ElectionError("over")
    told.belief.end(over)
    assert told.changes() == [Explained(over), Ended(over)]


def test_an_end_without_an_error_explains_nothing() -> None:
    told = Told()
    told.leads().reconsider(view(own=None))
    told.changes()
    told.belief.end(None)
    assert told.changes() == [Ended(None)]


def test_notices_are_passed_on() -> None:
    told = Told()
    told.belief.notice(None)
    told.belief.notice("odd")
    told.belief.notice("odd, too", "/election")
    assert told.changes() == [Notice("odd"), Notice("odd, too", "/election")]
    assert Notice("odd").about == ""

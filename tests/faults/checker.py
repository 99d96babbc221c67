"""Judges a record: what must hold, whatever was killed, frozen, cut off, delayed or restarted. Pure."""

from __future__ import annotations

from itertools import combinations, pairwise

from .record import Belief, Interval, Record, StatusChange, between, joined

DECIDED = ("leader", "follower")
ZNODE_DELETED = "znode deleted"


def check(record: Record, *, prompt: bool = True) -> list[str]:
    """All that is wrong with a run; an empty list says that it was right.

    `prompt=False` leaves out how long nobody led: for a client that promises no speed.
    """
    faults = [*overlaps_in_words(record), *lowered_tokens(record), *foreign_tokens(record), *record.errors]
    if prompt:
        faults += gaps(record)
    if record.left is None:
        faults.append("the run ended before everything had settled")
    else:
        faults += [*unowned_znodes(record), *undecided(record)]
    return faults


# ---------------------------------------------------------------------- two leaders


def overlaps(record: Record) -> list[tuple[Belief, Belief, Interval]]:
    """Where two candidates believed for certain at the same time, and when."""
    pairs = ((one, other) for one, other in combinations(record.beliefs, 2) if one.candidate != other.candidate)
    return [(one, other, common) for one, other in pairs if (common := _common(one, other)) is not None]


def _common(one: Belief, other: Belief) -> Interval | None:
    start, end = max(one.certain[0], other.certain[0]), min(one.certain[1], other.certain[1])
    if start <= end:
        return start, end
    # A single sample is an instant at an unknown place between its two readings: it is certain to lie within the
    # other's belief when both readings do. Two such instants are never known to be the same.
    for inner, outer in ((one, other), (other, one)):
        is_single = inner.first == inner.last
        if is_single and outer.certain[0] <= inner.first[0] and inner.first[1] <= outer.certain[1]:
            return inner.first[1], inner.first[1]
    return None


def overlap_time(record: Record) -> float:
    """For how long two candidates believed to lead."""
    return sum(end - start for start, end in joined(interval for *_, interval in overlaps(record)))


def overlaps_in_words(record: Record) -> list[str]:
    return [
        f"{one.candidate} (token {one.token}) and {other.candidate} (token {other.token}) both led for "
        f"{end - start:.4f} s from {_at(record, start)}"
        for one, other, (start, end) in overlaps(record)
        if not _is_deposed(record, min(one, other, key=lambda each: each.token or 0), start, end)
    ]


def _is_deposed(record: Record, belief: Belief, start: float, end: float) -> bool:
    """Whether its znode was deleted by hand, which the lease does not cover: it may believe until it has heard of it.

    At the latest its lease runs out, within T (design.md, section 4).
    """
    return any(
        band.label == ZNODE_DELETED
        and band.target == belief.candidate
        and band.start <= start
        and end <= band.end + record.session_timeout
        for band in record.faults
    )


# ---------------------------------------------------------------------- tokens


def lowered_tokens(record: Record) -> list[str]:
    """A leader whose token is lower than that of one who led before it."""
    found = []
    highest: Belief | None = None
    for belief in sorted(record.beliefs, key=lambda each: each.first[0]):
        if belief.token is None:
            continue
        if highest is not None and highest.token is not None and belief.token < highest.token:
            found.append(
                f"{belief.candidate} led with token {belief.token} from {_at(record, belief.first[1])}, "
                f"after {highest.candidate} with {highest.token}"
            )
        if highest is None or highest.token is None or belief.token > highest.token:
            highest = belief
    return found


def foreign_tokens(record: Record) -> list[str]:
    """A token with which two candidates led."""
    holders: dict[int, set[str]] = {}
    for belief in record.beliefs:
        if belief.token is not None:
            holders.setdefault(belief.token, set()).add(belief.candidate)
    return [f"token {token} was used by {sorted(names)}" for token, names in holders.items() if len(names) > 1]


# ---------------------------------------------------------------------- nobody leads


def led(record: Record) -> list[Interval]:
    """The times at which somebody led.

    Samples that are true on both sides of a stall, with the same token, count as belief in between here: nobody has
    seen it end.
    """
    intervals = []
    for name in record.candidates:
        former: Belief | None = None
        for belief in sorted(_beliefs_of(record, name), key=lambda each: each.first[0]):
            intervals.append((belief.first[0], belief.last[1]))
            if former is not None and former.ended is None and former.token == belief.token:
                intervals.append((former.last[0], belief.first[1]))
            former = belief
    return joined(intervals)


def leaderless(record: Record) -> list[Interval]:
    """The times, after somebody led for the first time, at which nobody did."""
    intervals = led(record)
    if not intervals:
        return [(record.started, record.ended)]
    return between(intervals, intervals[0][0], record.ended)


def leaderless_time(record: Record) -> float:
    return sum(end - start for start, end in leaderless(record))


def moves(record: Record) -> int:
    """How often another candidate led than before."""
    names = [each.candidate for each in sorted(record.beliefs, key=lambda each: each.first[0])]
    return sum(one != other for one, other in pairwise(names))


def gaps(record: Record) -> list[str]:
    """Longer without a leader than T and two ticks after the last thing that happened.

    What happened is a fault that begins or ends, a candidate that begins or ends to stand, a time without an answer
    from the quorum, a process that the machine did not run: between two of those the situation is the same. It is
    held against the library when a quorum answers and a candidate stands that nothing hinders.
    """
    found = []
    for start, end in between(led(record), record.started, record.ended):
        turns = sorted(at for at in _turns(record) if start < at < end)
        for since, until in zip([start, *turns], [*turns, end], strict=True):
            able = _able(record, since, until)
            if until - since > record.patience and able and not _is_out(record, since, until):
                found.append(
                    f"nobody led for {until - since:.3f} s from {_at(record, since)} (allowed are "
                    f"{record.patience:g} s), and {', '.join(able)} could have"
                )
    return found


def _turns(record: Record) -> list[float]:
    bands = [*record.faults, *record.standing]
    intervals = [*((band.start, band.end) for band in bands), *record.outages(), *((a, b) for _, a, b in record.stalls)]
    return [moment for interval in intervals for moment in interval]


def _able(record: Record, since: float, until: float) -> list[str]:
    standing = {band.target for band in record.standing if band.start <= since and until <= band.end}
    for band in record.faults:
        if band.start < until and since < band.end:
            standing -= band.hinders
    stalled = {name for name, start, end in record.stalls if start < until and since < end}
    return sorted(standing - stalled)


def _is_out(record: Record, since: float, until: float) -> bool:
    return any(start < until and since < end for start, end in record.outages())


# ---------------------------------------------------------------------- what is left


def unowned_znodes(record: Record) -> list[str]:
    """A znode that no living candidate calls its own, in the end."""
    own = {status.candidate_id for name in record.candidates if (status := _standing_status(record, name)) is not None}
    return [
        f"{znode.path} of {znode.name!r} (session 0x{znode.owner & 0xFFFFFFFFFFFFFFFF:x}) belongs to nobody"
        for znode in record.left or []
        if znode.path not in own
    ]


def undecided(record: Record) -> list[str]:
    """A candidate that stands, and in the end neither leads nor follows, or has no znode."""
    found = []
    there = {znode.path for znode in record.left or []}
    standing = [band.target for band in record.standing if band.end > record.ended]
    for name in standing:
        status = record.latest_status(name)
        if status is None or status.role not in DECIDED:
            found.append(f"{name} hangs: {'no status at all' if status is None else status.role}")
        elif status.candidate_id not in there:
            found.append(f"{name} believes in a znode that is gone: {status.candidate_id}")
    leaders = [name for name in standing if _leads_to_the_end(record, name)]
    if standing and len(leaders) != 1:
        found.append(f"in the end {' and '.join(leaders) or 'nobody'} led")
    return found


def _beliefs_of(record: Record, name: str) -> list[Belief]:
    return [each for each in record.beliefs if each.candidate == name]


def _leads_to_the_end(record: Record, name: str) -> bool:
    latest = max(_beliefs_of(record, name), key=lambda each: each.first[0], default=None)
    return latest is not None and (latest.ended is None or latest.ended > record.ended)


def _standing_status(record: Record, name: str) -> StatusChange | None:
    is_standing = any(band.target == name and band.end > record.ended for band in record.standing)
    return record.latest_status(name) if is_standing else None


def _at(record: Record, moment: float) -> str:
    return f"{moment - record.started:.3f} s"

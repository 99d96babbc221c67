"""What the demo has seen: stretches of leading, and what must never be among them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

ALL_IS_WELL = "At no moment did two lead. No fencing token was smaller than one before it."
PATIENCE = 60.0
"""Seconds for which nobody may lead before the demo gives up."""


@dataclass
class Term:
    """One uninterrupted stretch of leading, as the candidate itself believed; times are CLOCK_MONOTONIC's."""

    leader: str
    token: int
    begin: float
    end: float
    how_it_ended: str | None = None
    server: int | None = None  # port of the ZooKeeper server to which the leader was connected last


def overlaps(terms: Iterable[Term]) -> list[tuple[Term, Term]]:
    """Every two terms that share a moment: there must be none."""
    found = []
    latest: Term | None = None
    for term in sorted(terms, key=lambda term: term.begin):
        if latest is not None and term.begin <= latest.end:
            found.append((latest, term))
        if latest is None or term.end > latest.end:
            latest = term
    return found


def token_drops(terms: Iterable[Term]) -> list[tuple[Term, Term]]:
    """Every two terms in succession of which the later has the smaller fencing token: there must be none."""
    in_order = sorted(terms, key=lambda term: term.begin)
    return [(earlier, later) for earlier, later in pairwise(in_order) if later.token < earlier.token]


def table(terms: Iterable[Term]) -> list[str]:
    """The terms in order, one line each."""
    row = "{:>4}  {:<14}{:<16}{:>9}  {:>17}  {}".format
    lines = [row("term", "leader", "fencing token", "led for", "nobody led before", "how it ended")]
    before: Term | None = None
    for number, term in enumerate(sorted(terms, key=lambda term: term.begin), start=1):
        led_for = f"{term.end - term.begin:.3f} s"
        gap = f"{term.begin - before.end:.3f} s" if before else "-"
        lines.append(row(number, term.leader, term.token, led_for, gap, term.how_it_ended or "still leads"))
        before = term
    return lines


def verdict(terms: Sequence[Term]) -> list[str]:
    """What went wrong, one line each; nothing when all is well."""
    return [
        f"TWO LED AT ONCE: {one.leader} (token {one.token}) and {other.leader} (token {other.token}) "
        f"for {min(one.end, other.end) - other.begin:.3f} s"
        for one, other in overlaps(terms)
    ] + [
        f"A FENCING TOKEN WENT DOWN: {earlier.leader} had {earlier.token}, then {later.leader} had {later.token}"
        for earlier, later in token_drops(terms)
    ]


@dataclass
class Chronicle:
    """Collects the reports of all candidates.

    :ivar show: is called with each line that tells of an event.
    :ivar states: what each candidate is at the moment, by its name.
    """

    show: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    terms: list[Term] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, text: str, at: float | None = None) -> None:
        """Show an event with its time."""
        self.show(f"{(at or time.monotonic()) - self.began:7.3f} s  {text}")

    def leads_now(self, name: str) -> Term | None:
        """Return the candidate's open term."""
        return next((term for term in self.terms if term.leader == name and term.how_it_ended is None), None)

    def sample(
        self, name: str, *, leads: bool, before: float, after: float, token: int | None, server: int | None = None
    ) -> None:
        """Take a sample of `is_leader`. What is certain counts: it was true at some moment from before to after."""
        term = self.leads_now(name)
        if not leads:
            self.end_term(name, "out of touch with ZooKeeper")
        elif term is None:
            assert token is not None, "a leader has a fencing token"
            self.begin_term(Term(name, token, begin=after, end=after, server=server))
        else:
            term.end, term.server = max(term.end, before), server

    def begin_term(self, term: Term) -> None:
        """Begin a stretch of leading."""
        previous = max((earlier.end for earlier in self.terms), default=None)
        gap = "" if previous is None else f"; nobody led for {term.begin - previous:.3f} s"
        self.terms.append(term)
        self.states[term.leader] = "leads"
        self.say(f"{term.leader} LEADS, fencing token {term.token}{gap}", term.begin)
        self.changed.set()

    def end_term(self, name: str, how: str) -> None:
        """End the candidate's open term, if there is one."""
        term = self.leads_now(name)
        if term is not None:
            term.how_it_ended = how
            self.states[name] = how
            self.changed.set()

    async def leader(self) -> str:
        """Wait until somebody leads; return who."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for term in self.terms:
                    if term.how_it_ended is None:
                        return term.leader
                self.changed.clear()
                await self.changed.wait()

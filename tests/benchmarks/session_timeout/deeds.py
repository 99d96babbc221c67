"""Leaders that are killed, cut off and frozen: how long it takes until the next one leads."""

from __future__ import annotations

import random
import signal
import time
from typing import NamedTuple

from tests.support.guarded import guardians_of

from .processes import Process, bury_all, candidate, proxies

DEEDS = ("killed", "cut off", "frozen")
SETTLED = 0.3
"""Seconds after which a guardian that runs knows of the session."""


class Case(NamedTuple):
    """One leader, the one behind it, and what is to happen to the leader.

    :ivar victim: the process that gets the signal: the leader, or what stands between it and ZooKeeper.
    """

    deed: str
    guardian: bool
    leader: Process
    follower: Process
    victim: Process

    @property
    def name(self) -> str:
        return f"{self.deed}, guardian" if self.guardian else self.deed


def measure(hosts: str, session_timeout: float, rounds: int) -> dict[str, list[float]]:
    """Return the seconds from each deed to the next leader, by deed, and to the end of a cut-off leader's belief."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        cases = [
            prepare(hosts, f"/{session_timeout:g}-{number}-{deed[:3]}-{guardian}", session_timeout, deed, guardian)
            for deed in DEEDS
            for guardian in (False, True)
        ]
        # A lease is longest in the first T of its session. And the last sign of life is up to T/8 ago.
        time.sleep(session_timeout * (1 + random.random() / 8))
        done = [case.victim.signal(signal.SIGKILL if case.deed == "killed" else signal.SIGSTOP) for case in cases]
        for case, at in zip(cases, done, strict=True):
            found.setdefault(case.name, []).append(case.follower.said("leads") - at)
            if case.deed == "cut off":
                found.setdefault(f"{case.name}: believed", []).append(case.leader.said("lost") - at)
        bury_all()
    return found


def prepare(hosts: str, resource: str, session_timeout: float, deed: str, guardian: bool) -> Case:
    """Start two candidates; return when one leads and the other stands."""
    between, behind = proxies(hosts) if deed == "cut off" else (None, hosts)
    leader = candidate(behind, resource, session_timeout, guardian=guardian)
    leader.said("leads")
    follower = candidate(hosts, resource, session_timeout, guardian=guardian)
    follower.said("stands")
    while guardian and not guardians_of(leader.pid):
        time.sleep(SETTLED / 10)
    time.sleep(SETTLED)
    return Case(deed, guardian, leader, follower, between or leader)

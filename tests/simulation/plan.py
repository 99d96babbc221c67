"""What happens to the members and servers of an episode: drawn from a seed, written down, and played.

An episode goes in rounds: a time of trouble, in which faults come as they like, and a time of peace, at whose end
everything must be in order. A plan can be played with some of its deeds left out, which is how the shortest schedule
of a failure is found.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

TROUBLE = (2.0, 6.0)
"""How long trouble lasts, in session timeouts."""
ROUNDS = 6
LATE_AND_ALONE = "imprison it when it comes late and alone"
EARLY = 0.2
"""Of the time of trouble: that deed takes a while."""
SLOW, FAST = 1.0, 1.1
"""The rates of clocks; bounds are tight where members' and servers' are at the ends."""
SLOWEST_DISK = 0.18
"""In session timeouts, also by a clock that is fast: a leader is to hold its lease with answers that take 1/5."""
STALL = 0.27
REST = 0.45
ENDINGS = ("end the election", "make the election anew")
HAND_OVERS = ("transfer leadership", "transfer leadership to whoever is next", "ask a candidate to leave")
ADMINISTRATION = ("depose the leader", "delete a candidate", *ENDINGS, "end the election by force", "look")


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that is done, `start` seconds after its round began, for `duration` seconds where it has an end."""

    round: int
    start: float
    kind: str
    member: int = 0
    server: int = 0
    duration: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        return (
            f"round {self.round} +{self.start:.3f} s: {self.kind} (member {self.member}, server {self.server}, "
            f"{self.duration:.3f} s, {self.amount:.3f})"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Times in seconds. `seed` decides on all that is left to chance while it is played."""

    seed: int
    members: int
    servers: int
    tick: float
    session_timeout: float
    sync_limit: int
    member_rates: tuple[float, ...]
    server_rates: tuple[float, ...]
    have_one_name: bool
    troubles: tuple[float, ...]
    slow_disks: tuple[float, ...]
    """For each round: how late what is written is on disk, at its end, where that is tried."""
    deeds: tuple[Deed, ...] = field(repr=False)


def draw_plan(seed: int) -> Plan:
    """All that an episode is."""
    generator = random.Random(seed)
    members = generator.randint(3, 7)
    servers = generator.choice((3, 3, 3, 5))
    tick = generator.choice((0.5, 2.0, 2.0, 2.0))
    timeout = tick * generator.choice((2, 2, 5, 10, 20, 20))
    troubles = tuple(timeout * generator.uniform(*TROUBLE) for _ in range(ROUNDS))
    deeds = [
        deed
        for number, length in enumerate(troubles)
        for deed in _draw_round(generator, number, length, timeout, members, servers)
    ]
    member_rates, server_rates = generator.choice(
        (
            ((SLOW,) * members, (FAST,) * servers),
            ((FAST,) * members, (SLOW,) * servers),
            (_draw_rates(generator, members), _draw_rates(generator, servers)),
        )
    )
    return Plan(
        seed=seed,
        members=members,
        servers=servers,
        tick=tick,
        session_timeout=timeout,
        sync_limit=generator.choice((3, 5, 5, 20)),
        member_rates=member_rates,
        server_rates=server_rates,
        have_one_name=generator.random() < 0.5,
        troubles=troubles,
        slow_disks=tuple(timeout * SLOWEST_DISK * random.Random(seed + number).random() for number in range(ROUNDS)),
        deeds=tuple(sorted(deeds, key=lambda deed: (deed.round, deed.start))),
    )


def _draw_rates(generator: random.Random, count: int) -> tuple[float, ...]:
    return tuple(generator.uniform(SLOW, FAST) for _ in range(count))


def _draw_round(
    generator: random.Random, number: int, length: float, timeout: float, members: int, servers: int
) -> Iterator[Deed]:
    kinds = list(DRAWS)
    weights = [weight for weight, _ in DRAWS.values()]
    for _ in range(generator.randint(1, 12)):
        (kind,) = generator.choices(kinds, weights)
        duration, amount = DRAWS[kind][1](generator, timeout)
        yield Deed(
            round=number,
            start=generator.uniform(0, length) * (EARLY if kind == LATE_AND_ALONE else 1),
            kind=kind,
            member=generator.randrange(members),
            server=generator.randrange(servers),
            duration=duration,
            amount=amount,
        )


def _momentary(_: random.Random, __: float) -> tuple[float, float]:
    return 0.0, 0.0


def _lasting(generator: random.Random, timeout: float) -> tuple[float, float]:
    """From a blink to well past the session."""
    return timeout * generator.choice((0.01, 0.2, 0.6, 1.0, 1.3, 2.5)) * generator.uniform(0.8, 1.2), 0.0


def _frozen_guardian(generator: random.Random, timeout: float) -> tuple[float, float]:
    return _lasting(generator, timeout)[0], timeout * generator.uniform(0.1, 1)


def _down(generator: random.Random, timeout: float) -> tuple[float, float]:
    """Long enough for sessions to end; without a quorum for longer, nothing happens."""
    return timeout * generator.choice((0.01, 0.2, 0.6, 1.0, 1.3)) * generator.uniform(0.8, 1.2), 0.0


def _delayed(generator: random.Random, timeout: float) -> tuple[float, float]:
    return timeout * generator.uniform(0.2, 2), timeout * generator.choice((0.02, 0.1, 0.3))


def _soon(generator: random.Random, timeout: float) -> tuple[float, float]:
    return timeout * generator.uniform(1.2, 2), generator.uniform(0.01, 0.1) * timeout


def _late(generator: random.Random, timeout: float) -> tuple[float, float]:
    """As late as a client waits for it that has three servers, or a little earlier."""
    return timeout * generator.uniform(1.2, 2), generator.uniform(0.28, 0.33) * timeout


def _lagging(generator: random.Random, _: float) -> tuple[float, float]:
    return generator.uniform(1, 3), generator.uniform(0.05, 0.6)


def _ended(generator: random.Random, timeout: float) -> tuple[float, float]:
    """An ending waits for a leader that is away until its session is over, and nobody leads meanwhile."""
    return _lasting(generator, timeout)[0], generator.randrange(len(ENDINGS))


def _interrupted(generator: random.Random, _: float) -> tuple[float, float]:
    return 0.0, generator.randrange(40)


def _drawn(count: int) -> Callable[[random.Random, float], tuple[float, float]]:
    return lambda generator, _: (0.0, generator.randrange(count))


DRAWS: dict[str, tuple[float, Callable[[random.Random, float], tuple[float, float]]]] = {
    "freeze a member": (2, _lasting),
    "kill a member": (2, _lasting),
    "kill it with its guardian frozen": (2, _frozen_guardian),
    "end its pipe to its guardian": (2, _momentary),
    "cut a member off": (2, _lasting),
    "cut its requests off": (1, _lasting),
    "cut its replies off": (1, _lasting),
    "cut the leading member off": (2, _lasting),
    "freeze the leading member": (2, _lasting),
    "imprison the leading member": (1, _lasting),
    "imprison it where it has just come": (2, _soon),
    LATE_AND_ALONE: (4, _late),
    "reset its connections": (2, _momentary),
    "delay its traffic": (1, _delayed),
    "lose a reply": (3, _drawn(3)),
    "lose its nomination among laggards": (2, _lagging),
    "resign": (2, _momentary),
    "cancel who stands": (3, _interrupted),
    "close its client": (1, _momentary),
    "freeze a server": (1, _down),
    "kill a server": (1, _down),
    "kill the ensemble's leader": (1, _down),
    "cut a server off": (1, _down),
    "cut the ensemble's leader off": (1, _down),
    "slow down a server's writes": (2, _delayed),
    "let a server lag": (1, _delayed),
    "step down": (3, _momentary),
    "hand over": (3, _drawn(len(HAND_OVERS))),
    "hand over and cancel": (1, _drawn(len(HAND_OVERS))),
    "administrate": (2, _drawn(len(ADMINISTRATION))),
    "end it with the leading member cut off": (1, _ended),
    "end it with the leading member frozen": (1, _ended),
}
"""By kind: how often it comes, and how its duration and amount are drawn."""

"""Ask the solver, and write down a schedule that it has found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import z3

from .model import TIMED, TIMES, Model, Setting
from .rules import FORGOTTEN, Rule

OVERLAP = z3.Q(1, 20)
TRAVEL = z3.Q(1, 100)
"""In T. For schedules that can be read; the proof knows neither."""

TEXTS = {
    "connect_sent": "the client sends its ConnectRequest",
    "connect_heard": "ZooKeeper's leader hears of it",
    "connect_answered": "the client is connected",
    "touch_sent": "the client sends a request, the touch",
    "touch_arrived": "its server has it",
    "touch_answered": "the client has the answer",
    "report_left": "the server reports the touch to ZooKeeper's leader",
    "report_heard": "ZooKeeper's leader hears of the touch",
    "write_sent": "the client sends the write",
    "write_arrived": "its server has it and passes it on",
    "write_heard": "ZooKeeper's leader has the write",
    "committed": "it commits the write, and hears nothing more of the client",
    "write_answered": "the client has the answer to the write, and makes its deadline",
    "elected": "another server becomes ZooKeeper's leader",
    "session_ends": "THE SESSION ENDS: the next candidate leads",
    "deleted": "THE ZNODE IS DELETED: the next candidate leads",
    "deadline": "THE DEADLINE: until now the client has believed",
}
# An answer that is not the write's says nothing of where the write is.
OTHER_TEXTS = {
    Rule.OWN_ANSWER: {
        "committed": "ZooKeeper's leader commits an older write, and hears nothing more of the client",
        "write_answered": "the client has the older write's answer, takes it for this one's, and makes its deadline",
    },
    Rule.QUORUM: {
        "committed": "ZooKeeper's leader hears nothing more of the client from now on",
        "write_answered": "the client's server answers by itself, and the client makes its deadline",
    },
}


@dataclass(frozen=True)
class Schedule:
    """What happens when, in T.

    :ivar at: by the clock of ZooKeeper's leader.
    :ivar client: by the client's.
    :ivar by_touch: whether the deadline counts from the touch, not from the ConnectRequest.
    """

    without: Rule | None
    at: dict[str, Fraction]
    client: dict[str, Fraction] = field(repr=False)
    by_touch: bool
    is_elected: bool

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.without is not None:
            yield f"Without the rule: {self.without.value}."
            yield f"Instead: {FORGOTTEN[self.without]}."
        yield "leader's clock   client's"
        texts = TEXTS | OTHER_TEXTS.get(self.without, {}) if self.without else TEXTS
        for name in sorted(filter(self._is_told, self.at), key=lambda name: (self.at[name], TIMES.index(name))):
            client = f"{float(self.client[name]):.3f}" if name in self.client else ""
            yield f"{float(self.at[name]):14.3f} {client:>10}  {texts[name]}"

    def _is_told(self, name: str) -> bool:
        if name in {"deleted", "session_ends"}:
            return (name == "deleted") == (self.without is Rule.BY_HAND)
        if name == "elected":
            return self.is_elected
        if name in {"report_left", "report_heard"} and self.without is Rule.TOUCH:
            return False
        if name == "write_heard" and self.without in OTHER_TEXTS:
            return False
        return self.by_touch or not name.startswith(("touch", "report"))


def is_possible(setting: Setting) -> bool:
    """Return whether the deadline can outlive the candidacy."""
    model, solver = Model(setting), z3.Solver()
    solver.add(*model.constraints(), *model.values().values(), model.at["deadline"] > model.ends)
    return bool(answer(solver) == z3.sat)


def is_normal(setting: Setting) -> bool:
    """Return whether the deadline can be before the end: constraints that nothing fulfils would prove anything."""
    model, solver = Model(setting), z3.Solver()
    solver.add(*model.constraints(), *model.values().values(), model.by_touch, model.at["deadline"] < model.ends)
    return bool(answer(solver) == z3.sat)


def least_margin() -> Fraction:
    """Return how long before the session's end the deadline is at the least, in T."""
    model, optimize = Model(Setting()), z3.Optimize()
    margin = z3.Real("margin")
    optimize.add(*model.constraints(), *model.values().values(), margin == model.ends - model.at["deadline"])
    return limit(optimize, optimize.minimize(margin))


def first_bad(name: str, setting: Setting = Setting(), *, highest: bool = False) -> Fraction:  # noqa: B008 - frozen
    """Return from which value on, of ``share``, ``travels`` or ``pause``, the deadline can outlive the session."""
    model, optimize = Model(setting), z3.Optimize()
    others = (value for each, value in model.values().items() if each != name)
    free = getattr(model, name)
    optimize.add(*model.constraints(), *others, free >= 0, model.at["deadline"] >= model.ends)
    return limit(optimize, optimize.maximize(free) if highest else optimize.minimize(free), highest=highest)


def limit(optimize: Any, handle: Any, *, highest: bool = False) -> Fraction:
    """Return the limit that is approached, be it reached or not."""
    if answer(optimize) != z3.sat:
        raise AssertionError("no value is bad")
    infinite, value, _ = handle.upper_values() if highest else handle.lower_values()
    if _fraction(infinite) != 0:
        raise AssertionError("there is no limit")
    return _fraction(value)


def counterexample(without: Rule) -> Schedule:
    """Return the schedule with the earliest moments in which the deadline outlives the candidacy."""
    setting = Setting(without=without, travel=TRAVEL)
    model, optimize = Model(setting), z3.Optimize()
    optimize.add(*model.constraints(), *model.values().values(), model.at["deadline"] >= model.ends + OVERLAP)
    optimize.add(*_simplest(model, without))
    optimize.minimize(z3.Sum(*model.at.values()))
    if answer(optimize) != z3.sat:
        raise AssertionError(f"without {without.name} nothing can go wrong, so the rule is not needed")
    found = optimize.model()
    return Schedule(
        without,
        {name: number(found, moment) for name, moment in model.at.items()},
        {name: number(found, model.client[name]) for name in TIMED if name not in {"elected", "session_ends"}},
        by_touch=z3.is_true(found.eval(model.by_touch, model_completion=True)),
        is_elected=z3.is_true(found.eval(model.is_elected, model_completion=True)),
    )


def _simplest(model: Model, without: Rule) -> Iterator[Any]:
    """Clocks that agree, and no change of ZooKeeper's leader, where those have no part in it."""
    if without not in {Rule.CLOCK_RATES, Rule.CLOCK_GOES_ON, Rule.LEASE_SHARE}:
        yield from (model.client[name] == model.at[name] for name in TIMED)
    yield model.is_elected == (without in {Rule.HISTORY, Rule.ANEW})


def answer(solver: Any) -> Any:
    """Return ``sat`` or ``unsat``; that the solver does not know is an error."""
    result = solver.check()
    if result == z3.unknown:
        raise AssertionError(f"the solver does not know: {solver.reason_unknown()}")
    return result


def number(found: Any, expression: Any) -> Fraction:
    """Return the value of an expression in a solution."""
    return _fraction(found.eval(expression, model_completion=True))


def _fraction(value: Any) -> Fraction:
    return Fraction(str(z3.simplify(z3.ToReal(value) if z3.is_int(value) else value)))

"""Print what the solver says: `python -m tests.proof`."""

from __future__ import annotations

from fractions import Fraction

from .limits import longest_stall, longest_stall_after_another, slowest_answers
from .model import Setting
from .rules import Rule
from .schedules import counterexample, first_bad, is_possible, least_margin

TICKS = (2, 3, 4, 6, 10, 20)
TOUCHED_EVERY = (Fraction(1, 64), Fraction(1, 32), Fraction(1, 8))


def main() -> None:
    """Print the proof, its limits, and a schedule for each rule."""
    possible = is_possible(Setting())
    print(f"Under all rules the deadline can outlive the session: {'YES' if possible else 'no'}.")
    print(f"It is at least {approximately(least_margin())} T before the session's end.")
    print(f"The session can be outlived when the deadline is {approximately(first_bad('share'))} T after the touch,")
    print(f"or when the write is sent {approximately(first_bad('travels', highest=True))} T after an acknowledgement.")
    print()
    print("A server of ZooKeeper that stands still is harmless for less than:")
    for ticks in TICKS:
        print(f"{ticks:4} ticks in T: {approximately(first_bad('pause', Setting(ticks=ticks)))} T")
    print()
    print("No lease that is renewed lapses while answers, or one stall, take less than this. In T:")
    print("touched every   answers   (when writes go one at a time)   a stall")
    for every in TOUCHED_EVERY:
        several = approximately(slowest_answers(every, one_at_a_time=False))
        single = approximately(slowest_answers(every, one_at_a_time=True))
        print(f"{every!s:>13} {several:>9} {single:>32} {approximately(longest_stall(every)):>9}")
    print()
    print(f"A stall that follows another one may take {approximately(longest_stall_after_another())} T.")
    for rule in Rule:
        print()
        print(counterexample(rule))


def approximately(value: Fraction) -> str:
    return f"{float(value):.3f}"


if __name__ == "__main__":
    main()

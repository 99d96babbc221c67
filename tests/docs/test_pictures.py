"""The picture on top of the README shows what was measured."""

from __future__ import annotations

import json

from tests.benchmarks.cut_off import LIBRARIES, MEASURED, PICTURE, Measured, draw


def measured() -> list[Measured]:
    return [Measured(**run) for run in json.loads(MEASURED.read_text())]


def test_the_picture_is_drawn_from_what_was_measured() -> None:
    assert PICTURE.read_text() == draw(measured())


def test_the_picture_shows_each_library_and_how_long_two_led() -> None:
    runs = measured()
    assert [run.library for run in runs] == [str(library) for library in LIBRARIES]
    assert not runs[0].both
    assert all(run.went_on and run.healed - run.both[0][0] >= 9.9 for run in runs[1:])

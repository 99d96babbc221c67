"""The picture of a run: well-formed, with everything in it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .record import Band, Record, View
from .test_checker import belief, good_record
from .timeline import COLOURS, WRONG, draw

SVG = "{http://www.w3.org/2000/svg}"


def record() -> Record:
    drawn = good_record()
    drawn.title = "a < b & c"
    drawn.views = [
        View(1, 1.0, 5, "le_0000000000", 1, "a"),
        View(2, 15.0, 9, "le_0000000001", 2, "b"),
        View(1, 16.0, 5, "le_0000000000", 1, "a"),  # a server that lags
    ]
    drawn.stalls = [("b", 3.0, 4.0)]
    drawn.faults.append(Band("cut from the others", "server 1", 5.0))
    return drawn


def texts(drawing: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(drawing).iter(f"{SVG}text")]


def test_it_names_lanes_faults_and_what_counts() -> None:
    words = texts(draw(record()))
    assert {"a", "b", "ZooKeeper", "server 1", "server 2", "a < b & c", "SIGKILL", "cut from the others"} <= set(words)
    assert any("Two leaders: 0.000 s. Moves: 1. Nobody led: 4.890 s" in each for each in words)


def test_zookeepers_truth_never_goes_back() -> None:
    rectangles = list(ET.fromstring(draw(record())).iter(f"{SVG}rect"))
    truth = [each for each in rectangles if each.get("fill-opacity") == "0.75" and len(each)]
    assert [each.get("fill") for each in truth] == list(COLOURS[:2])


def test_two_leaders_are_framed() -> None:
    wrong = record()
    assert WRONG not in draw(wrong)
    wrong.beliefs.append(belief("a", 20, 21, number=2))
    assert WRONG in draw(wrong)

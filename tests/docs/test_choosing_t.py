"""The table and the picture of docs/choosing-t.md show the figures that were measured last."""

from __future__ import annotations

import json

from tests.benchmarks.session_timeout.picture import draw, into_page
from tests.support.programs import ROOT

DOCS = ROOT / "docs"
FIGURES = json.loads((DOCS / "figures" / "session-timeout.json").read_text())


def test_the_tables_are_of_these_figures() -> None:
    page = (DOCS / "choosing-t.md").read_text()
    assert into_page(page, FIGURES) == page


def test_the_picture_is_of_these_figures() -> None:
    assert (DOCS / "figures" / "session-timeout.svg").read_text() == draw(FIGURES)


def test_a_guardian_is_worth_what_the_page_says() -> None:
    """Every killed leader that had one was replaced in less than a tenth of the shortest time without one."""
    for row in FIGURES["rows"].values():
        found = row["leaderless"]
        assert max(found["killed, guardian"]) < min(found["killed"]) / 10
        assert min(found["cut off"]) > max(found["cut off: believed"]), "never two leaders"

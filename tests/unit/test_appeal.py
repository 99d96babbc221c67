"""What the child `step_down` says: written by operators of one version, read by candidates of another."""

from __future__ import annotations

import pytest

from golea_async._protocol.appeal import Appeal, read_appeal


@pytest.mark.parametrize(
    ("says", "appeal"),
    [
        (
            b'{"candidates": ["le_1", "le_2"], "to": "le_3", "by": "ops:1", "id": "5f3a"}',
            Appeal(("le_1", "le_2"), "le_3", "ops:1", leave=False, id="5f3a"),
        ),
        (
            b'{"candidates": ["le_1"], "leave": true, "by": "ops:1", "id": "5f3a"}',
            Appeal(("le_1",), None, "ops:1", leave=True, id="5f3a"),
        ),
        (
            b'{"candidates": ["le_1"], "to": null, "by": "ops:1", "id": "5f3a"}',
            Appeal(("le_1",), None, "ops:1", leave=False, id="5f3a"),
        ),
    ],
)
def test_it_is_written_and_read(says: bytes, appeal: Appeal) -> None:
    assert read_appeal(says) == appeal
    assert appeal.encode() == says


@pytest.mark.parametrize(
    ("says", "appeal"),
    [
        (b'{"candidates": [], "by": "x"}', Appeal((), None, "x", leave=False, id="")),
        (b'{"candidates": [], "by": "x", "id": 7}', Appeal((), None, "x", leave=False, id="7")),
        (b'{"candidates": [], "by": "x", "leave": 1}', Appeal((), None, "x", leave=False, id="")),
        (b'{"candidates": [], "by": "x", "why": "of a newer version"}', Appeal((), None, "x", leave=False, id="")),
    ],
)
def test_what_others_may_write(says: bytes, appeal: Appeal) -> None:
    assert read_appeal(says) == appeal


@pytest.mark.parametrize(
    "says",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"by": "x"}',
        b'{"candidates": "le_1", "by": "x"}',
        b'{"candidates": {"le_1": 1}, "by": "x"}',
        b'{"candidates": ["le_1", 2], "by": "x"}',
        b'{"candidates": ["le_1"]}',
        b'{"candidates": ["le_1"], "by": 7}',
        b'{"candidates": ["le_1"], "by": "x", "to": 7}',
    ],
)
def test_what_is_not_understood(says: bytes | None) -> None:
    assert read_appeal(says) is None

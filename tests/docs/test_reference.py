"""Every public name has its entry in the reference."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from tests.support.programs import ROOT

PAGES = {
    "golea_async": ("election", "administration", "client", "errors", "reports"),
    "golea_async.testing": ("testing",),
    "golea_async.web": ("web",),
}
"""The metrics' and the guardian's pages list no names: Sphinx takes what is there."""


@pytest.mark.parametrize("package", PAGES)
def test_every_name_is_in_the_reference(package: str) -> None:
    text = "".join((ROOT / "docs" / "reference" / f"{page}.md").read_text() for page in PAGES[package])
    listed = re.findall(r"^\.\. (?:autoclass|autofunction|autoexception|py:data):: (\w+)", text, re.MULTILINE)
    assert sorted(listed) == sorted(import_module(package).__all__)

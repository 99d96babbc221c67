"""Links of a page to files of the repository, and to headings of pages."""

from __future__ import annotations

import re
from pathlib import Path

LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
FENCED = re.compile(r"^```.*?^```$|^<!--.*?-->$", re.MULTILINE | re.DOTALL)


def broken_links(page: Path) -> list[str]:
    """Return the links that lead to no file, or to no heading."""
    text = FENCED.sub("", page.read_text())
    return [f"{file}#{anchor}" for file, anchor in LINK.findall(text) if not _leads_somewhere(page, file, anchor)]


def _leads_somewhere(page: Path, file: str, anchor: str) -> bool:
    target = (page.parent / file).resolve() if file else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}

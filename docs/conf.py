"""The site: `python3 noxfile.py docs` builds it into .nox/docs-site. Nothing is fetched, neither here nor by a reader.

Two rules for links, which work in the repository and on the site alike:

- A page links to another page by its relative path, with the ending `.md`.
- A page links to a file outside of docs/ by its relative path, too (`../examples/worker.py`). The site carries a copy
  of each such file. The README and the other pages at the root are for readers of the repository: the site has no copy
  of them, and no page in docs/ links to them.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_extensions")]

from golea_async import __version__  # noqa: E402 - the one that stands beside these pages

project = "golea_async"
author = "The golea_async authors"
copyright = author  # noqa: A001 - Sphinx's name
release = version = __version__
html_title = f"golea_async {__version__}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "diagrams"]
nitpicky = True  # a name that leads nowhere is a warning, and so an error
nitpick_ignore_regex = [
    # Python's own, and other packages': their pages are elsewhere, and nothing is fetched.
    (r"py:.*", r"(asyncio|collections|contextlib|datetime|enum|os|pathlib|ssl|subprocess|types|typing)\..*"),
    (r"py:.*", r"(aiohttp|aiozk|fastapi|opentelemetry|prometheus_client|pytest|starlette)\..*"),
    (r"py:.*", r"[A-Za-z]+"),
    (r"py:.*", r"_asyncio\..*|web\.RouteDef"),
    # What a caller never names.
    (r"py:class", r"golea_async\.(.*\.)?_.*"),
]
default_role = "code"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]

autoclass_content = "both"  # what a class is, and what it is made with
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"ASGI": "ASGI"}
maximum_signature_line_length = 88
autodoc_default_options = {"exclude-members": "__weakref__, __init__"}

highlight_language = "text"  # of blocks that name none

html_theme = "furo"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "monokai"

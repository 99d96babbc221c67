"""Web applications beside other programs: the fixtures of their own tests."""

from tests.web.conftest import line, run, site

__all__ = ["line", "run", "site"]

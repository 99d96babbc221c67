"""Hold the public interface to what is written down in surface.txt: `python -m tests.api`, which `nox -s lint` runs.

`python -m tests.api --write` writes it down anew; docs/policy.md says what a change of it means for the version.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[2]
SURFACE = Path(__file__).with_name("surface.txt")
PACKAGES = ("golea_async", "golea_async.testing")
SPECIAL = {
    "__init__",
    "__aenter__",
    "__aexit__",
    "__enter__",
    "__exit__",
    "__aiter__",
    "__anext__",
    "__await__",
}

MADE_BY_THE_LIBRARY = {"Leadership", "MemoryServer", "Server", "Transaction"}
NOT_CALLED = {"__init__"}
"""Nobody else makes them."""

PART_OFFERED = {"Leadership": {"check", "fencing_token", "is_valid", "remaining", "transaction", "wait_lost"}}
"""Of these, applications use so much; the rest is for the library's own modules."""


def main() -> None:
    """Compare, or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.api")
    parser.add_argument("--write", action="store_true", help="write the interface down as it is now")
    write = parser.parse_args().write
    now = [f"{line}\n" for line in surface()]
    if write:
        SURFACE.write_text("".join(now))
        return
    recorded = SURFACE.read_text().splitlines(keepends=True)
    changes = list(difflib.unified_diff(recorded, now, "recorded", "now"))
    sys.stdout.writelines(changes)
    if changes:
        sys.exit("\nThe public interface has changed. If that is meant: python -m tests.api --write")
    print(f"The public interface is as it is written down: {len(now)} lines.")


def surface() -> Iterator[str]:
    """Return a line for each name that is offered, and for each public member of the classes among them."""
    loaded = griffe.load("golea_async", search_paths=[ROOT])
    for package in PACKAGES:
        offered = (loaded if package == "golea_async" else loaded["testing"])["_api"]
        for name in sorted(map(str, offered.exports or ())):
            yield from describe(f"{package}.{name}", offered.members[name])


def describe(path: str, member: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Return the lines about one name."""
    if isinstance(member, griffe.Alias) and not member.target_path.startswith("golea_async"):
        yield f"{path} is {member.target_path}"
        return
    target = member.final_target if isinstance(member, griffe.Alias) else member
    if isinstance(target, griffe.Function):
        yield f"{'async ' if 'async' in target.labels else ''}{target.signature(return_type=True, name=path)}"
    elif isinstance(target, griffe.Attribute):
        yield describe_attribute(path, target)
    elif isinstance(target, griffe.Class):
        yield from describe_class(path, target)


def describe_attribute(path: str, target: griffe.Attribute) -> str:
    """Return the line about an attribute or a property; the value is public where the name is a constant's."""
    kind = "property " if "property" in target.labels else ""
    annotation = f": {target.annotation}" if target.annotation else ""
    value = f" = {target.value}" if target.name.isupper() else ""
    return f"{kind}{path}{annotation}{value}"


def describe_class(path: str, target: griffe.Class) -> Iterator[str]:
    """Return the lines about a class, less what it has from another one that is offered."""
    yield f"class {path}({', '.join(map(str, target.bases))})"
    left_out = NOT_CALLED if target.name in MADE_BY_THE_LIBRARY else set()
    for name, member in sorted(target.all_members.items()):
        if (
            name in left_out
            or name not in PART_OFFERED.get(target.name, {name})
            or (name.startswith("_") and name not in SPECIAL)
        ):
            continue
        if isinstance(member, griffe.Alias) and member.inherited and is_offered_or_foreign(member):
            continue
        yield from describe(f"{path}.{name}", member)


def is_offered_or_foreign(member: griffe.Alias) -> bool:
    """Return whether the class from which this is inherited has lines of its own, or is of another package."""
    module, _, owner = member.final_target.parent.path.rpartition(".") if member.final_target.parent else ("", "", "")
    return not module.startswith("golea_async") or not owner.startswith("_")


if __name__ == "__main__":
    main()

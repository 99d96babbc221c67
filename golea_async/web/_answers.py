"""What is answered to whom, whatever serves it: the paths, and what they say."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from golea_async import Candidate, ElectionReport

from ._page import POLICY, page

LONGEST_NAME = 200
MOST_CANDIDATES = 200


class View(NamedTuple):
    """What is known at one moment.

    :ivar report: None before the application has begun to stand.
    :ivar is_serving: whether the application serves, and is not about to end.
    """

    report: ElectionReport | None
    is_serving: bool


class Source(NamedTuple):
    """Where answers come from.

    :ivar look: returns what is known here; nothing is asked for.
    :ivar candidates: returns who stands, by ZooKeeper's word; None when it does not answer at once.
    """

    look: Callable[[], View]
    candidates: Callable[[], Awaitable[list[Candidate] | None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whatever sends it."""

    status: int
    body: bytes
    content_type: str = "application/json"

    @property
    def headers(self) -> dict[str, str]:
        """Nobody keeps an answer, nor guesses what it is; a page loads nothing from anywhere."""
        return {
            "Content-Type": self.content_type,
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }


METHODS = ("GET", "HEAD", "OPTIONS")
"""HAProxy asks by OPTIONS where it is told nothing else."""
NOT_ALLOWED = Answer(405, b'{"error": "GET only"}')
NOT_FOUND = Answer(404, b'{"error": "not found"}')


async def answer(source: Source, path: str) -> Answer:
    """Return what there is at a path below that of the election."""
    handler = _PATHS.get(path.rstrip("/"))
    return NOT_FOUND if handler is None else await handler(source)


async def _leader(source: Source) -> Answer:
    """200 while this process leads, else 503: for load balancers that send requests to the leader alone."""
    report, _ = source.look()
    if report is not None and report.is_leader:
        return _json(200, {"is_leader": True, "leader": shortened(report.name), "fencing_token": report.fencing_token})
    first = next(iter(await source.candidates() or ()), None)
    name = shortened(first.name) if first is not None else None
    return _json(503, {"is_leader": False, "leader": name, "fencing_token": None})


async def _healthz(source: Source) -> Answer:
    """Fail only when a restart would help: an outage of ZooKeeper must not restart a fleet."""
    report, _ = source.look()
    if report is not None and report.crashed:
        return _json(503, {"healthy": False, "problem": report.problem})
    return _json(200, {"healthy": True})


async def _readyz(source: Source) -> Answer:
    """200 once the application serves: readiness that waits for leadership deadlocks a rolling update."""
    is_serving = source.look().is_serving
    return _json(200 if is_serving else 503, {"ready": is_serving})


async def _election(source: Source) -> Answer:
    report, _ = source.look()
    if report is None:
        return _json(503, {"report": None, "candidates": None})
    candidates = await source.candidates()
    shown = None if candidates is None else [_candidate(each) for each in candidates[:MOST_CANDIDATES]]
    count = None if candidates is None else len(candidates)
    return _json(200, {"report": as_json(report), "candidates": shown, "number_of_candidates": count})


async def _page(source: Source) -> Answer:
    report, _ = source.look()
    candidates = None if report is None else await source.candidates()
    text = page(report, candidates, shortened, MOST_CANDIDATES)
    return Answer(200, text.encode(errors="replace"), "text/html; charset=utf-8")


_PATHS: Mapping[str, Callable[[Source], Awaitable[Answer]]] = {
    "": _page,
    "/leader": _leader,
    "/healthz": _healthz,
    "/readyz": _readyz,
    "/election": _election,
}
PATHS = tuple(path or "/" for path in _PATHS)


def _json(status: int, value: object) -> Answer:
    return Answer(status, json.dumps(value).encode())


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {"id": candidate.id, "name": shortened(candidate.name), "fencing_token": candidate.fencing_token}


def shortened(name: str) -> str:
    """Return a name that may be a megabyte long."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def as_json(report: ElectionReport) -> dict[str, Any]:
    """Return a report as JSON has it: times in ISO 8601, what is counted by several things as a list."""
    loss = report.last_loss
    return {
        **{name: _plain(getattr(report, name)) for name in _PLAIN},
        "name": shortened(report.name),
        "changes": [
            {"role": role, "reason": reason, "count": count} for (role, reason), count in report.changes.items()
        ],
        "recent_changes": [
            {"when": each.when.isoformat(), "role": each.role, "reason": each.reason} for each in report.recent_changes
        ],
        "losses": dict(report.losses),
        "last_loss": None if loss is None else {name: _plain(getattr(loss, name)) for name in loss.__slots__},
    }


_APART = {"name", "changes", "recent_changes", "losses", "last_loss"}
_PLAIN = tuple(name for name in ElectionReport.__slots__ if name not in _APART)


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value

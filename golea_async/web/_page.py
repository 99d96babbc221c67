"""The page for people: plain HTML that loads itself again. Names are data: nothing in them is markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from golea_async import Candidate, ElectionReport

STYLE = """
:root { color-scheme: light dark; --line: #d5d9e0; --soft: #5b6472; --back: #fff; --text: #17202c; --good: #0b7a3e;
  --bad: #b3261e; --card: #f6f7f9 }
@media (prefers-color-scheme: dark) { :root { --line: #38414e; --soft: #a3adba; --back: #12171e; --text: #e8ecf1;
  --good: #5fd08f; --bad: #ff8a80; --card: #1a212b } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 1.25rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.35rem; margin: 0 0 .25rem } h2 { font-size: 1rem; margin: 1.75rem 0 .5rem }
p { margin: .25rem 0 } .soft { color: var(--soft) } .good { color: var(--good) } .bad { color: var(--bad) }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .75rem; margin: 1rem 0 }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem }
dt { color: var(--soft); font-size: .85rem } dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums }
table { width: 100%; border-collapse: collapse } th { text-align: left; font-weight: 500; color: var(--soft);
  font-size: .85rem } th, td { padding: .4rem 1.25rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; white-space: nowrap } td { font-variant-numeric: tabular-nums }
td.name { width: 100%; white-space: normal } .me { font-weight: 600 }
th:last-child, td:last-child { padding-right: 0 } .as-of { margin-top: 1.25rem }
@media (max-width: 34rem) { body { padding: .9rem } .wide { display: none } dl { grid-template-columns: 1fr 1fr }
  th, td { padding-right: .75rem } }
"""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
RELOAD = 2
"""Seconds after which the page loads itself again."""
MINE = ' class="me"'


def page(
    report: ElectionReport | None,
    candidates: Sequence[Candidate] | None,
    shortened: Callable[[str], str],
    most: int,
) -> str:
    """Return the page: the leader, this candidate, the line of all, and what happened last."""
    title = "Election" if report is None else f"Election {report.resource}"
    body = (
        "<p>This application has not begun to stand.</p>"
        if report is None
        else _body(report, candidates, shortened, most)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="{RELOAD}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def _body(
    report: ElectionReport, candidates: Sequence[Candidate] | None, shortened: Callable[[str], str], most: int
) -> str:
    now = datetime.now(UTC)
    leader = _called(candidates[0], shortened) if candidates else None
    if candidates is None:
        headline = '<p class="bad">ZooKeeper does not answer; who leads is not known from here.</p>'
    else:
        headline = f'<p class="good">Led by {leader}.</p>' if leader else '<p class="bad">Nobody stands.</p>'
    problem = "" if report.healthy else f'<p class="bad" role="alert">{escape(_sentence(str(report.problem)))}</p>'
    return (
        f"{headline}{problem}{_facts(report, shortened, now)}{_line(report, candidates, shortened, most)}"
        f'{_changes(report, now)}<p class="soft as-of">As of {now:%Y-%m-%d %H:%M:%S} UTC.</p>'
    )


def _facts(report: ElectionReport, shortened: Callable[[str], str], now: datetime) -> str:
    lease = f"{report.lease_remaining:.1f} s left" if report.is_leader else "none"
    facts = {
        "This candidate": _name(shortened(report.name)),
        "Role": f"{report.role} for {_ago(now, report.since)}",
        "Lease": lease,
        "Fencing token": str(report.fencing_token or "none"),
        "ZooKeeper": escape(report.server or "out of touch").replace(":", "<wbr>:"),
        "Session timeout": f"{report.session_timeout:g} s",
    }
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{value}</dd></div>' for name, value in facts.items())}</dl>"


def _line(
    report: ElectionReport, candidates: Sequence[Candidate] | None, shortened: Callable[[str], str], most: int
) -> str:
    if not candidates:
        return ""
    rows = [
        f"<tr{MINE if each.id == report.candidate_id else ''}><td>{place}</td>"
        f'<td class="name">{_called(each, shortened)}</td>'
        f'<td class="wide">{each.id.rpartition("/")[2]}</td><td>{each.fencing_token}</td></tr>'
        for place, each in enumerate(candidates[:most], 1)
    ]
    more = f'<p class="soft">and {len(candidates) - most} more</p>' if len(candidates) > most else ""
    table = _table({"": "", "Name": "", "Candidate": ' class="wide"', "Fencing token": ""}, rows)
    return f"<h2>In line</h2>{table}{more}"


def _changes(report: ElectionReport, now: datetime) -> str:
    rows = [
        f"<tr><td>{_ago(now, each.when)} ago</td><td>{each.role}</td>"
        f'<td class="name">{(each.reason or "").replace("_", " ")}</td></tr>'
        for each in reversed(report.recent_changes)
    ]
    loss = report.last_loss
    lost = "" if loss is None else f"<p>Lost leadership {_ago(now, loss.when)} ago: {escape(loss.why)}.</p>"
    table = _table({"When": "", "Role": "", "Reason": ""}, rows)
    return f"<h2>Last changes here</h2>{lost}{table}"


def _table(heads: Mapping[str, str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col"{attributes}>{text}</th>' for text, attributes in heads.items())
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _called(candidate: Candidate, shortened: Callable[[str], str]) -> str:
    """Return a candidate's name, or its znode's where it has none."""
    return _name(shortened(candidate.name) or candidate.id.rpartition("/")[2])


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _name(name: str) -> str:
    """Return a name as data: its direction ends with it, and what cannot be seen is shown."""
    visible = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in name)
    return f"<bdi>{escape(visible)}</bdi>"


def _ago(now: datetime, then: datetime) -> str:
    seconds = max(0, round((now - then).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

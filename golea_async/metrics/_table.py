"""The metrics: what each is called, what it means, and where it stands in a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from golea_async import ElectionReport, Reason

LONGEST_NAME = 100

Reading = tuple[Mapping[str, str], float]


class Reporting(Protocol):
    """What metrics are read from: an `AsyncElection`, or what `golea_async.web.leading` returns."""

    def report(self) -> ElectionReport | None:
        """Return a snapshot; None: there is nothing to report yet."""


class Metric(NamedTuple):
    """One metric.

    :ivar name: without unit and type, which the exporters add: ``golea.time_to_lead`` of the unit ``s`` that is a
        counter is ``golea_time_to_lead_seconds_total`` in Prometheus.
    :ivar labels: those beside ``election`` and ``candidate``.
    :ivar read: returns what a report says, with the values of those labels.
    """

    name: str
    is_counter: bool
    unit: str
    description: str
    read: Callable[[ElectionReport], Iterable[Reading]]
    labels: tuple[str, ...] = ()

    def readings(self, reports: Iterable[ElectionReport]) -> Iterable[Reading]:
        """Return what it is in each election, with all labels."""
        return _merged(
            (
                ({"election": report.resource, "candidate": report.name[:LONGEST_NAME], **labels}, value)
                for report in reports
                for labels, value in self.read(report)
            ),
            sum if self.is_counter else max,
        )


def _merged(readings: Iterable[Reading], merge: Callable[[Iterable[float]], float]) -> Iterable[Reading]:
    """Make one of readings with the same labels, such as of two candidates that have the same name."""
    merged: dict[tuple[tuple[str, str], ...], float] = {}
    for labels, value in readings:
        key = tuple(labels.items())
        merged[key] = merge((merged[key], value)) if key in merged else value
    return [(dict(key), value) for key, value in merged.items()]


def _of(name: str) -> Callable[[ElectionReport], Iterable[Reading]]:
    return lambda report: [({}, float(getattr(report, name)))]


def _role_changes(report: ElectionReport) -> Iterable[Reading]:
    return [({"role": role, "reason": reason or ""}, count) for (role, reason), count in report.changes.items()]


def _losses(report: ElectionReport) -> Iterable[Reading]:
    # All of them, also those that are 0: of a series that begins with 1 nobody sees that it grew.
    return [({"reason": reason}, report.losses.get(reason, 0)) for reason in Reason]


METRICS = (
    Metric("golea.leading", False, "", "1 while this candidate leads, else 0", _of("is_leader")),
    Metric("golea.lease_remaining", False, "s", "Time left if ZooKeeper is not heard of again", _of("lease_remaining")),
    Metric("golea.connected", False, "", "1 while the client is connected to ZooKeeper, else 0", _of("connected")),
    Metric("golea.healthy", False, "", "0 when somebody should look at this candidate, else 1", _of("healthy")),
    Metric("golea.role_changes", True, "", "Changes of role", _role_changes, ("role", "reason")),
    Metric("golea.leadership_losses", True, "", "Losses of leadership", _losses, ("reason",)),
    Metric("golea.leaderships", True, "", "How often this candidate began to lead", _of("leaderships")),
    Metric("golea.time_to_lead", True, "s", "Time from standing to leading, in all", _of("time_to_lead")),
    Metric("golea.leaderless_time", True, "s", "Time as the first in line without leading", _of("leaderless_time")),
    Metric("golea.reconnects", True, "", "How often the client found a server again", _of("reconnects")),
    Metric("golea.session_losses", True, "", "Sessions that were lost", _of("session_losses")),
    Metric("golea.resignations", True, "", "Resignations that were carried through", _of("resignations")),
    Metric("golea.resignation_time", True, "s", "Time that these took, in all", _of("resignation_time")),
)

MASTER_STATUS = "leader_election_master_status"
MASTER_STATUS_HELP = "1 while this process leads the election of this name, else 0, as Kubernetes' client-go has it"


def master_status(reports: Iterable[ElectionReport]) -> Iterable[Reading]:
    """Return what client-go calls ``leader_election_master_status``, which dashboards know."""
    return _merged((({"name": report.resource}, float(report.is_leader)) for report in reports), max)


class Elections:
    """The elections of one exporter. They may come and go."""

    def __init__(self, *elections: Reporting) -> None:
        self._elections = dict.fromkeys(elections)

    def add(self, election: Reporting) -> None:
        """Export this one, too."""
        self._elections[election] = None

    def discard(self, election: Reporting) -> None:
        """Export this one no longer."""
        self._elections.pop(election, None)

    def reports(self) -> list[ElectionReport]:
        """Return a report of each that has something to report."""
        reports = [election.report() for election in list(self._elections)]
        return [report for report in reports if report is not None]

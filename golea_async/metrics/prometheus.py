"""Metrics for prometheus-client (``golea-async[prometheus]``)."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ._table import MASTER_STATUS, MASTER_STATUS_HELP, METRICS, Elections, Reporting, master_status

__all__ = ["ElectionCollector", "export"]

_UNITS = {"s": "_seconds", "": ""}


class ElectionCollector(Elections, Collector):
    """Reads elections when Prometheus scrapes, also in another thread. Made by :func:`export`."""

    def collect(self) -> Iterable[Metric]:
        """Return all metrics of all elections."""
        reports = self.reports()
        for metric in METRICS:
            kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            labels = ("election", "candidate", *metric.labels)
            name = metric.name.replace(".", "_") + _UNITS[metric.unit]
            family = kind(name, metric.description, labels=labels)
            for values, value in metric.readings(reports):
                family.add_metric([values[label] for label in labels], value)
            yield family
        status = GaugeMetricFamily(MASTER_STATUS, MASTER_STATUS_HELP, labels=["name"])
        for values, value in master_status(reports):
            status.add_metric([values["name"]], value)
        yield status

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are known when metrics are read."""
        return ()


def export(*elections: Reporting, registry: CollectorRegistry = REGISTRY) -> ElectionCollector:
    """Export the metrics of these elections; the collector takes others, and lets them go.

    It holds them: ``collector.discard(election)`` when one is made for a short time, and
    ``registry.unregister(collector)`` at the end.
    """
    collector = ElectionCollector(*elections)
    registry.register(collector)
    return collector

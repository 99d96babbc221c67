"""Metrics for OpenTelemetry's API (``golea-async[otel]``): the application brings the SDK, or nothing is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from golea_async import ElectionReport

from ._table import MASTER_STATUS, MASTER_STATUS_HELP, METRICS, Elections, Reading, Reporting, master_status

__all__ = ["Elections", "export"]

Readings = Callable[[Iterable[ElectionReport]], Iterable[Reading]]


def export(*elections: Reporting, meter_provider: MeterProvider | None = None) -> Elections:
    """Export the metrics of these elections; what is returned takes others, and lets them go.

    It holds them: ``exported.discard(election)`` when one is made for a short time.

    :param meter_provider: the global one when not given.
    """
    exported = Elections(*elections)
    meter = get_meter("golea_async", meter_provider=meter_provider)
    for metric in METRICS:
        create = meter.create_observable_counter if metric.is_counter else meter.create_observable_gauge
        create(metric.name, [_callback(exported, metric.readings)], metric.unit, metric.description)
    meter.create_observable_gauge(MASTER_STATUS, [_callback(exported, master_status)], "", MASTER_STATUS_HELP)
    return exported


def _callback(exported: Elections, readings: Readings) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, dict(labels)) for labels, value in readings(exported.reports())]

    return observe

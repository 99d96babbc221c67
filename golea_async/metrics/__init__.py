"""Metrics of elections, read when they are collected: for prometheus-client and for OpenTelemetry::

    from golea_async.metrics import prometheus
    prometheus.export(election)

    from golea_async.metrics import opentelemetry
    opentelemetry.export(election)

Both export the same metrics under the same names; docs/metrics.md says what each means. Neither library is needed for
the other, and nothing is counted for metrics alone: they are read from ``election.report()``.
"""

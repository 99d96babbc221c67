"""The metrics, as Prometheus scrapes them over HTTP: from prometheus-client, and from OpenTelemetry's SDK."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from golea_async import AsyncElection, Reason, ZKClient, create_election
from golea_async.metrics import opentelemetry, prometheus
from golea_async.metrics._table import Elections
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import eventually, soon

RESOURCE = "/svc/a"
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
Export = Callable[..., tuple[Elections, CollectorRegistry]]


def by_prometheus(*elections: AsyncElection) -> tuple[Elections, CollectorRegistry]:
    registry = CollectorRegistry()
    return prometheus.export(*elections, registry=registry), registry


def by_opentelemetry(*elections: AsyncElection) -> tuple[Elections, CollectorRegistry]:
    provider = MeterProvider([PrometheusMetricReader()])
    return opentelemetry.export(*elections, meter_provider=provider), REGISTRY


async def scrape(registry: CollectorRegistry) -> Samples:
    """Return what one request over HTTP gets of elections of these tests: others may export there, too."""
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        text = (await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())).decode()
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)
    return {
        (sample.name, tuple(sorted((key, value) for key, value in sample.labels.items() if "otel" not in key))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(("golea", "leader_election"))
        and any(value.startswith("/svc/") for value in sample.labels.values())
    }


@pytest.fixture
async def zk(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(zookeeper.hosts, session_timeout=10) as client:
        await create_election(client, RESOURCE)
        yield client


@pytest.mark.parametrize("export", [by_prometheus, by_opentelemetry])
async def test_what_is_scraped(zookeeper: MemoryZooKeeper, zk: ZKClient, export: Export) -> None:
    election = AsyncElection(zk, RESOURCE, "a")
    exported, registry = export(election)
    here = (("candidate", "a"), ("election", RESOURCE))

    async def value(name: str, **labels: str) -> float:
        return (await scrape(registry))[name, tuple(sorted((*here, *labels.items())))]

    assert await value("golea_leading") == 0
    await soon(election.start())
    samples = await scrape(registry)
    assert samples["golea_leading", here] == samples["golea_connected", here] == samples["golea_healthy", here] == 1
    assert samples["leader_election_master_status", (("name", RESOURCE),)] == 1
    assert 0 < samples["golea_lease_remaining_seconds", here] <= 5 / 6 * 10
    assert samples["golea_leaderships_total", here] == 1
    assert samples["golea_time_to_lead_seconds_total", here] > 0
    assert samples["golea_leadership_losses_total", (*here, ("reason", "deposed"))] == 0

    zookeeper.drop_connections()
    await eventually(lambda: election.report().reconnects == 1)
    assert await value("golea_reconnects_total") == 1
    zookeeper.expire_session(zk.session.session_id)
    await eventually(lambda: election.report().leaderships == 2)
    samples = await scrape(registry)
    assert samples["golea_leadership_losses_total", (*here, ("reason", "session_lost"))] == 1
    assert samples["golea_role_changes_total", (*here, ("reason", "session_lost"), ("role", "candidate"))] == 1
    assert samples["golea_session_losses_total", here] == 1

    await soon(election.resign())
    samples = await scrape(registry)
    assert samples["golea_leading", here] == samples["leader_election_master_status", (("name", RESOURCE),)] == 0
    assert samples["golea_resignations_total", here] == 1
    assert samples["golea_resignation_time_seconds_total", here] > 0
    exported.discard(election)
    assert await scrape(registry) == {}


async def test_both_export_the_same(zk: ZKClient) -> None:
    async with AsyncElection(zk, RESOURCE, "a") as election:
        _, registry = by_prometheus(election)
        exported, others = by_opentelemetry(election)
        assert (await scrape(registry)).keys() == (await scrape(others)).keys()
        exported.discard(election)


async def test_two_candidates_of_one_name_are_one_series(zk: ZKClient) -> None:
    async with AsyncElection(zk, RESOURCE, "a") as first, AsyncElection(zk, RESOURCE, "a") as second:
        collector, registry = by_prometheus(first)
        collector.add(second)
        samples = await scrape(registry)
        here = (("candidate", "a"), ("election", RESOURCE))
        assert samples["golea_leading", here] == 1
        assert samples["golea_role_changes_total", (*here, ("reason", ""), ("role", "candidate"))] == 2


async def test_the_page_lists_every_metric_and_reason(zk: ZKClient) -> None:
    async with AsyncElection(zk, RESOURCE, "a") as election:
        _, registry = by_prometheus(election)
        exported = {name for name, _ in await scrape(registry)}
    text = DOCS.read_text()
    assert set(re.findall(r"^\| `([a-z_]+)`", text, re.MULTILINE)) == exported | {reason.value for reason in Reason}


@pytest.mark.parametrize("module", ["golea_async", "golea_async.metrics", "golea_async.web"])
def test_nothing_is_imported_for_who_does_not_want_it(module: str) -> None:
    modules = ["prometheus_client", "opentelemetry", "aiohttp", "fastapi", "starlette", "uvicorn", "apscheduler"]
    code = f"import sys, {module} as m; [getattr(m, n) for n in getattr(m, '__all__', ())]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not set(modules).intersection(loaded)

"""What a real worker, web view and archive show at /metrics is what docs/metrics.md says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from pipeline.kafka.broker import RunningKafka
from tests.deploy.exposed import Family, documented, families, needs_prometheus, promtool
from tests.lab import PATIENCE, produce, python, started
from tests.proof.archives import Archives, until
from tests.proof.kafka import Sent, publish
from tests.proof.worker import Worker
from tests.stores import Redis, running

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PREFIX = "metrics-"
CODE = "from pipeline.cli import main; main()"
DEVICES = ("attic", "cellar", "loft")
LATENCIES = ("smart_iot_alert_seconds", "smart_iot_web_relay_seconds", "smart_iot_offline_seconds")


class Shown(NamedTuple):
    worker: str
    web: str
    archive: str


@pytest.fixture(scope="module")
def shown(kafka: RunningKafka, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """After one of everything that can be counted."""
    return asyncio.run(_shown(kafka.bootstrap, tmp_path_factory.mktemp("metrics")))


async def _shown(bootstrap: str, folder: Path) -> Shown:
    with running(Redis(folder / "redis")) as redis:
        database = {"SMART_IOT_REDIS_URL": redis.url}
        async with aiohttp.ClientSession() as client:
            with (
                Worker(bootstrap, PREFIX, folder, **database) as worker,
                Archives(bootstrap, PREFIX, folder, redis) as archives,
            ):
                await worker.ready()
                async with (
                    web_view(client, bootstrap, **database) as url,
                    client.ws_connect(url + "ws/alerts/"),
                ):
                    own = f"http://127.0.0.1:{worker.port}/"
                    await _happen(client, worker, bootstrap)
                    await archived(archives, len(DEVICES))
                    texts = [await text(client, one) for one in (own, url)]
                    return Shown(*texts, await archives.ask("redis", "/metrics"))


async def archived(archives: Archives, number: int) -> None:
    sample = f'smart_iot_archived_total{{kind="reading",sink="redis"}} {float(number)}'

    async def are_there() -> bool:
        return sample in await archives.ask("redis", "/metrics")

    await until(are_there, archives.tail())


@asynccontextmanager
async def web_view(
    client: aiohttp.ClientSession, bootstrap: str, **database: str
) -> AsyncIterator[str]:
    environment = {
        "SMART_IOT_BOOTSTRAP": bootstrap,
        "SMART_IOT_TOPIC_PREFIX": PREFIX,
        **database,
    }
    with started(*python(CODE, "web", "--port", "0"), **environment) as program:
        url = json.loads(program.lines.until("web view: "))["message"].removeprefix("web view: ")
        program.lines.until("alert feed: caught up")
        yield url


async def _happen(client: aiohttp.ClientSession, worker: Worker, bootstrap: str) -> None:
    """What gives every metric that has labels a sample."""
    for topic in ("readings", "alerts", "commands"):
        await produce(bootstrap, PREFIX + topic, b"junk")
    async with client.post(f"http://127.0.0.1:{worker.port}/-/reload") as answer:
        assert answer.status == 200
    hot = [Sent(device, {"temperature": 36.0}, time.time()) for device in DEVICES]
    await publish(bootstrap, PREFIX + "readings", hot)
    for sample, number in {
        'smart_iot_alert_events_total{event="fired",rule="temperature-high"}': len(DEVICES),
        'smart_iot_open_alerts{severity="danger"}': len(DEVICES),
        'smart_iot_devices{state="online"}': len(DEVICES),
        'smart_iot_readings_rejected_total{reason="not_json"}': 1,
        'smart_iot_commands_refused_total{reason="not_json"}': 1,
        'smart_iot_web_records_unreadable_total{what="alerts of the past"}': 1,
        "smart_iot_alert_seconds_count": len(DEVICES),
        "smart_iot_dirty_rows": 0,
    }.items():
        await until_metric(worker, sample, number)


async def until_metric(worker: Worker, sample: str, number: float) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := await worker.metric(sample)) != number:
        assert time.monotonic() < deadline, (sample, found)
        assert worker.runs(), worker.tail()
        await asyncio.sleep(0.1)


async def text(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(url + "metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return await answer.text()


def sections(*headings: str) -> set[Family]:
    found = documented()
    return {family for heading in headings for family in found[heading]}


def test_a_worker_shows_what_is_documented_and_nothing_else(shown: Shown) -> None:
    expected = sections("Every process", "A web view", "A worker", "A worker: Faust's own")
    assert set(families(shown.worker)) == expected


def test_a_web_view_that_stands_alone_shows_nothing_of_a_worker(shown: Shown) -> None:
    assert set(families(shown.web)) == sections("Every process", "A web view")


def test_an_archive_shows_nothing_of_either(shown: Shown) -> None:
    assert set(families(shown.archive)) == sections("Every process", "An archive")


@needs_prometheus
@pytest.mark.parametrize("process", Shown._fields)
def test_prometheus_finds_nothing_to_mend_in_names_and_types(shown: Shown, process: str) -> None:
    assert promtool("check", "metrics", told=getattr(shown, process)) == ""


def test_no_label_is_as_many_as_there_are_devices(shown: Shown) -> None:
    for device in DEVICES:
        assert device not in "".join(shown)


@pytest.mark.parametrize("name", LATENCIES)
def test_a_latency_is_told_from_one_millisecond_to_a_minute(shown: Shown, name: str) -> None:
    edges = [
        float(line.partition('le="')[2].partition('"')[0])
        for line in shown.worker.splitlines()
        if line.startswith(f"{name}_bucket")
    ]
    assert (edges[0], edges[-2], edges[-1]) == (0.001, 60.0, float("inf"))
    assert all(after / before <= 3 for before, after in pairwise(edges[:-1]))


async def test_what_was_sent_is_what_is_counted(shown: Shown) -> None:
    said = dict(line.rsplit(" ", 1) for line in shown.worker.splitlines() if line[0] != "#")
    for sample, value in {
        'smart_iot_readings_total{result="judged"}': 3,
        'smart_iot_readings_total{result="rejected"}': 1,
        'smart_iot_rules_reloads_total{result="unchanged"}': 1,
        "smart_iot_rules_reload_successful": 1,
        "smart_iot_partitions": 4,
        'smart_iot_judgement_held_partitions{reason="backlog"}': 0,
        'smart_iot_open_alerts{severity="warning"}': 0,
        "smart_iot_web_open_alerts": 3,
        'smart_iot_lag_records{partition="0",topic="readings"}': 0,
        "smart_iot_recovery_seconds_count": 1,
        "faust_total_rebalances": 0,
        "faust_total_rebalances_recovering": 0,
    }.items():
        assert float(said[sample]) == value, sample
    assert float(said["faust_messages_received_total"]) > 0
    assert time.time() - float(said["smart_iot_last_flush_timestamp_seconds"]) < 60

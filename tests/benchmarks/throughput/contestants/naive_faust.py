"""Readings in, alerts out, as Faust's documentation would have one write it, on `kafka://`.

A Record, an agent, a plain table of devices and a tumbling one of windows, both in RocksDB with a
changelog each: `faust -A tests.benchmarks.throughput.contestants.naive_faust worker`.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

import faust

from tests.benchmarks.throughput.job import WINDOW, changes

PREFIX = os.environ["BENCH_PREFIX"]
METRICS = ("temperature", "humidity", "battery")

app = faust.App(
    f"{PREFIX}group",
    broker=f"kafka://{os.environ['BENCH_BOOTSTRAP']}",
    store="rocksdb://",
    datadir=os.environ["BENCH_FOLDER"],
    topic_partitions=4,
    web_enabled=False,
    topic_disable_leader=True,
)


class Reading(faust.Record, coerce=True):
    device_id: str
    temperature: float
    humidity: float
    battery: float
    timestamp: datetime


readings = app.topic(os.environ["BENCH_TOPIC"], key_type=str, value_type=Reading)
alerts = app.topic(f"{PREFIX}alerts", key_type=str)
devices = app.Table(f"{PREFIX}devices", default=dict)
windows = app.Table(f"{PREFIX}windows", default=dict).tumbling(
    timedelta(seconds=WINDOW), expires=timedelta(hours=1)
)


@app.agent(readings)
async def detect(stream: faust.StreamT[Reading]) -> None:
    async for reading in stream:
        windows[reading.device_id] = added(windows[reading.device_id].value(), reading)
        device = devices[reading.device_id]
        opened = device.get("alerts", {})
        events = list(changes(opened, reading))
        devices[reading.device_id] = {
            "last_seen": reading.timestamp.timestamp(),
            "latest": [getattr(reading, metric) for metric in METRICS],
            "alerts": opened,
        }
        for event in events:
            await alerts.send(key=reading.device_id, value=event)


def added(window: dict[str, Any], reading: Reading) -> dict[str, Any]:
    for metric in METRICS:
        value = getattr(reading, metric)
        count, total, low, high = window.get(metric, (0, 0.0, value, value))
        window[metric] = [count + 1, total + value, min(low, value), max(high, value)]
    return window

"""Windows of a worker that is killed again and again are those of a plain look at its readings."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from pipeline.records import iso
from tests.proof.kafka import Sent, as_said, publish, quiet, read_topic
from tests.proof.producers import publish_by_all
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]

WIDTH = 60
DEVICES = 40
STEPS = 150
STEP = 10.0  # seconds between two readings of a device
START = (time.time() - 3 * 86_400) // WIDTH * WIDTH
END = START + STEPS * STEP + 400
SETTINGS = {
    "SMART_IOT_WINDOW": str(WIDTH),
    "SMART_IOT_SESSION_TIMEOUT": "6",
    "SMART_IOT_FLUSH_TIMEOUT": "4",
}
KILLED_AT = ["rows:4", "", "rows:9", "half:3", "announce:3"]
FAULT = 655.35  # no humidity: in no window

Identity = tuple[str, str, str, int]


def history(seed: int) -> list[Sent]:
    """In order of arrival. One reading in five comes up to 250 s late, some devices fall silent and
    send what they kept, and the last reading of each closes all before it."""
    draw, sent = random.Random(seed), []
    for number in range(DEVICES):
        device, kept_until = f"shed-{number}", 0.0
        for step in range(STEPS):
            at = START + step * STEP + number * 0.01
            if number % 4 == 0 and step % 50 == 20:
                kept_until = at + 200  # offline, by then
            late = draw.uniform(0, 250) if draw.random() < 0.2 else 0.0
            fields = {
                "timestamp": iso(at),
                "temperature": round(draw.uniform(15, 40), 1),
                "humidity": draw.choice([FAULT, 40.5, 50.5, 60.5]),
            }
            sent.append(Sent(device, fields, max(at + late, kept_until)))
        sent.append(Sent(device, {"timestamp": iso(END), "temperature": 20.0}, END))
    return sorted(sent, key=lambda one: one.at)


def counted(readings: Iterable[Sent]) -> dict[Identity, list[float]]:
    """Count, mean, min, max and last of every window but the newest of each device."""
    values: dict[Identity, list[tuple[str, float]]] = defaultdict(list)
    for device, fields, _ in readings:
        for metric in ("temperature", "humidity"):
            if metric in fields and fields[metric] != FAULT:
                start = fields["timestamp"][:16] + ":00.000Z"  # a window is a minute
                values[device, metric, start, WIDTH].append((fields["timestamp"], fields[metric]))
    end = iso(END)[:16] + ":00.000Z"
    found = {}
    for identity, pairs in values.items():
        if identity[2] != end:
            plain = [value for _, value in pairs]
            mean = pytest.approx(sum(plain) / len(plain), rel=1e-9)
            found[identity] = [len(plain), mean, min(plain), max(plain), max(pairs)[1]]
    return found


def identity(window: dict[str, Any]) -> Identity:
    return window["device_id"], window["metric"], window["start"], window["seconds"]


def folded(windows: Iterable[dict[str, Any]]) -> dict[Identity, list[float]]:
    """Of each window the highest revision."""
    newest: dict[Identity, dict[str, Any]] = {}
    for window in windows:
        key = identity(window)
        if key not in newest or window["revision"] > newest[key]["revision"]:
            newest[key] = window
    return {
        key: [window[name] for name in ("count", "mean", "min", "max", "last")]
        for key, window in newest.items()
    }


def assert_one_story(windows: Iterable[dict[str, Any]]) -> None:
    """A repeat says what was said."""
    said: dict[tuple[Identity, int], dict[str, Any]] = {}
    for window in windows:
        assert said.setdefault((identity(window), window["revision"]), window) == window


async def make_topics(kafka, prefix, folder):
    with Worker(kafka.bootstrap, prefix, folder, **SETTINGS) as worker:
        await worker.ready()
        worker.kill()


async def test_windows_are_those_of_a_plain_look_whatever_is_killed(kafka, prefix, tmp_path):
    readings = history(seed=3)
    await make_topics(kafka, prefix, tmp_path)
    over = asyncio.Event()
    publishing = asyncio.create_task(
        publish(kafka.bootstrap, prefix + "readings", readings, rate=60, hurry=over)
    )
    draw = random.Random(4)
    for number, step in enumerate(KILLED_AT):
        more = {"module": "tests.proof.stopping_worker", "STOP_AT": step} if step else {}
        with Worker(kafka.bootstrap, prefix, tmp_path, **SETTINGS, **more) as worker:
            if step:
                await worker.ended(within=60)
            else:
                await worker.ready()
                await asyncio.sleep(draw.uniform(0.5, 2.0))
                worker.kill()
        if number % 2:
            shutil.rmtree(tmp_path / "worker")
    assert not publishing.done(), "the kills came too late to disturb anything"
    over.set()
    with Worker(kafka.bootstrap, prefix, tmp_path, **SETTINGS) as worker:
        await worker.ready()
        await publishing
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0, worker.tail()
    records = await read_topic(kafka.bootstrap, prefix + "windows")
    windows = as_said("window", records)
    assert folded(windows) == counted(readings)
    assert_one_story(windows)
    revisions = [(identity(window), window["revision"]) for window in windows]
    assert len(set(revisions)) < len(revisions), "no kill fell between windows and rows"
    assert len({key for key, _ in revisions}) < len(set(revisions)), "no reading came late"
    homes = {(record.key, record.partition) for record in records}
    assert len(homes) == DEVICES


async def test_windows_are_right_in_the_end_where_readings_come_without_a_key(
    kafka, prefix, tmp_path
):
    """What is decided again after a kill may then be decided in another order."""
    readings = history(seed=5)
    await make_topics(kafka, prefix, tmp_path)
    steps = ["rows:2", "half:1", "rows:1", "rows:4"]
    part = len(readings) // (len(steps) + 1)
    for number, step in enumerate(steps):
        stopping = {"module": "tests.proof.stopping_worker", "STOP_AT": step}
        some = readings[number * part : (number + 1) * part]
        await publish_by_all(kafka.bootstrap, prefix + "readings", some, seed=number)
        with Worker(kafka.bootstrap, prefix, tmp_path, **SETTINGS, **stopping) as worker:
            await worker.ended(within=60)
    rest = readings[len(steps) * part :]
    await publish_by_all(kafka.bootstrap, prefix + "readings", rest, seed=9)
    with Worker(kafka.bootstrap, prefix, tmp_path, **SETTINGS) as worker:
        await worker.ready()
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0, worker.tail()
    records = await read_topic(kafka.bootstrap, prefix + "windows")
    assert folded(as_said("window", records)) == counted(readings)

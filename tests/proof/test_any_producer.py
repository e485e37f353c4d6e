"""Whatever sends a reading, with whatever key, to whatever partition: it meets one state, once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.proof.history import wandering
from tests.proof.kafka import Sent, quiet, read_topic, states
from tests.proof.outcome import Outcome, assert_same, outcome, undisturbed
from tests.proof.producers import publish_by_all
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]

QUICK = {"SMART_IOT_SESSION_TIMEOUT": "6", "SMART_IOT_FLUSH_TIMEOUT": "4"}
DEVICES = 40
HOUR = DEVICES * 360  # readings: each device sends every 10 s
PART = HOUR // 24
START = time.time() // 60 * 60 - 3 * 86_400  # far from live: every alert follows from the readings


def saying_when(at: float, number: int) -> object:
    """A timestamp as one or another producer writes it, or none."""
    moment = datetime.fromtimestamp(round(at, 3), UTC)
    forms = [
        None,
        moment.isoformat(),
        moment.replace(tzinfo=None).isoformat(),  # naive
        round(at, 3),  # seconds since the epoch
        round(at * 1000),  # milliseconds
    ]
    return forms[number % len(forms)]


def an_hour() -> list[Sent]:
    """Every fourth device has a whole number for an id; timestamps take every form."""
    found = []
    for number, (device_id, fields, at) in enumerate(wandering(9, HOUR, START, devices=DEVICES)):
        device = int(device_id.removeprefix("house-"))
        extra = {"device_id": device} if device % 4 == 0 else {}
        if (said := saying_when(at, device + number // 1_000)) is not None:
            extra |= {"timestamp": said}
        name = str(device) if device % 4 == 0 else device_id
        found.append(Sent(name, {**fields, **extra}, at))
    return found


async def spread(bootstrap: str, prefix: str, hour: list[Sent]) -> None:
    """The hour as a backlog; a worker has made the topics before, and was stopped."""
    await publish_by_all(bootstrap, prefix + "readings", hour, seed=4)
    await assert_spread(bootstrap, prefix)


async def assert_spread(bootstrap: str, prefix: str) -> None:
    partitions: Counter[bytes] = Counter()
    places = {
        (record.value.partition(b",")[0], record.partition)
        for record in await read_topic(bootstrap, prefix + "readings")
    }
    for device, _ in places:
        partitions[device] += 1
    assert min(partitions.values()) > 1, "the producers didn't disagree about any partition"


def without_offsets(found: Outcome) -> Outcome:
    """A keyed reading has another offset than one that is spread; all else must be equal."""
    states = {device: {**state, "applied": None} for device, state in found.states.items()}
    return found._replace(states=states)


async def test_an_hour_of_backlog_by_all_producers_is_judged_as_if_it_were_keyed_through_kill_9s(
    kafka, prefix, tmp_path
):
    hour = an_hour()
    clean = await undisturbed(kafka.bootstrap, prefix + "keyed-", tmp_path, hour)
    assert {event["rule"] for event in clean.events.values()} >= {"temperature-high", "offline"}
    with Worker(kafka.bootstrap, prefix, tmp_path, **QUICK) as worker:
        await worker.ready()
        assert worker.stop() == 0
    await spread(kafka.bootstrap, prefix, hour)
    for step in ("rows:1", "store:2", "announce:2", "acknowledge:1"):
        stopping = {"module": "tests.proof.stopping_worker", "STOP_AT": step}
        with Worker(kafka.bootstrap, prefix, tmp_path, **stopping, **QUICK) as worker:
            await worker.ended(within=60)
    with Worker(kafka.bootstrap, prefix, tmp_path, **QUICK) as worker:
        await worker.ready()
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0, worker.tail()
    assert_same(without_offsets(await outcome(kafka.bootstrap, prefix)), without_offsets(clean))


async def test_every_reading_meets_one_state_once_though_forwarders_are_killed(
    kafka, prefix, tmp_path
):
    """Two workers, each with half of the partitions, have most readings to forward. They come
    little by little, once both are ready: one that was alone could take up a whole backlog."""
    hour = an_hour()
    names = ("one", "two")
    workers = [Worker(kafka.bootstrap, prefix, tmp_path, name=name, **QUICK) for name in names]
    with workers[0] as first, workers[1] as second:
        await first.ready()
        await second.ready()
        assert first.stop() == second.stop() == 0
    parts = iter([hour[start : start + PART] for start in range(0, HOUR, PART)])
    topic = prefix + "readings"
    for number, stop_at in enumerate(("sent:2", "half:3", "send:3", "half:2", "sent:1")):
        killed = Worker(
            kafka.bootstrap,
            prefix,
            tmp_path,
            name=names[number % 2],
            module="tests.proof.stopping_worker",
            STOP_AT=stop_at,
            **QUICK,
        )
        other = workers[(number + 1) % 2]
        with killed, other:
            while killed.code() is None and not await are_ready(killed, other):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            while killed.code() is None and (part := next(parts, None)):
                await publish_by_all(kafka.bootstrap, topic, part, seed=4)
                await asyncio.sleep(0.5)
            await killed.ended(within=60)
            other.kill()
    for part in parts:
        await publish_by_all(kafka.bootstrap, topic, part, seed=4)
    await assert_spread(kafka.bootstrap, prefix)
    with workers[0] as first, workers[1] as second:
        await first.ready()
        await second.ready()
        await quiet(kafka.bootstrap, prefix)
        assert first.stop() == second.stop() == 0, first.tail() + second.tail()
    sent = Counter(reading.device_id for reading in hour)
    assert await seen(kafka.bootstrap, prefix) == sent
    assert await read_topic(kafka.bootstrap, prefix + "readings-rejected") == []
    forwarded = await read_topic(kafka.bootstrap, prefix + "smart-iot-forwarded")
    assert len(forwarded) > HOUR / 10, "the workers had hardly anything to forward"


async def are_ready(*workers: Worker) -> bool:
    return all([await worker.is_ready() for worker in workers])


async def seen(bootstrap: str, prefix: str) -> dict[str, int]:
    """Device to how many readings its state has counted."""
    found = await states(bootstrap, prefix)
    return {device: state["device"][4] for device, state in found.items()}

"""A recorded day of three real devices gives the alerts of that day, and no other."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.proof.kafka import quiet
from tests.proof.outcome import outcome
from tests.proof.worker import Worker

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "telemetry-24h.jsonl.gz"

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded data isn't beside the checkout")
async def test_the_recorded_day_gives_its_33_episodes_and_nothing_else(kafka, prefix, tmp_path):
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        publishing = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("smart-iot")), "publish"),
            *("--file", str(RECORDED), "--preserve-time"),
            env=worker.environment,
        )
        assert await publishing.wait() == 0
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0
    found = await outcome(kafka.bootstrap, prefix)
    kinds = Counter((event["rule"], event["event"]) for event in found.events.values())
    assert kinds == {
        ("temperature-low", "fired"): 24,
        ("temperature-low", "resolved"): 24,
        ("humidity-low", "fired"): 9,
        ("humidity-low", "resolved"): 9,
    }
    fired = Counter(
        (event["rule"], event["device_id"])
        for event in found.events.values()
        if event["event"] == "fired"
    )
    assert fired == {
        ("temperature-low", "iot-device-01"): 21,
        ("temperature-low", "iot-device-02"): 3,
        ("humidity-low", "iot-device-02"): 9,
    }
    assert found.open == {}

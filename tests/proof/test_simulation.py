"""A simulated day through a real worker: the alerts on the topic are its truth, and no others."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from pipeline.simulator import KINDS
from tests.proof.kafka import quiet
from tests.proof.outcome import outcome
from tests.proof.truth import assert_told
from tests.proof.worker import Worker

README = (Path(__file__).parents[2] / "README.md").read_text()

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


async def test_the_readmes_simulated_day_gives_the_alerts_that_its_truth_file_says(
    kafka, prefix, tmp_path
):
    (line,) = re.findall(r"^\$ (smart-iot simulate --since .*--truth truth.jsonl)$", README, re.M)
    command, *arguments = shlex.split(line)
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        simulating = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name(command)),
            *arguments,
            env=worker.environment,
            cwd=tmp_path,
        )
        assert await simulating.wait() == 0
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert {trouble["kind"] for trouble in truth} == set(KINDS)
    found = await outcome(kafka.bootstrap, prefix)
    assert_told(truth, found.events.values())
    assert found.open == {}
    assert found.published >= 2 * sum(1 for trouble in truth if trouble["rule"])

"""Options in, a made-up fleet's records on a real broker out: `smart-iot simulate`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.kafka.broker import RunningKafka
from pipeline.records import parse_time
from tests.pipeline.cli.test_publish import Done, Readings, readings

__all__ = ["readings"]

HISTORY = ("--since", "2025-01-01T06:00:00Z", "--interval", "60", "--duration", "14400")


async def simulated(readings: Readings, *arguments: str) -> Done:
    process = await readings.start(*arguments, command="simulate")
    out, err = await process.communicate()
    return Done(process.returncode, out.decode(), err.decode())


async def some(readings: Readings, number: int) -> None:
    async with asyncio.timeout(60):
        while len(await readings.records()) < number:
            pass


async def test_a_fleet_of_now_is_sent_until_ctrl_c(readings: Readings) -> None:
    process = await readings.start("--devices", "40", command="simulate")
    try:
        await some(readings, 80)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    records = await readings.records()
    assert (process.returncode, err) == (0, b"")
    assert out.decode().startswith(f"{len(records)} readings sent, ")
    assert out.decode().endswith(f"; topic {readings.topic}\n")
    assert len({record.key for record in records}) == 40
    for record in records:
        fields = json.loads(record.value)
        assert fields["device_id"].encode() == record.key
        assert fields.keys() == {"device_id", "temperature", "humidity", "battery", "timestamp"}
    honest = sum(
        abs(parse_time(json.loads(record.value)["timestamp"]) - record.timestamp / 1000) < 60
        for record in records
    )
    assert honest > len(records) / 2


async def test_it_ends_by_itself_after_its_duration(readings: Readings) -> None:
    done = await simulated(readings, "--duration", "4", "--devices", "3", "--interval", "2")
    assert done == (
        0,
        f"6 readings sent, 0 episodes of trouble begun; topic {readings.topic}\n",
        "",
    )


async def test_history_has_its_own_times_and_the_same_bytes_every_time(
    readings: Readings, kafka: RunningKafka, prefix: str, tmp_path: Path
) -> None:
    others = Readings(kafka.bootstrap, f"{prefix}again-")
    await others.create()
    truths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for where, truth in zip((readings, others), truths, strict=True):
        done = await simulated(where, *HISTORY, "--truth", str(truth))
        assert done.code == 0
    sent, again = [
        [(one.key, one.timestamp, one.value) for one in await where.records()]
        for where in (readings, others)
    ]
    assert sorted(sent) == sorted(again)
    started = parse_time("2025-01-01T06:00:00Z") * 1000
    assert all(started <= time < started + 14_400_000 for _, time, _ in sent)
    assert truths[0].read_bytes() == truths[1].read_bytes()
    troubles = [json.loads(line) for line in truths[0].read_text().splitlines()]
    assert f", {len(troubles)} episodes of trouble begun; " in done.out
    assert len(troubles) > 50
    assert troubles[0].keys() == {"device_id", "kind", "started_at", "ended_at", "rule"}


async def test_history_can_be_sent_as_slowly_as_it_happened(readings: Readings) -> None:
    process = await readings.start(*HISTORY, "--speed", "60", command="simulate")
    await some(readings, 10)
    process.send_signal(signal.SIGTERM)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert int(out.split()[0]) < 25 * 240  # far from all of its four hours


async def test_on_a_terminal_it_shows_how_far_it_is(readings: Readings) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = await readings.start(*HISTORY, command="simulate", stderr=theirs)
        os.close(theirs)
        await process.communicate()
        shown = screen.read(1 << 16).decode()
    assert "2025-01-01T" in shown
    assert "readings sent" in shown


async def test_a_topic_that_does_not_exist_is_said_in_one_line(
    kafka: RunningKafka, prefix: str
) -> None:
    done = await simulated(Readings(kafka.bootstrap, prefix))
    assert (done.code, done.out) == (2, "")
    assert f"topic {prefix}readings does not exist" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--speed", "2"], "--speed is for history, --since: what is sent now happens now"),
        (["--since", "yesterday"], "--since: 'yesterday' is not ISO 8601"),
        (["--since", "2999-01-01"], "--since 2999-01-01: history is over before now"),
        (
            ["--since", "2025-01-01", "--duration", "1e10"],
            "--since 2025-01-01: history is over before now",
        ),
        (["--kinds", "heat,snow"], "Invalid value for '--kinds': 'snow' is not one of heat, frost"),
        (["--kinds", "heat=many"], "'many' is not a share, such as 3 or 0.5"),
        (["--kinds", "heat=nan"], "'nan' is not a share"),
        (["--kinds", "heat=0"], "none of these kinds has a share; without trouble: --trouble 0"),
        (["--interval", "1"], "Invalid value for '--interval': 1.0 is not in the range"),
        (["--devices", "0"], "Invalid value for '--devices': 0 is not in the range"),
        (["--trouble", "2"], "Invalid value for '--trouble': 2.0 is not in the range"),
        (["--truth", "/nowhere/truth"], "/nowhere/truth can't be written: No such file"),
        (["--bootstrap", "127.0.0.1:1"], "Kafka can't be reached at 127.0.0.1:1"),
    ],
)
def test_what_it_can_not_do_is_refused_in_one_line(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["simulate", *arguments])
    assert done.exit_code == 2
    assert done.output.startswith("smart-iot: ")
    assert said in done.output
    assert done.output.count("\n") == 1

"""Recorded readings in; events, summary and complaints of `smart-iot backtest` out."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.records import iso
from pipeline.rules import Device, Engine, Reading
from pipeline.words import event_json

START = 1_795_341_600.0  # 2026-11-22T10:00:00Z
COMMAND = [sys.executable, "-c", "from pipeline.cli import main; main()", "backtest"]
RECORDED = Path(__file__).parents[4] / "shared" / "data" / "telemetry-24h.jsonl.gz"
HEAT = """
[rules.heat]
metric = "temperature"
levels = [{{ severity = "danger", above = {above}, clear = {clear} }}]
"""


def backtest(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["backtest", *map(str, arguments)], input=stdin)


def line(at: float, temperature: object, device: str = "oven", **more: Any) -> dict[str, Any]:
    fields = {"device_id": device, "temperature": temperature, "timestamp": iso(START + at)}
    return {**fields, **more}


def written(path: Path, lines: Iterable[object]) -> Path:
    """JSON of each; text as it is."""
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    path.write_text("".join(text + "\n" for text in texts))
    return path


def told(result: Result) -> list[tuple[str, str, str]]:
    """Device, rule and kind of each event."""
    assert result.exit_code == 0, result.output
    events = [json.loads(text) for text in result.stdout.splitlines()]
    return [(event["device_id"], event["rule"], event["event"]) for event in events]


HOT = ("oven", "temperature-high", "fired")
COLD = ("oven", "temperature-high", "resolved")
SILENT = ("oven", "offline", "fired")
BACK = ("oven", "offline", "resolved")
HISTORY = [line(0, 20), line(10, 36.5), line(20, 37), line(30, 32)]


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    return written(tmp_path / "readings.jsonl", HISTORY)


# -- events


def test_each_event_is_a_line_of_the_very_bytes_that_a_worker_sends(readings: Path) -> None:
    engine, device, expected = Engine(), Device("oven"), b""
    for at, temperature in ((0, 20.0), (10, 36.5), (20, 37.0), (30, 32.0)):
        now = START + at
        reading = Reading("oven", now, now, {"temperature": temperature})
        _, events = engine.reading(device, reading, now, float("-inf"))
        expected += b"".join(event_json(event) + b"\n" for event in events)
    assert expected
    assert backtest(readings).stdout_bytes == expected


def test_every_format_gives_the_same_events(readings: Path, tmp_path: Path) -> None:
    expected = backtest(readings)
    assert told(expected) == [HOT, COLD]
    raw = readings.read_bytes()
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "crlf.jsonl").write_bytes(raw.replace(b"\n", b"\r\n"))
    (tmp_path / "gaps.jsonl").write_bytes(b"\n" + raw.replace(b"\n", b"\n \n\r\n").rstrip())
    for number, delimiter in enumerate(",;\t"):
        rows = [["device_id", "temperature", "timestamp", "site"]]
        names = ("device_id", "temperature", "timestamp")
        rows += [[*(str(one[name]) for name in names), ""] for one in HISTORY]
        table = "\ufeff" + "\r\n".join(delimiter.join(row) for row in rows)
        (tmp_path / f"{number}.csv").write_text(table, encoding="utf-8")
        (tmp_path / f"{number}.csv.gz").write_bytes(gzip.compress(table.encode()))
    others = [path for path in tmp_path.iterdir() if path != readings]
    assert len(others) == 9
    for path in others:
        assert backtest(path).stdout == expected.stdout, path
    assert backtest("-", stdin=raw).stdout == expected.stdout


@pytest.mark.parametrize("lines", [1, 5_000])
def test_where_a_chunk_of_the_file_ends_changes_nothing(tmp_path: Path, lines: int) -> None:
    history = [line(n, 36 if n % 7 else 20, site="x" * (n % 90)) for n in range(lines)]
    path = written(tmp_path / "many.jsonl", history)
    found = told(backtest(path))
    crossed = [lines > 1 and (n % 7 == 1 or n % 7 == 0) and n > 0 for n in range(lines)]
    assert len(found) == sum(crossed)


def test_a_device_is_offline_from_when_its_next_reading_was_due_by_the_recorded_time(
    tmp_path: Path,
) -> None:
    times = [0, 10, 20, 30, 500, 510]
    path = written(tmp_path / "silent.jsonl", [line(at, 20) for at in times])
    result = backtest(path)
    assert told(result) == [SILENT, BACK]
    fired, resolved = map(json.loads, result.stdout.splitlines())
    assert (fired["started_at"], fired["detected_at"]) == (iso(START + 90), iso(START + 90))
    assert resolved["resolved_at"] == iso(START + 500)


@pytest.mark.parametrize(
    ("others_until", "partitions", "expected"),
    [
        (60, 1, []),  # nobody has heard of a time beyond its limit
        (95, 1, [SILENT]),
        (95, 8, []),  # in another partition: its own clock stands still
    ],
)
def test_the_end_is_an_outage_only_as_far_as_the_devices_partition_went_on(
    tmp_path: Path, others_until: int, partitions: int, expected: list[object]
) -> None:
    lines = [line(at, 20) for at in (0, 10, 20, 30)]
    lines += [line(at, 20, "attic") for at in range(35, others_until + 1, 5)]
    path = written(tmp_path / "ends.jsonl", lines)
    assert told(backtest("--partitions", partitions, path)) == expected


# -- when a line arrived


@pytest.mark.parametrize(
    "arrived", [iso, lambda at: at, lambda at: at * 1000, lambda at: iso(at).replace("Z", "")]
)
def test_arrived_at_is_the_time_of_the_record(tmp_path: Path, arrived: Any) -> None:
    """The device's clock is six hours behind, as the arrival of its readings shows."""
    lines = [line(at - 21_600, 36.5, arrived_at=arrived(START + at)) for at in (0, 10, 20, 30)]
    result = backtest(written(tmp_path / "behind.jsonl", lines))
    assert told(result) == [HOT]
    assert json.loads(result.stdout)["detected_at"] == iso(START)
    assert "judged 4," in result.stderr


def test_a_reading_without_a_time_of_its_own_counts_from_its_arrival(tmp_path: Path) -> None:
    lines = [{"device_id": "oven", "temperature": 40, "arrived_at": START}]
    result = backtest(written(tmp_path / "timeless.jsonl", lines))
    assert json.loads(result.stdout)["timestamp"] == iso(START)


def test_arrived_at_is_no_metric(tmp_path: Path) -> None:
    lines = [{"device_id": "oven", "timestamp": iso(START), "arrived_at": START}]
    result = backtest(written(tmp_path / "bare.jsonl", lines))
    assert "no_metric" in result.stderr


# -- what can't be used


def test_what_was_rejected_is_counted_by_reason_and_names_its_first_line(tmp_path: Path) -> None:
    lines = [
        line(0, 20),
        "{",
        line(10, 20, "no such id"),
        "",
        "{",
        {"device_id": "oven", "temperature": 20},
        line(20, 20, arrived_at="soon"),
        line(30, None),
        '{"device_id": "oven", "temperature": 1, "temperature": 2, "timestamp": 0}',
        line(40, 36),
    ]
    result = backtest(written(tmp_path / "mixed.jsonl", lines))
    assert told(result) == [HOT]
    said = result.stderr.splitlines()
    assert "2 readings of 1 device until" in said[0]
    assert said[2].split() == ["7", "rejected"]
    found = {tuple(text.split(None, 2)) for text in said[3:9]}
    assert found == {
        ("not_json", "2", "first: line 2"),
        ("bad_device_id", "1", "first: line 3"),
        ("no_time", "1", "first: line 6"),
        ("bad_arrived_at", "1", "first: line 7"),
        ("no_metric", "1", "first: line 8"),
        ("duplicate_key", "1", "first: line 9"),
    }
    assert "1 value left out: null 1" in said


def test_a_device_with_too_many_metrics_is_rejected_as_a_worker_does(tmp_path: Path) -> None:
    many = {f"metric_{n}": n for n in range(31)}
    lines = [line(0, 20, **many), line(10, 20, another=1), line(20, 36)]
    result = backtest(written(tmp_path / "wide.jsonl", lines))
    assert told(result) == [HOT]
    assert "too_many_metrics  1  first: line 2" in result.stderr


def test_cells_that_are_no_numbers_are_told_as_in_json(tmp_path: Path) -> None:
    path = written(
        tmp_path / "cells.csv",
        [
            "device_id,temperature,humidity,timestamp,sequence",
            f"5,36.5,nan,{START},1",
            f"5,36.5,nan,{START},1",
            f'5,"36,5",1_0,{START + 10},2',
            f"5,,50,{START + 20},3,",
            f'5,x"y,50,{START + 30},4',
        ],
    )
    path.write_bytes(path.read_bytes() + b"5,\xff,50,0,5\n")
    result = backtest(path)
    assert told(result) == [("5", "temperature-high", "fired")]
    assert "judged 2, late 0, backfill 0, repeat 1" in result.stderr
    assert "not_csv    1  first: line 5" in result.stderr
    assert "5 values left out: string 3, nan 2" in result.stderr
    assert "not_utf8   1  first: line 7" in result.stderr
    assert "no_metric  1  first: line 4" in result.stderr


def test_a_recording_that_is_sorted_by_device_is_noticed(tmp_path: Path) -> None:
    lines = [line(at, 20, device) for device in ("a", "b") for at in range(0, 9_001, 60)]
    result = backtest("--partitions", 1, written(tmp_path / "sorted.jsonl", lines))
    assert "145 arrived more than 5 min before what stands above them" in result.stderr
    in_order = written(tmp_path / "ordered.jsonl", sorted(lines, key=lambda one: one["timestamp"]))
    assert "stands above them" not in backtest("--partitions", 1, in_order).stderr


# -- the summary


def test_the_summary_tells_alerts_by_rule_and_device_and_how_long_they_lasted(
    tmp_path: Path,
) -> None:
    lines = [line(0, 36), line(10, 20), line(20, 36), line(50, 20), line(60, 36)]
    lines += [line(70, 36, "kiln", humidity=90), line(80, 36, "kiln", humidity=60)]
    result = backtest(written(tmp_path / "two.jsonl", lines))
    said = result.stderr.splitlines()
    assert said == [
        "7 readings of 2 devices until 2026-11-22T10:01:20.000Z",
        "  judged 7, late 0, backfill 0, repeat 0",
        "5 alerts of 2 devices, 2 still open",
        "",
        "rule              alerts  devices  open  median  longest",
        "temperature-high       4        2     2  20 s    30 s",
        "humidity-high          1        1     0  10 s    10 s",
        "",
        "noisiest device  alerts",
        "oven                  3  temperature-high 3",
        "kiln                  2  temperature-high 1, humidity-high 1",
    ]


def test_a_recording_of_nothing_is_told_as_that(tmp_path: Path) -> None:
    result = backtest(written(tmp_path / "empty.jsonl", []))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "0 readings of 0 devices\n" in result.stderr
    assert "0 alerts" in result.stderr


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded data isn't beside the checkout")
def test_the_recorded_day_gives_its_33_episodes_and_nothing_else() -> None:
    result = backtest(RECORDED)
    fired = [(device, rule) for device, rule, kind in told(result) if kind == "fired"]
    assert {one: fired.count(one) for one in fired} == {
        ("iot-device-01", "temperature-low"): 21,
        ("iot-device-02", "temperature-low"): 3,
        ("iot-device-02", "humidity-low"): 9,
    }
    assert len(told(result)) == 66
    assert "33 alerts of 2 devices, 0 still open" in result.stderr


# -- rules


def test_without_rules_the_settings_or_else_the_built_in_ones_judge(
    readings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mild = written(tmp_path / "mild.toml", [HEAT.format(above=15, clear=14)])
    assert told(backtest(readings)) == [HOT, COLD]
    assert told(backtest("--rules", mild, readings)) == [("oven", "heat", "fired")]
    monkeypatch.setenv("SMART_IOT_RULES", str(mild))
    assert told(backtest(readings)) == [("oven", "heat", "fired")]


def test_a_comparison_tells_what_a_change_adds_and_removes(tmp_path: Path) -> None:
    now = written(tmp_path / "now.toml", [HEAT.format(above=35, clear=33)])
    then = written(
        tmp_path / "then.toml",
        [HEAT.format(above=30, clear=29)],
    )
    values = [20, 31, 20, 36, 20, 31, 36, 34, 20, 20]
    lines = [line(10 * n, value) for n, value in enumerate(values)]
    lines += [line(500, 20), line(510, 31)]
    path = written(tmp_path / "compared.jsonl", lines)
    result = backtest("--rules", now, "--compare", then, path)
    assert result.stdout == backtest("--rules", now, path).stdout
    said = result.stderr.split("\n\n")[-1].splitlines()
    assert [text.split() for text in said[:2]] == [
        ["rule", "now", "then", "removed", "added"],
        ["heat", "2", "4", "0", "2"],
    ]
    assert said[2:] == [
        "+ heat of oven at 2026-11-22T10:00:10.000Z, 10 s",
        "+ heat of oven at 2026-11-22T10:08:30.000Z",
    ]


def test_a_rule_that_is_gone_removes_its_alerts_and_offline_is_compared_too(tmp_path: Path) -> None:
    then = written(
        tmp_path / "then.toml",
        [HEAT.format(above=35, clear=33), '[rules.silence]\nkind = "offline"\nafter = "10m"'],
    )
    lines = [line(at, 36 if at == 20 else 20) for at in (0, 10, 20, 30, 40, 500, 2_000)]
    result = backtest("--compare", then, written(tmp_path / "gone.jsonl", lines))
    rows = {text.split()[0]: text.split()[1:] for text in result.stderr.splitlines()[-9:] if text}
    assert rows["offline"] == ["2", "0", "2", "0"]
    assert rows["silence"] == ["0", "1", "0", "1"]
    assert rows["temperature-high"] == ["1", "0", "1", "0"]
    assert rows["heat"] == ["0", "1", "0", "1"]


def test_the_same_rules_add_and_remove_nothing(readings: Path) -> None:
    deployed = Path(__file__).parents[3] / "deploy" / "rules.toml"
    said = backtest("--compare", deployed, readings).stderr.splitlines()
    assert said[-1].split() == ["temperature-high", "1", "1", "0", "0"]


# -- refusals


def refused(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith("smart-iot: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_what_is_no_recording_is_refused_in_a_line(tmp_path: Path) -> None:
    assert "can't be read" in refused(backtest(tmp_path / "missing.jsonl"))
    assert "can't be read" in refused(backtest(tmp_path))
    packed = gzip.compress(os.urandom(100_000).hex().encode())
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(packed[: len(packed) // 2])
    assert "ended before the end-of-stream marker" in refused(backtest(cut))
    cut.write_bytes(b"no gzip at all")
    assert "Not a gzipped file" in refused(backtest(cut))


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("device,temperature,timestamp", "no column is named device_id: its columns are device, "),
        ("device_id,temperature", "no column is named timestamp or arrived_at"),
        ("device_id,timestamp,x,x", "two columns are named x"),
        ("", "no column is named device_id: its columns are none"),
    ],
)
def test_a_table_whose_columns_say_nothing_is_refused(tmp_path: Path, head: str, why: str) -> None:
    assert why in refused(backtest(written(tmp_path / "table.csv", [head, "1,2,3,4"])))


def test_wrong_rules_are_refused_with_every_mistake(readings: Path, tmp_path: Path) -> None:
    wrong = written(tmp_path / "wrong.toml", [HEAT.format(above='"hot"', clear=33)])
    for option in ("--rules", "--compare"):
        assert "wrong.toml" in refused(backtest(option, wrong, readings))


def test_options_that_contradict_each_other_are_refused(readings: Path) -> None:
    assert "either" in refused(backtest())
    assert "either" in refused(backtest("--topic", "readings", readings))
    assert "belong to --topic" in refused(backtest("--from", "2026-01-01", readings))
    assert "belongs to a file" in refused(backtest("--topic", "readings", "--partitions", 3))
    assert "ISO 8601" in refused(backtest("--topic", "readings", "--from", "yesterday"))


def test_a_broker_that_isnt_there_is_a_line(readings: Path) -> None:
    said = refused(backtest("--topic", "readings", "--bootstrap", "127.0.0.1:1"))
    assert "readings at 127.0.0.1:1 can't be read" in said


# -- as a program


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    lines = [line(n, 36 if n % 2 else 20) for n in range(20_000)]
    path = written(tmp_path / "long.jsonl", lines)
    with subprocess.Popen([*COMMAND, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert b'"fired"' in run.stdout.readline()
        run.stdout.close()
        assert run.stderr is not None
        assert run.stderr.read() == b""
        assert run.wait(30) == 1


def test_ctrl_c_ends_it_with_a_summary_of_what_came_before(readings: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(readings.read_bytes())
        run.stdin.flush()
        assert b'"fired"' in run.stdout.readline()  # as it comes: the pipe stays open
        assert b'"resolved"' in run.stdout.readline()
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
        assert run.returncode == 130
        assert said.startswith(b"stopped by Ctrl-C")
        assert b"1 alert of 1 device," in said
        assert b"Traceback" not in said


def test_a_terminal_sees_how_far_it_is(readings: Path) -> None:
    terminal, ours = pty.openpty()
    done = subprocess.run(
        [*COMMAND, readings], stdout=subprocess.PIPE, stderr=ours, check=True, timeout=60
    )
    os.close(ours)
    said = os.read(terminal, 10_000)
    os.close(terminal)
    assert b"readings" in said
    assert b"100%" in said
    assert done.stdout == backtest(readings).stdout_bytes
    assert "100%" not in backtest(readings).stderr

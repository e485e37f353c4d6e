from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pipeline.kafka import locked
from pipeline.kafka.broker import HOST, RunningKafka, free_port
from tests.lab import Program, children, runs, started, until

CLI = (sys.executable, "-c", "from pipeline.cli import main; main(prog_name='smart-iot')")

pytestmark = pytest.mark.timeout(300)


def up(folder: Path, port: int, *more: str, **environment: str) -> AbstractContextManager[Program]:
    return started(*CLI, "up", "--port", str(port), "--data-dir", str(folder), *more, **environment)


def refused(*arguments: str, **environment: str) -> list[str]:
    """What is said where nothing is started."""
    with started(*CLI, *arguments, **environment) as program:
        said = program.lines.rest()
        assert program.code() == 2
    return said


def kafka_of(program: Program) -> str:
    program.lines.until("smart-iot runs")
    return program.lines.until("  Kafka").split()[-1]


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def open_of(device: str, port: int) -> list[Any]:
    alerts = get(port, "/api/alerts/active/")
    return [alert for alert in alerts if alert["device_id"] == device]


@pytest.mark.kafka
@pytest.mark.slow
def test_one_command_makes_an_alert_of_a_reading_and_ctrl_c_ends_it_all(tmp_path: Path) -> None:
    port = free_port()
    with up(tmp_path / "data", port) as program:
        assert kafka_of(program)
        assert get(port, "/-/ready") == {"ready": True}
        tried = program.lines.until("  try").split()[1:]
        assert tried[:2] == ["smart-iot", "publish"]
        subprocess.run([*CLI, *tried[1:]], check=True, timeout=60)
        until(lambda: open_of("greenhouse-7", port), "an alert is open")
        (alert,) = open_of("greenhouse-7", port)
        assert alert["rule"] == "temperature-high"
        ours = children(program.pid)
        program.signal(signal.SIGINT)
        program.lines.rest()
        assert program.code() == 0
        assert len(ours) == 3
        assert not any(runs(pid) for pid in ours)
    with up(tmp_path / "data", port, "--no-simulator") as again:
        assert kafka_of(again)  # the same log, at another port if another test has taken this one
        until(lambda: open_of("greenhouse-7", port), "the alert is still open")
        assert open_of("greenhouse-7", port) == [alert]
        assert len(children(again.pid)) == 2


@pytest.mark.kafka
@pytest.mark.slow
def test_without_doing_anything_a_newcomer_sees_alerts_come_and_go(tmp_path: Path) -> None:
    port = free_port()
    with up(tmp_path, port) as program:
        kafka_of(program)
        until(lambda: get(port, "/api/alerts/active/"), "a simulated device is in trouble")
        first = get(port, "/api/alerts/active/")[0]
        assert first["device_id"].startswith("sim-")
        until(lambda: first not in get(port, "/api/alerts/active/"), "it is well again")


@pytest.mark.kafka
@pytest.mark.slow
def test_after_kill_9_nothing_is_left_and_the_next_one_starts_at_once(tmp_path: Path) -> None:
    port = free_port()
    with up(tmp_path, port) as program:
        assert kafka_of(program)
        ours = children(program.pid)
        program.signal(signal.SIGKILL)
        with up(tmp_path, port) as again:
            assert kafka_of(again)  # at another port, if another test has taken this one
            assert not any(runs(pid) for pid in ours)


@pytest.mark.slow
def test_a_kafka_of_the_users_is_used_instead(
    kafka: RunningKafka, prefix: str, tmp_path: Path
) -> None:
    port = free_port()
    arguments = ("--bootstrap", kafka.bootstrap)
    with up(tmp_path, port, *arguments, SMART_IOT_TOPIC_PREFIX=prefix) as program:
        assert kafka_of(program) == kafka.bootstrap
        assert len(children(program.pid)) == 1  # nobody's own Kafka is filled with made-up devices
        assert not (tmp_path / "kafka").exists()


def test_a_web_port_in_use_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server((HOST, free_port())) as other:
        port = other.getsockname()[1]
        assert refused("up", "--port", str(port), "--data-dir", str(tmp_path / "data")) == [
            f"smart-iot: can't listen on {HOST}:{port} (Address already in use): "
            "choose another with --port"
        ]
    assert not (tmp_path / "data").exists()


def test_a_folder_in_use_by_another_up_is_one_line(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"):
        assert refused("up", "--port", str(free_port()), "--data-dir", str(tmp_path)) == [
            f"smart-iot: {tmp_path} is in use by another process"
        ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--port", "none"], "smart-iot: Invalid value for '--port': 'none' is not a valid"),
        (["up", "--port", "0"], "smart-iot: Invalid value for '--port': 0 is not in the range"),
        (["up", "--color"], "smart-iot: No such option"),
        (["down"], "smart-iot: No such command 'down'."),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(arguments: list[str], said: str) -> None:
    (line,) = refused(*arguments)
    assert line.startswith(said)


def test_wrong_settings_are_named_a_line_each() -> None:
    assert refused("up", SMART_IOT_PARTITIONS="three", SMART_IOT_LOG_LEVEL="LOUD") == [
        "smart-iot: SMART_IOT_PARTITIONS=three is not a whole number of at least 1",
        "SMART_IOT_LOG_LEVEL=LOUD is not one of DEBUG, INFO, WARNING, ERROR",
    ]


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (line,) = refused("up", "--port", str(free_port()), "--data-dir", str(tmp_path / "file/data"))
    assert line == f"smart-iot: [Errno 20] Not a directory: '{tmp_path / 'file/data'}'"


def test_the_commands_are_listed_and_the_version_is_told() -> None:
    for arguments, part in ((("--help",), "  up "), (("--version",), "smart-iot, version ")):
        told = subprocess.run([*CLI, *arguments], capture_output=True, text=True, timeout=60)
        assert told.returncode == 0
        assert part in told.stdout

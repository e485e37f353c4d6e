"""compose.yaml's Kafka and Redis, started as it says, but for addresses and folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.kafka import jars
from pipeline.kafka.broker import HOST, JVM, answers, free_port
from tests.deploy.manifests import DEPLOY, ROOT
from tests.lab import Program, started, until

SERVICES: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
NOT_PROPERTIES = {"CLUSTER_ID", "KAFKA_HEAP_OPTS"}


def properties(folder: Path, ports: dict[str, int]) -> str:
    """As Kafka's image writes them: KAFKA_LOG_DIRS is log.dirs."""
    lines = []
    for name, value in SERVICES["kafka"]["environment"].items():
        if name in NOT_PROPERTIES:
            continue
        text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value)).replace("kafka:", f"{HOST}:")
        for port, free in ports.items():
            text = text.replace(f":{port}", f":{free}").replace(f"//:{free}", f"//{HOST}:{free}")
        if name == "KAFKA_LOG_DIRS":
            text = str(folder / "data")
        lines.append(f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={text}\n")
    return "".join(lines)


@pytest.mark.kafka
def test_kafka_starts_with_these_settings_and_takes_our_topics(tmp_path: Path) -> None:
    ports = {port: free_port() for port in ("29093", "19092", "9092")}
    assert len(set(ports.values())) == 3
    (tmp_path / "server.properties").write_text(properties(tmp_path, ports))
    java = [jars.java(), *JVM, "-cp", f"{jars.fetched(print)}/*"]
    (cluster,) = re.findall(r":-(.*)\}", SERVICES["kafka"]["environment"]["CLUSTER_ID"])
    formatting = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties"]
    subprocess.run([*java, *formatting], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    command = shlex_in(tmp_path, [*java, "kafka.Kafka", "server.properties"])
    with started(*command):
        for outer in ("9092", "19092"):
            until(lambda port=ports[outer]: answers(port), "Kafka answers")
            bootstrap = f"{HOST}:{ports[outer]}"
            done = CliRunner().invoke(main, ["topics"], env={"SMART_IOT_BOOTSTRAP": bootstrap})
            assert done.exit_code == 0, done.output


def shlex_in(folder: Path, command: list[str]) -> list[str]:
    return ["env", "-C", str(folder), *command]


def test_kafka_is_of_the_version_that_all_is_tested_with() -> None:
    (version,) = re.findall(r"<kafka.version>(.*)</", (ROOT / "pipeline/kafka/pom.xml").read_text())
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version}"


@contextmanager
def redis(folder: Path, port: int) -> Iterator[tuple[Program, dict[str, str]]]:
    """The very command, in a container's folders that are elsewhere."""
    (folder / "data").mkdir()
    (folder / "password").write_text("open sesame?")
    text = (DEPLOY / "compose" / "redis.conf").read_text().replace("/data", f"{folder}/data")
    (folder / "etc.conf").write_text(f"{text}port {port}\nbind {HOST}\n")
    moved = {
        "/tmp/redis.conf": f"{folder}/redis.conf",  # noqa: S108
        "/etc/redis/redis.conf": f"{folder}/etc.conf",
        "/run/secrets/redis_password": f"{folder}/password",
        "redis-cli": f"redis-cli -p {port}",
    }
    with started(*[_moved(word, moved) for word in SERVICES["redis"]["command"]]) as program:
        yield program, moved


def _moved(text: str, moved: dict[str, str]) -> str:
    text = text.replace("$$", "$")
    for there, here in moved.items():
        text = text.replace(there, here)
    return text


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server isn't installed")
def test_redis_starts_with_its_password_and_tells_its_health(tmp_path: Path) -> None:
    kind, check = SERVICES["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    with redis(tmp_path, free_port()) as (program, moved):

        def code(command: str) -> int:
            return subprocess.run(["sh", "-c", command], capture_output=True, timeout=60).returncode

        until(lambda: code(_moved(check, moved)) == 0, "Redis is healthy")
        without = _moved(check, moved).replace(f"{tmp_path}/password", os.devnull)
        assert code(without) != 0
        assert "sesame" not in Path(f"/proc/{program.pid}/cmdline").read_text()
        began = time.monotonic()
        program.process.terminate()  # it is the container's first process, and ends when asked
        assert program.code() == 0
        assert time.monotonic() - began < 10
        assert any((tmp_path / "data").iterdir())

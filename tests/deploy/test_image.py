"""The image, built by the very steps of its Dockerfile, and what is run in it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pipeline.kafka.broker import RunningKafka, free_port
from tests.deploy.image import Builder, built
from tests.deploy.manifests import ROOT, pods
from tests.lab import Program, produce, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can build an image here"),
]
USER = 10_001


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    with built(tmp_path_factory.mktemp("image") / "layers") as image:
        yield image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A volume as Docker and Kubernetes make it: whose the image's folder is."""
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, USER, USER)
    return folder


def said(image: Builder, *command: str, code: int = 0, **more: Mapping[str, str]) -> str:
    with image.run(*command, **more) as program:
        lines = "\n".join(program.lines.rest())
        assert program.code() == code, lines
    return lines


def test_the_core_is_compiled_and_the_version_ours(image: Builder) -> None:
    (version,) = re.findall(r"^version = (.*)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert said(image, "smart-iot", "--version") == f"smart-iot, version {version}, compiled core"


def test_it_is_a_user_without_rights_a_home_or_anything_to_write_to(image: Builder) -> None:
    script = """
        id -u; id -g; grep -E '^Cap(Eff|Bnd)|^NoNewPrivs' /proc/self/status | tr -d '\\t'
        for path in / /opt/smart-iot /data ~ /etc /usr/local; do
            touch $path/x 2>/dev/null && echo "writes to $path"
        done
        touch /tmp/x && echo and to /tmp
    """
    assert said(image, "sh", "-c", script).split("\n") == [
        str(USER),
        str(USER),
        "CapEff:0000000000000000",
        "CapBnd:0000000000000000",
        "NoNewPrivs:1",
        "and to /tmp",
    ]


def test_it_brings_what_runs_and_nothing_else(image: Builder) -> None:
    listed = "ls /opt/smart-iot/lib/python3*/site-packages /opt/smart-iot/bin"
    installed = set(said(image, "sh", "-c", listed).split())
    assert {"pipeline", "agents", "tables", "smart-iot", "faust"} < installed
    assert not {"pip", "setuptools", "mypy", "pytest", "tests", "playwright"} & installed
    size = int(said(image, "du", "-sm", "/opt/smart-iot").split()[0])
    assert size < 150  # MB, beside the base


def test_the_page_is_in_it(image: Builder) -> None:
    code = (
        "from importlib.resources import files; web = files('pipeline') / 'web' / 'static';"
        "print(sorted(path.name for path in web.iterdir()))"
    )
    static = (ROOT / "pipeline" / "web" / "static").iterdir()
    assert said(image, "python3", "-c", code) == str(sorted(path.name for path in static))


def of(kafka: RunningKafka, prefix: str, port: int) -> dict[str, str]:
    return {
        "SMART_IOT_BOOTSTRAP": kafka.bootstrap,
        "SMART_IOT_TOPIC_PREFIX": prefix,
        "SMART_IOT_WEB_PORT": str(port),
        "SMART_IOT_PARTITIONS": "2",
    }


def healthy(image: Builder, environment: Mapping[str, str], *more: str) -> bool:
    """By the image's own check."""
    with image.run(*image.check, *more, environment=environment) as program:
        program.lines.rest()
        return program.code() == 0


def ends(program: Program) -> None:
    program.signal(signal.SIGTERM)
    rest = program.lines.rest()
    assert program.code() == 0, "\n".join(rest)


def test_a_worker_and_a_web_view_work_in_it(
    image: Builder, kafka: RunningKafka, prefix: str, data: Path
) -> None:
    worker, view = (of(kafka, prefix, free_port()) for _ in range(2))
    (web,) = [pod.container["args"] for pod in pods() if pod.name == "web"]
    assert not healthy(image, worker)
    with image.run(volumes={"/data": data}, environment=worker) as program:
        program.lines.until("web view")
        until(lambda: healthy(image, worker, "--ready"), "the worker is ready")
        assert healthy(image, worker)
        assert said(image, "smart-iot", "topics", "--look", environment=worker)
        with image.run(*web, environment=view) as viewing:
            viewing.lines.until("web view")
            until(lambda: healthy(image, view, "--ready"), "the view is ready")
            reading = b'{"device_id": "greenhouse-7", "temperature": 36.2}'
            asyncio.run(produce(kafka.bootstrap, f"{prefix}readings", reading))
            url = f"http://127.0.0.1:{view['SMART_IOT_WEB_PORT']}/api/alerts/active/"
            ask = f"import urllib.request; print(urllib.request.urlopen('{url}').read().decode())"
            until(lambda: "temperature-high" in said(image, "python3", "-c", ask), "the alert")
            ends(viewing)
        ends(program)
    assert list(data.glob("*/worker-0/*"))  # its state
    assert {path.stat().st_uid for path in data.rglob("*")} == {USER}


def test_the_archives_start_without_a_folder_of_their_own(image: Builder) -> None:
    for pod in pods():
        if pod.name.startswith("archive-"):
            environment = {"SMART_IOT_BOOTSTRAP": "127.0.0.1:1", "SMART_IOT_ARCHIVE_PORT": "0"}
            told = said(image, *pod.container["args"], code=70, environment=environment)
            assert "is not set" in told  # its URL: it has begun


def test_the_archive_that_compose_runs_fills_a_database(
    image: Builder, kafka: RunningKafka, prefix: str, tmp_path: Path
) -> None:
    from tests.stores import Redis, running

    port = free_port()
    with running(Redis(tmp_path / "redis")) as redis:
        environment = of(kafka, prefix, free_port()) | {
            "SMART_IOT_REDIS_URL": redis.url,
            "SMART_IOT_ARCHIVE_PORT": str(port),
            "SMART_IOT_ARCHIVE_MIGRATE": "YES",
        }
        with image.run("smart-iot", "archive", environment=environment) as program:
            ready = ("--ready", str(port + 2))  # Redis' is the third
            until(lambda: healthy(image, environment, *ready), "the archive is ready")
            ends(program)

"""A real Prometheus with our rules beside a real worker: alerts fire, and are over again.

The rules are those of deploy/prometheus, as they are but for their patience: half a second takes
the place of `for` and of both intervals. What is asked, and over how long, stays.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipeline.kafka.broker import RunningKafka, free_port
from tests.deploy.exposed import ROOT, needs_prometheus
from tests.lab import PATIENCE, produce, started
from tests.proof.kafka import Sent, publish
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, needs_prometheus]

AT_ONCE = "500ms"
RULES = '[rules.hot]\nmetric = "temperature"\nlevels = [{{ severity = "{}", above = 35 }}]\n'


class Prometheus:
    def __init__(self, client: aiohttp.ClientSession, port: int) -> None:
        self._client = client
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    async def firing(self) -> dict[str, str]:
        """Alert to its summary; of those of one name, any."""
        try:
            async with self._client.get(self._url + "alerts") as answer:
                alerts: list[dict[str, Any]] = (await answer.json())["data"]["alerts"]
        except aiohttp.ClientError:
            return {}  # it has just been started
        return {
            alert["labels"]["alertname"]: alert["annotations"]["summary"]
            for alert in alerts
            if alert["state"] == "firing"
        }

    async def fires(self, alert: str) -> str:
        async with asyncio.timeout(PATIENCE):
            while alert not in (firing := await self.firing()):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return firing[alert]

    async def clears(self, alert: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while alert in await self.firing():  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(
    client: aiohttp.ClientSession, folder: Path, *ports: int
) -> AsyncIterator[Any]:
    """Configured as by deploy/prometheus, in a hurry."""
    home, port = folder / "prometheus", free_port()
    shutil.copytree(ROOT / "deploy/prometheus", home)
    for file in (home / "prometheus.yml", *home.glob("rules/*.yml")):
        hurried = re.sub(
            r"(for|\w+_interval): \w+$", rf"\1: {AT_ONCE}", file.read_text(), flags=re.M
        )
        file.write_text(hurried)
    targets = ", ".join(f"127.0.0.1:{port}" for port in ports)
    (home / "targets.yml").write_text(f"- targets: [{targets}]\n")
    command = (
        "prometheus",
        f"--config.file={home}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with started(*command):
        yield Prometheus(client, port)


def now(*temperatures: float) -> list[Sent]:
    return [Sent(f"d{n}", {"temperature": t}, time.time()) for n, t in enumerate(temperatures)]


async def reload(client: aiohttp.ClientSession, worker: Worker) -> int:
    async with client.post(f"http://127.0.0.1:{worker.port}/-/reload") as answer:
        return answer.status


async def test_what_goes_wrong_fires_and_clears_once_it_is_mended(
    kafka: RunningKafka, prefix: str, tmp_path: Path
) -> None:
    rules, readings = tmp_path / "rules.toml", prefix + "readings"
    rules.write_text(RULES.format("danger"))
    settings = {"SMART_IOT_RULES": str(rules), "SMART_IOT_VIEWERS": "1"}
    worker = Worker(kafka.bootstrap, prefix, tmp_path, **settings)
    async with (
        aiohttp.ClientSession() as client,
        prometheus(client, tmp_path, worker.port) as watching,
    ):
        assert "can't be scraped" in await watching.fires("SmartIotDown")
        await watching.fires("SmartIotNobodyJudges")
        with worker:
            await worker.ready()
            await watching.clears("SmartIotDown")
            await watching.clears("SmartIotNobodyJudges")

            await watching.fires("SmartIotNoReadings")
            await produce(kafka.bootstrap, readings, b"junk", b"more junk")
            await watching.clears("SmartIotNoReadings")
            assert "% of the readings" in await watching.fires("SmartIotReadingsRejected")
            await publish(kafka.bootstrap, readings, now(*[20.0] * 500))
            await watching.clears("SmartIotReadingsRejected")

            rules.write_text(RULES.format("dangerous"))
            assert await reload(client, worker) == 422
            assert "goes on by old rules" in await watching.fires("SmartIotRulesReloadFailed")
            rules.write_text(RULES.format("warning"))
            assert await reload(client, worker) == 200
            await watching.clears("SmartIotRulesReloadFailed")
            assert await watching.firing() == {}

            await refused(client, f"http://127.0.0.1:{worker.port}/ws/alerts/")
            assert "turns viewers away: full" in await watching.fires("SmartIotViewersRefused")


async def refused(client: aiohttp.ClientSession, url: str) -> None:
    """The second of two viewers, where one may be."""
    async with client.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await client.ws_connect(url)
        assert refusal.value.status == 503

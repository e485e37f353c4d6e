"""A worker and a web view with secrets of all kinds in; logs that hold none of them out.

Kafka asks for a password here, the views for tokens, and every way to fail with them is gone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from pipeline.kafka import broker
from pipeline.kafka.broker import RunningKafka
from pipeline.kafka.lock import locked
from tests.lab import python, started
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PASSWORD, WRONG = "sasl-Pass/word%41", "another-password"
TOKEN, NOBODYS = "token-of-ada-0815", "token-of-nobody-4711"
SECRETS = (PASSWORD, WRONG, TOKEN, NOBODYS)
TOKENS = json.dumps([{"token": TOKEN, "name": "ada", "can": ["read", "acknowledge"]}])
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
ASKING = f"""
listeners=SASL://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=SASL://127.0.0.1:{{port}}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
inter.broker.listener.name=SASL
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl.plain.sasl.jaas.config={LOGIN} required username="iot" \
password="{PASSWORD}" user_iot="{PASSWORD}";
"""


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningKafka]:
    """A Kafka that lets nobody in without a password."""
    monkeypatch.setattr(broker, "PROPERTIES", broker.PROPERTIES + ASKING)
    kafka = RunningKafka(tmp_path / "kafka")
    with locked(kafka.data_dir / "lock"):
        kafka.prepare(print)
        kafka.start()
        try:
            yield kafka
        finally:
            kafka.stop()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "smart-iot.toml").write_text('sasl_password_file = "password"\n')
    return {
        "SMART_IOT_SETTINGS": str(tmp_path / "smart-iot.toml"),
        "SMART_IOT_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SMART_IOT_SASL_USERNAME": "iot",
        "SMART_IOT_TOKENS": TOKENS,
        "SMART_IOT_LOG_LEVEL": "DEBUG",
    }


@pytest.fixture
async def worker(
    asking: RunningKafka, settings: dict[str, str], prefix: str, tmp_path: Path
) -> AsyncIterator[Worker]:
    with Worker(asking.bootstrap, prefix, tmp_path, **settings) as worker:
        yield await worker.ready()


async def tried(url: str) -> None:
    """With the right token, a wrong one, and both where none belongs."""
    async with aiohttp.ClientSession() as client:
        for token in (TOKEN, NOBODYS):
            headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "asked-by-us"}
            for method, path in (
                ("GET", f"/api/alerts/active/?token={token}"),
                ("POST", "/-/reload"),
                ("POST", "/api/silences/"),
            ):
                async with client.request(method, url + path, headers=headers) as answer:
                    assert answer.headers["X-Request-ID"] == "asked-by-us"
            async with client.ws_connect(f"{url}/ws/alerts/?token={token}") as ws:
                await ws.send_json({"type": "auth", "token": token})
                await ws.receive()


def without_secrets(lines: list[str]) -> list[dict[str, object]]:
    """Every line is JSON, and none holds one."""
    for secret in SECRETS:
        assert not [line for line in lines if secret in line]
    return [json.loads(line) for line in lines]


async def test_no_log_holds_a_secret_and_each_line_is_json(
    worker: Worker, settings: dict[str, str], asking: RunningKafka, prefix: str
) -> None:
    await tried(f"http://127.0.0.1:{worker.port}")
    assert worker.stop() == 0, worker.tail()
    told = without_secrets(worker.log.read_text().splitlines())
    events = [" ".join(str(line["message"]).split()[:3]) for line in told]
    assert "restored 0 devices" in events
    assert events.index("gave 0 devices") < events.index("ended, as it")
    asked = [line for line in told if line.get("request_id") == "asked-by-us"]
    assert "POST /-/reload for ada: 200" in [line["message"] for line in asked]

    ours = {**settings, "SMART_IOT_BOOTSTRAP": asking.bootstrap, "SMART_IOT_TOPIC_PREFIX": prefix}
    command = python("from pipeline.cli import main; main()", "web", "--port", "0")
    with started(*command, **ours) as view:
        address = json.loads(view.lines.until("web view: "))["message"].split(": ")[1]
        view.lines.until("alert feed: caught up")
        await tried(address.rstrip("/"))
        view.process.terminate()
        told = without_secrets([*view.lines.seen, *view.lines.rest()])
    (closed,) = [line for line in told if "closed with 4401" in str(line["message"])]
    assert closed["request_id"]

    with started(*command, **ours, SMART_IOT_SASL_PASSWORD=WRONG) as view:
        view.lines.until("Unable to bootstrap")  # Kafka doesn't let us in
        view.process.terminate()
        without_secrets([*view.lines.seen, *view.lines.rest()])

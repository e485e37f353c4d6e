"""`smart-iot web` in; a view that stands alone, and ends when it is asked to, out."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from pipeline.settings import Settings, SettingsError
from pipeline.web.server import WebView
from tests.lab import Program, heard, python, started
from tests.pipeline.web.alert_log import AlertLog, event
from tests.pipeline.web.conftest import PATIENCE

CODE = "from pipeline.cli import main; main()"


def certificate(folder: Path) -> tuple[str, str]:
    """One that we sign ourselves, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return str(cert), str(key)


def address(program: Program) -> str:
    line = json.loads(program.lines.until("web view: "))
    return str(line["message"]).removeprefix("web view: ")


async def test_a_view_alone_shows_the_alerts_and_its_own_health(
    log: AlertLog, settings: Settings
) -> None:
    await log.tell(event())
    environment = {
        "SMART_IOT_BOOTSTRAP": settings.bootstrap,
        "SMART_IOT_TOPIC_PREFIX": settings.topic_prefix,
    }
    with started(*python(CODE, "web", "--port", "0"), **environment) as program:
        url = address(program)
        program.lines.until("caught up")
        async with aiohttp.ClientSession() as client, client.ws_connect(url + "ws/alerts/") as ws:
            assert (await heard(ws.receive_str))["backlog"] == 1
            assert (await heard(ws.receive_str))["alert_id"] == "a1"
            await log.tell(event(seq=2))
            assert (await heard(ws.receive_str))["seq"] == 2
            async with client.get(url + "metrics") as answer:
                assert "smart_iot_web_viewers 1.0" in await answer.text()
            for path, status in (("-/ready", 200), ("-/healthy", 200), ("api/rules/", 404)):
                async with client.get(url + path) as answer:
                    assert answer.status == status
            program.signal(signal.SIGTERM)
            closed = await ws.receive(timeout=PATIENCE)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert program.code() == 0


def test_a_port_in_use_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with started(*python(CODE, "web", "--port", port)) as program:
            assert program.code() == 2
            assert "is in use" in program.lines.rest()[-1]


async def test_with_a_certificate_it_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    environment = {
        "SMART_IOT_BOOTSTRAP": "127.0.0.1:1",
        "SMART_IOT_WEB_CERTFILE": cert,
        "SMART_IOT_WEB_KEYFILE": key,
    }
    with started(*python(CODE, "web", "--port", "0"), **environment) as program:
        url = address(program)
        assert url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=cert)
        async with aiohttp.ClientSession() as client:
            async with client.get(url + "-/healthy", ssl=trusting) as answer:
                assert await answer.json() == {"healthy": True}
            with pytest.raises(aiohttp.ClientError):
                await client.get(url.replace("https", "http") + "-/healthy")
        program.signal(signal.SIGINT)
        assert program.code() == 0


async def test_a_viewer_watches_over_tls(log: AlertLog, settings: Settings, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    view = WebView(replace(settings, web_certfile=cert, web_keyfile=key))
    await view.start()
    try:
        trusting = ssl.create_default_context(cafile=cert)
        async with aiohttp.ClientSession() as client:
            url = f"https://127.0.0.1:{view.port}"
            while True:
                async with client.get(url + "/-/ready", ssl=trusting) as answer:
                    if answer.status == 200:
                        break
            async with client.ws_connect(url + "/ws/alerts/", ssl=trusting) as ws:
                await heard(ws.receive_str)
                for size in (1, 200_000):
                    await log.to_alerts(event(f"a{size}", note="x" * size))
                    told = await heard(ws.receive_str)
                    assert len(told["note"]) == size
    finally:
        await view.stop()


@pytest.mark.parametrize("name", ["missing.pem", "empty.pem"])
async def test_a_certificate_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(SettingsError, match=rf"SMART_IOT_WEB_CERTFILE=.*{name} .*can't be used"):
        await WebView(replace(Settings(), web_certfile=str(tmp_path / name))).start()

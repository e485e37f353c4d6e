"""HTTP requests in, answers out, of a real web view on a free port."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
from yarl import URL

from pipeline.names import Names
from pipeline.settings import Settings, SettingsError
from pipeline.web.feed import Feed
from pipeline.web.hub import Hub
from pipeline.web.server import WebView
from tests.pipeline.web.alert_log import AlertLog, event
from tests.pipeline.web.conftest import Site, running, until

NOWHERE = replace(Settings(), bootstrap="127.0.0.1:1", web_port=0)


async def test_the_active_alerts_are_listed_newest_first_however_old(
    log: AlertLog, site: Site
) -> None:
    old = event("old", started_at="2019-01-01T00:00:00.000Z")
    new = event("new", device_id="hall/1", started_at="2026-11-22T00:00:00.000Z")
    await log.tell(old, new)
    await site.until_open("new", "old")
    assert await site.get("/api/alerts/active/") == (200, [new, old])
    assert await site.get("/api/alerts/active") == (200, [new, old])


async def test_it_is_healthy_at_once_and_not_ready_while_there_is_no_broker() -> None:
    async with running(NOWHERE) as site:
        assert await site.get("/-/healthy") == (200, {"healthy": True})
        status, answer = await site.get("/-/ready")
        assert (status, answer["ready"]) == (503, False)
        assert "alert feed" in answer["reason"]


async def test_it_is_ready_once_the_feed_has_caught_up_and_its_owner_is(
    log: AlertLog, settings: Settings
) -> None:
    problem: list[str] = ["tables are being recovered"]
    async with running(settings, ready=lambda: problem[0] if problem else None) as site:

        async def waits_for_its_owner() -> bool:
            return await site.get("/-/ready") == (503, {"ready": False, "reason": problem[0]})

        await until(waits_for_its_owner)
        problem.clear()
        assert await site.get("/-/ready") == (200, {"ready": True})


async def test_metrics_are_in_prometheus_form() -> None:
    async with running(NOWHERE) as site, site.client.get(site.http + "/metrics") as answer:
        text = await answer.text()
        assert answer.content_type == "text/plain"
        assert "# TYPE smart_iot_web_viewers gauge" in text
        assert "# TYPE smart_iot_web_relay_seconds histogram" in text
        assert 'le="0.001"' in text
        assert 'le="60.0"' in text


async def test_what_is_not_there_is_said_in_json() -> None:
    async with running(NOWHERE) as site:
        assert await site.get("/nothing") == (404, {"error": "nothing is at /nothing"})
        async with site.client.post(site.http + "/-/healthy") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
            assert "error" in await answer.json()


@pytest.mark.parametrize("path", ["/ws/alerts/", "/ws/sensors/", "/ws/sensors/hall/"])
async def test_a_plain_request_for_a_stream_is_refused_before_anything_is_waited_for(
    path: str,
) -> None:
    async with running(NOWHERE) as site:
        status, answer = await site.get(path)
        assert status == 400, "a viewer would have waited for Kafka, and been told 503"
        assert "open it as a WebSocket" in answer["error"]


async def test_the_page_and_each_file_that_it_names_are_there() -> None:
    async with running(NOWHERE) as site, site.client.get(site.http + "/") as page:
        assert (page.status, page.content_type) == (200, "text/html")
        named = set(re.findall(r'(?:src|href)="([^"]+)"', await page.text()))
        assert named == {"static/app.js", "static/vendor.js", "static/style.css", "static/icon.svg"}
        for path in named:
            async with site.client.get(f"{site.http}/{path}") as answer:
                assert answer.status == 200
                assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["index.html", "..%2Fviews.py", "%2Fetc%2Fpasswd", "..", "", "app.js%00"]
)
async def test_nothing_else_is_served_as_a_file(path: str) -> None:
    async with running(NOWHERE) as site:
        url = URL(f"{site.http}/static/{path}", encoded=True)
        async with site.client.get(url) as answer:
            assert answer.status == 404


async def test_the_page_may_load_and_reach_nothing_but_ours() -> None:
    async with running(NOWHERE) as site, site.client.get(site.http + "/") as page:
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        for rule in ("script-src 'self'", "style-src 'self'", "connect-src 'self'"):
            assert rule in policy.split("; ")


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/nothing", "/metrics", "/ws/alerts/", "/ws/sensors/"]
)
async def test_every_answer_has_the_security_headers(path: str) -> None:
    async with running(NOWHERE) as site, site.client.get(site.http + path) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_only_pages_that_may_watch_may_read_from_another_origin() -> None:
    async with running(NOWHERE) as site:
        for origin, allowed in (("http://localhost:3000", True), ("http://evil.example", False)):
            headers = {"Origin": origin}
            async with site.client.get(site.http + "/-/healthy", headers=headers) as answer:
                shown = answer.headers.get("Access-Control-Allow-Origin")
                assert shown == (origin if allowed else None)


async def test_a_port_in_use_is_refused_in_one_line_that_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        view = WebView(replace(NOWHERE, web_port=port))
        with pytest.raises(SettingsError) as raised:
            await view.start()
        text = str(raised.value)
        assert text.startswith(f"SMART_IOT_WEB_PORT={port} ")
        assert f"port {port} of 127.0.0.1 is in use" in text
        assert "\n" not in text
        await view.stop()


def test_nothing_of_the_web_view_imports_faust() -> None:
    script = "import sys, pipeline.web.server; print('faust' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "False"


async def test_the_topics_have_the_names_that_the_worker_gives_them(settings: Settings) -> None:
    names, feed = Names(settings.topic_prefix), Feed(settings, Hub(1, 1, 1))
    assert (feed._alerts_topic, feed._open_topic) == (names.alerts, names.alerts_open)

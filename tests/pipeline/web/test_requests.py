"""Requests in; their ids, and the lines that are logged of them, out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pipeline.access import parse
from pipeline.logs import Json, Lines, Repeats
from pipeline.names import Names
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.web.requests import HEADER
from pipeline.web.views import Views
from tests.lab import create
from tests.pipeline.web.alert_log import AlertLog
from tests.pipeline.web.conftest import Site, running, until

TOKEN = "token-of-ada"  # noqa: S105
TOKENS = parse(json.dumps([{"token": TOKEN, "name": "ada", "can": ["read", "acknowledge"]}]))
NOWHERE = replace(Settings(), bootstrap="127.0.0.1:1", web_port=0)
GUARDED = replace(NOWHERE, tokens=TOKENS)
ADA = {"Authorization": f"Bearer {TOKEN}"}


class Collected(Lines):
    """Lines as they would be written."""

    def __init__(self) -> None:
        super().__init__(Repeats(), burst=100)
        self.setFormatter(Json())
        self.lines: list[dict[str, Any]] = []

    def format(self, record: logging.LogRecord) -> str:
        self.lines.append(json.loads(super().format(record)))
        return ""


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """What the web view logs."""
    handler, log = Collected(), logging.getLogger("pipeline.web")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler.lines
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


async def asked(site: Site, method: str, path: str, **more: Any) -> tuple[int, str]:
    async with site.client.request(method, site.http + path, **more) as answer:
        return answer.status, answer.headers[HEADER]


@pytest.mark.parametrize("brought", ["4f0c-a", "x" * 128, "trace:1/2+a=b@c.d_e"])
async def test_an_id_that_is_brought_is_given_back(brought: str) -> None:
    async with running(NOWHERE) as site:
        status, id = await asked(site, "GET", "/-/healthy", headers={HEADER: brought})
    assert (status, id) == (200, brought)


@pytest.mark.parametrize("brought", ["", "x" * 129, "a b", '"}', "ü"])
async def test_one_that_can_not_be_shown_anywhere_is_replaced(brought: str) -> None:
    async with running(NOWHERE) as site:
        _, id = await asked(site, "GET", "/-/healthy", headers={HEADER: brought})
        _, other = await asked(site, "GET", "/-/healthy")
    assert brought != id != other
    assert len(id) == len(other) == 16


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/static/nowhere", 404),
        ("PUT", "/-/ready", 405),
        ("GET", "/-/ready", 503),
        ("GET", "/ws/alerts/", 400),
        ("GET", "/api/alerts/active/", 401),
        ("POST", "/api/silences/", 401),
    ],
)
async def test_every_refusal_has_one(method: str, path: str, status: int) -> None:
    async with running(GUARDED) as site:
        assert await asked(site, method, path, headers={HEADER: "r-1"}) == (status, "r-1")


async def test_a_page_of_another_origin_may_read_it() -> None:
    async with running(replace(NOWHERE, origins=frozenset({"https://b.example"}))) as site:
        headers = {"Origin": "https://b.example"}
        async with site.client.get(site.http + "/-/healthy", headers=headers) as answer:
            assert HEADER in answer.headers["Access-Control-Expose-Headers"].split(", ")
        async with site.client.get(site.http + "/-/healthy") as answer:
            assert "Access-Control-Expose-Headers" not in answer.headers


async def test_a_fault_of_ours_is_told_under_its_id(
    logged: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Views, request: web.Request) -> web.Response:
        raise RuntimeError("broken")

    monkeypatch.setattr(Views, "ready", broken)
    async with running(NOWHERE) as site:
        url = site.http + "/-/ready"
        async with site.client.get(url, headers={HEADER: "r-1"}) as answer:
            assert (answer.status, answer.headers[HEADER]) == (500, "r-1")
            assert await answer.json() == {"error": "a fault of ours; our log has it under r-1"}
    (line,) = [line for line in logged if line["level"] == "error"]
    assert (line["request_id"], line["message"]) == ("r-1", "GET /-/ready failed")
    assert "RuntimeError: broken" in line["exception"]


async def test_a_fault_in_the_middle_of_an_answer_ends_it_and_is_told_once(
    logged: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(self: Views, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half of it")
        raise RuntimeError("broken")

    monkeypatch.setattr(Views, "ready", broken)
    async with running(NOWHERE) as site, site.client.get(site.http + "/-/ready") as answer:
        assert answer.headers[HEADER]
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert [line["message"] for line in logged if line["level"] == "error"] == [
        "GET /-/ready failed"
    ]
    assert not [one for one in caplog.records if one.name == "aiohttp.server"]


async def test_who_is_turned_away_is_a_warning_and_a_poll_is_none(
    logged: list[dict[str, Any]], log: AlertLog, settings: Settings
) -> None:
    async with running(replace(settings, tokens=TOKENS)) as site:
        await site.until_ready()
        await asked(site, "GET", "/-/healthy", headers={HEADER: "r-1"})
        await asked(site, "GET", "/api/stats/?token=hidden-here", headers={HEADER: "r-2"})
        await asked(site, "GET", "/api/alerts/active/", headers=ADA | {HEADER: "r-3"})
        async with site.client.ws_connect(site.ws, headers={HEADER: "r-4"}) as ws:
            await ws.send_json({"type": "auth", "token": "token-of-nobody"})
            assert (await ws.receive()).data == 4401
    told = {line["request_id"]: line for line in reversed(logged) if "request_id" in line}
    assert [told[id]["level"] for id in ("r-1", "r-2", "r-3", "r-4")] == [
        "debug",
        "warning",
        "debug",
        "warning",
    ]
    assert told["r-2"]["message"] == "GET /api/stats/: refused with 401"
    assert (told["r-2"]["remote"], told["r-2"]["status"]) == ("127.0.0.1", 401)
    assert told["r-3"]["by"] == "ada"
    assert told["r-4"]["message"].startswith("a viewer is closed with 4401: ")
    assert "hidden-here" not in str(logged)
    assert TOKEN not in str(logged)


async def test_who_changes_something_is_told_by_name(
    logged: list[dict[str, Any]], log: AlertLog, settings: Settings
) -> None:
    names = Names(settings.topic_prefix)
    for topic in (names.changelog, names.commands):
        await create(settings.bootstrap, topic)
    wanted = {"by": "ada", "device": "lab-*", "ends_at": iso(time.time() + 3_600)}
    async with running(replace(settings, tokens=TOKENS)) as site:

        async def known() -> bool:
            return (await asked(site, "GET", "/api/silences/", headers=ADA))[0] == 200

        await until(known)
        for body in (wanted, {}):
            await asked(site, "POST", "/api/silences/", json=body, headers=ADA)
    *_, done, wrong = [line for line in logged if line.get("path") == "/api/silences/"]
    assert (done["level"], done["by"], done["status"]) == ("info", "ada", 202)
    assert done["message"] == "POST /api/silences/ for ada: 202"
    assert (wrong["level"], wrong["status"]) == ("debug", 400)

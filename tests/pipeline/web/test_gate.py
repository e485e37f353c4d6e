"""Requests and viewers with and without tokens, from pages of all kinds, in; who passes out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from pipeline.access import parse
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.web import door
from tests.lab import create
from tests.pipeline.web.alert_log import AlertLog, event
from tests.pipeline.web.conftest import PATIENCE, Site, Socket, metric, running, until

ALL, ADA, BOB = "token-of-all", "token-of-ada", "token-of-bob"
TOKENS = parse(
    json.dumps(
        [
            {"token": ALL, "name": "all", "can": ["read", "acknowledge"]},
            {"token": ADA, "name": "ada", "devices": ["greenhouse-*"]},
            {"token": BOB, "name": "bob", "devices": ["hall/*"], "can": ["acknowledge"]},
        ]
    )
)
NOWHERE = replace(Settings(), bootstrap="127.0.0.1:1", web_port=0, tokens=TOKENS)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def guarded(log: AlertLog, settings: Settings) -> AsyncIterator[Site]:
    """With an open alert of a greenhouse and one of a hall."""
    await create(settings.bootstrap, Names(settings.topic_prefix).readings)
    await log.tell(event("green"), event("hall", device_id="hall/1"))
    async with running(replace(settings, tokens=TOKENS)) as site:
        await site.until_ready()
        yield site


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/-/healthy", "/-/ready", "/metrics"])
async def test_the_page_and_what_watches_over_us_need_no_token(path: str) -> None:
    async with running(NOWHERE) as site, site.client.get(site.http + path) as answer:
        assert answer.status in (200, 503)


async def test_all_else_does(guarded: Site) -> None:
    for resource in guarded.view._runner.app.router.resources():  # type: ignore[union-attr]
        path = resource.canonical.replace("{", "").replace("}", "")
        if path.startswith(("/ws", "/static", "/-/")) or path in ("/", "/metrics"):
            continue
        for headers in ({}, bearer("token-of-nobody"), {"Authorization": f"Basic {ALL}"}):
            async with guarded.client.get(guarded.http + path, headers=headers) as answer:
                assert answer.status == 401, path
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert "error" in await answer.json()


async def test_what_is_nowhere_is_not_told_to_who_has_no_token() -> None:
    async with running(NOWHERE) as site:
        assert (await site.get("/nothing"))[0] == 401
        assert (await site.get("/nothing", headers=bearer(ALL)))[0] == 404


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (bearer(ADA), {"name": "ada", "can": ["read"], "devices": ["greenhouse-*"]}),
        (bearer(BOB), {"name": "bob", "can": ["acknowledge"], "devices": ["hall/*"]}),
        ({"Authorization": f"bearer  {ALL} "},
         {"name": "all", "can": ["acknowledge", "read"], "devices": ["*"]}),
    ],
)  # fmt: skip
async def test_one_is_told_what_ones_token_is_for(
    headers: dict[str, str], told: dict[str, Any]
) -> None:
    async with running(NOWHERE) as site:
        assert await site.get("/api/me/", headers=headers) == (200, {"tokens": True, **told})


async def test_without_tokens_everybody_may_do_everything() -> None:
    async with running(replace(NOWHERE, tokens=())) as site:
        everything = {"can": ["acknowledge", "read"], "devices": ["*"], "name": None}
        assert await site.get("/api/me") == (200, {"tokens": False, **everything})


async def test_a_scope_narrows_what_is_listed_and_found(guarded: Site) -> None:
    for token, seen in ((ALL, {"green", "hall"}), (ADA, {"green"})):
        status, alerts = await guarded.get("/api/alerts/active/", headers=bearer(token))
        assert (status, {one["alert_id"] for one in alerts}) == (200, seen)
    status, _ = await guarded.get("/api/readings/latest/hall%2F1", headers=bearer(ADA))
    assert status == 403
    assert (await guarded.get("/api/alerts/active/", headers=bearer(BOB)))[0] == 403


async def post(site: Site, path: str, token: str | None, body: object, **more: str) -> int:
    headers = {**(bearer(token) if token else {}), **more}
    async with site.client.post(site.http + path, json=body, headers=headers) as answer:
        return answer.status


async def test_a_scope_narrows_what_can_be_changed(guarded: Site, settings: Settings) -> None:
    await create(settings.bootstrap, Names(settings.topic_prefix).commands)
    note = {"by": "somebody", "note": ""}
    assert await post(guarded, "/api/alerts/hall/ack", None, note) == 401
    assert await post(guarded, "/api/alerts/green/ack", ADA, note) == 403  # she may only read
    assert await post(guarded, "/api/alerts/green/ack", BOB, note) == 403  # not his device
    assert await post(guarded, "/api/alerts/hall/ack", BOB, note) == 202
    assert await post(guarded, "/api/alerts/green/ack", ALL, note) == 202
    assert await post(guarded, "/-/reload", BOB, None) == 403  # it is for all devices


async def authenticated(site: Site, *said: object, **more: Any) -> Socket:
    connection = await site.client.ws_connect(site.ws, **more)
    for one in said:
        await connection.send_str(one if isinstance(one, str) else json.dumps(one))
    return Socket(connection)


@pytest.mark.parametrize(
    ("headers", "said"), [(bearer(ADA), []), ({}, [{"type": "auth", "token": ADA}])]
)
async def test_a_viewer_sends_its_token_in_the_header_or_as_the_first_message(
    log: AlertLog, guarded: Site, headers: dict[str, str], said: list[object]
) -> None:
    viewer = await authenticated(guarded, *said, headers=headers)
    assert (await viewer.next())["backlog"] == 1
    assert await viewer.event() == ("green", 1)
    await log.tell(event("hall-2", device_id="hall/1"), event("green-2"))
    assert await viewer.event() == ("green-2", 1)
    await viewer.socket.close()


@pytest.mark.parametrize(
    ("headers", "said", "code"),
    [
        (bearer("token-of-nobody"), [], 4401),
        ({"Authorization": f"Basic {ALL}"}, [{"type": "auth", "token": ALL}], 4401),
        ({}, [{"type": "auth", "token": "token-of-nobody"}], 4401),
        ({}, [{"type": "auth"}], 4401),
        ({}, [{"type": "hello", "token": ALL}], 4401),
        ({}, ["nonsense"], 4401),
        ({}, [[]], 4401),
        ({}, ["[" * 4000], 4401),
        (bearer(BOB), [], 4403),  # he may not read
        ({}, [{"type": "auth", "token": BOB}], 4403),
    ],
)
async def test_a_viewer_without_a_right_token_is_closed_and_told_nothing(
    guarded: Site, headers: dict[str, str], said: list[object], code: int
) -> None:
    before = metric("smart_iot_web_viewers_closed_total", code=str(code))
    viewer = await authenticated(guarded, *said, headers=headers)
    message = await viewer.socket.receive(timeout=PATIENCE)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)
    await guarded.until_viewers(0)
    assert metric("smart_iot_web_viewers_closed_total", code=str(code)) == before + 1


async def test_a_viewer_that_sends_no_token_is_closed_after_a_while(
    guarded: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "TOKEN_WITHIN", 0.1)
    assert await (await authenticated(guarded)).code() == 4401


async def test_a_ping_before_the_token_is_answered_and_is_no_wrong_token(guarded: Site) -> None:
    viewer = await authenticated(guarded)
    await viewer.socket.ping(b"early")
    await viewer.socket.pong()
    await viewer.socket.send_json({"type": "auth", "token": ADA})
    assert (await viewer.next())["type"] == "connection"
    await viewer.socket.close()


async def test_a_token_in_the_address_is_none(guarded: Site) -> None:
    guarded.ws += f"?token={ALL}"
    assert await (await authenticated(guarded, "no")).code() == 4401


async def test_a_device_beyond_a_scope_can_not_be_watched(guarded: Site) -> None:
    guarded.ws = guarded.http + "/ws/sensors/hall%2F1/"
    assert await (await authenticated(guarded, headers=bearer(ADA))).code() == 4403
    guarded.ws = guarded.http + "/ws/sensors/greenhouse-7/"
    viewer = await authenticated(guarded, headers=bearer(ADA))
    assert (await viewer.next())["type"] == "connection"
    await viewer.socket.close()


WALL = {"Origin": "https://wall.example"}
EVIL = {"Origin": "https://evil.example"}


async def test_a_page_of_the_allow_list_may_watch_and_read_and_change(
    log: AlertLog, settings: Settings
) -> None:
    allowed = replace(settings, origins=frozenset({WALL["Origin"]}))
    async with running(allowed) as site:
        await site.until_ready()
        async with site.viewer(headers=WALL) as viewer:
            assert viewer.welcome["type"] == "connection"
        assert await site.refused(headers=EVIL) == 403
        assert await post(site, "/api/alerts/a1/ack", None, {"by": "x"}, **WALL) == 404
        assert await post(site, "/api/alerts/a1/ack", None, {"by": "x"}, **EVIL) == 403


async def test_a_browser_is_told_beforehand_what_a_page_of_the_allow_list_may_send() -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}
    async with running(replace(NOWHERE, origins=frozenset({WALL["Origin"]}))) as site:
        url = site.http + "/api/alerts/a1/ack"
        async with site.client.options(url, headers={**ask, **WALL}) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == WALL["Origin"]
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
        async with site.client.options(url, headers={**ask, **EVIL}) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_foreign_name_that_leads_to_this_machine_is_not_ours() -> None:
    async with running(replace(NOWHERE, tokens=())) as site:
        rebound = {"Host": f"evil.example:{site.view.port}"}
        assert (await site.get("/api/me/", headers=rebound))[0] == 403
        assert await site.refused(headers=rebound) == 403
        assert (await site.get("/-/healthy", headers=rebound))[0] == 200
        assert (await site.get("/api/me/", headers={"Host": "localhost"}))[0] == 200


async def test_there_are_no_more_viewers_from_one_address_than_may_be(
    log: AlertLog, settings: Settings
) -> None:
    proxied = Settings.of({"SMART_IOT_TRUSTED_PROXIES": "127.0.0.1"}).trusted_proxies
    async with running(replace(settings, viewers_per_address=2, trusted_proxies=proxied)) as site:
        await site.until_ready()
        one, other = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "198.51.100.1"}
        async with site.viewer(headers=one), site.viewer(headers=one):
            assert await site.refused(headers=one) == 429
            async with site.viewer(headers=other), site.viewer(), site.viewer(), site.viewer():
                pass
        await site.until_viewers(0)
        async with site.viewer(headers=one):
            pass


def turned_away() -> dict[str, float]:
    whys = ("foreign", "full", "not_ready", "per_address")
    return {why: metric("smart_iot_web_viewers_refused_total", reason=why) for why in whys}


async def test_who_is_turned_away_is_counted_by_why(log: AlertLog, settings: Settings) -> None:
    proxied = Settings.of({"SMART_IOT_TRUSTED_PROXIES": "127.0.0.1"}).trusted_proxies
    narrow = replace(settings, viewers=2, viewers_per_address=1, trusted_proxies=proxied)
    one, other = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "198.51.100.1"}
    before = turned_away()
    async with running(replace(NOWHERE, tokens=())) as site:
        assert await site.refused() == 503
        assert await site.refused(headers=EVIL) == 403
        assert (await site.get("/api/alerts/active/", headers=EVIL))[0] == 503  # is no viewer
    async with running(narrow) as site:
        await site.until_ready()
        async with site.viewer(headers=one):
            assert await site.refused(headers=one) == 429
            async with site.viewer(headers=other):
                assert await site.refused(headers={"X-Forwarded-For": "192.0.2.1"}) == 503
    assert turned_away() == {why: number + 1 for why, number in before.items()}


async def test_a_viewer_that_answers_no_ping_is_cut_off(
    log: AlertLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.web.hub.PING_EVERY", 0.2)
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as alive, site.viewer(autoping=False) as dead:
            told = asyncio.create_task(alive.event())  # who listens answers
            while (await dead.socket.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.PING:
                pass
            assert dead.socket.close_code == 1006

            async def one_is_left() -> bool:
                return metric("smart_iot_web_viewers") == 1

            await until(one_is_left)
            await log.tell(event())
            assert await told == ("a1", 1)

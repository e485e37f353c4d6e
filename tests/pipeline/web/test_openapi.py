"""The OpenAPI document against running web views: neither says anything that the other doesn't.

Requests are made of the document (by schemathesis), some that it allows and some that it doesn't,
and every answer must be one that it names, in the shape that it says. The other way round, each
path, parameter and answer of the document is really there.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import schemathesis
from aiohttp import web
from aiokafka import AIOKafkaProducer
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.strategies import DataObject, SearchStrategy, data, one_of
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from pipeline.access import parse
from pipeline.kafka.broker import RunningKafka
from pipeline.names import Names
from pipeline.records import iso
from pipeline.rows import PARTITION_KEY, Row
from pipeline.rules import DEFAULT
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.rules.faults import RulesError
from pipeline.rules.silence import Silence
from pipeline.settings import Settings
from pipeline.sinks.mysql import MySQL
from pipeline.sinks.redis import Redis as RedisSink
from pipeline.sinks.sink import EVENT, OPEN, WINDOW
from pipeline.web import changes, history, newest
from pipeline.web.openapi import document
from pipeline.web.rules import Judging
from pipeline.web.server import WebView
from pipeline.words import window_json
from tables.partition import Partition
from tests.lab import create
from tests.pipeline.sinks.shell import CLUSTER, Writing, record, window_of
from tests.pipeline.sinks.shell import reading as reading_of
from tests.pipeline.web.alert_log import alert_log, event, resolved
from tests.pipeline.web.conftest import Site, metric, running, until
from tests.stores import MariaDB, Redis, redis_cli

DOCUMENT = document()
RULES = (Path(__file__).parents[3] / "deploy/rules.toml").read_text()
EACH = 20  # requests an operation
T0 = time.time() - 700
NOWHERE = replace(Settings(), bootstrap="127.0.0.1:1", web_port=0)
HOT, OVER = event("hot"), resolved("over", device_id="cellar")
JSON = {"Content-Type": "application/json"}
FOREIGN = {**JSON, "Origin": "http://evil.example"}


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


def documented() -> set[tuple[str, str, int]]:
    """Operations and the answers that the document names."""
    return {
        (method, path, int(status))
        for (method, path), operation in operations().items()
        for status in operation["responses"]
    }


# -- requests that the document allows, and some that it doesn't


class Thread:
    """A web view in a thread of its own: schemathesis asks without a loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return self._do(self._start())

    def __exit__(self, *_: object) -> None:
        self._do(self._view.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result(60)

    async def _start(self) -> str:
        judging = Judging(lambda: DEFAULT, lambda _: None)
        self._view = WebView(self._settings, judging=judging)
        await self._view.start()
        async with aiohttp.ClientSession() as client:
            await until_all_is_known(Site(self._view, client))
        return f"http://127.0.0.1:{self._view.port}"


@pytest.fixture(scope="module")
def filled(kafka: RunningKafka) -> Settings:
    """A Kafka with something of everything."""
    settings = replace(Settings(), bootstrap=kafka.bootstrap, topic_prefix="openapi-", web_port=0)
    asyncio.run(fill(settings))
    return settings


@pytest.fixture(scope="module")
def served(filled: Settings, mariadb: MariaDB, redis_server: Redis) -> Iterator[str]:
    """One that asks MySQL and Redis, since it has next to nothing in memory."""
    both = replace(filled, mysql_url=mariadb.url, redis_url=redis_server.url, windows_kept=1)
    mariadb.empty()
    redis_cli(redis_server, "flushall")
    asyncio.run(keep(both))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "KEPT", 3)  # the newest event of each partition
        patch.setattr(newest, "CURRENT", 3_600.0)
        with Thread(both) as url:
            patch.setattr(changes.Allowance, "take", lambda *_: True)  # of 5 a second
            yield url
            for sink in ("mysql", "redis"):
                answered = {"sink": sink, "outcome": "answered"}
                assert metric("smart_iot_web_questions_total", **answered) > 0


# A schema can't say that a time must not be past, and what is empty we take as not said.
UNSAID = [positive_data_acceptance, negative_data_rejection]
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()]


def allowed_or_not(operation: schemathesis.APIOperation) -> SearchStrategy[schemathesis.Case]:
    modes = [GenerationMode.POSITIVE]
    if operation.path_parameters or operation.query or operation.body:
        modes.append(GenerationMode.NEGATIVE)
    return one_of([operation.as_strategy(generation_mode=mode) for mode in modes])


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # its own
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
@hypothesis_settings(
    max_examples=EACH, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(data())
def test_whatever_is_asked_the_answer_is_one_that_the_document_names(
    served: str, operation: schemathesis.APIOperation, chosen: DataObject
) -> None:
    case = chosen.draw(allowed_or_not(operation))
    answer = case.call(base_url=served)
    assert answer.status_code < 500
    case.validate_response(answer, excluded_checks=UNSAID)


# -- what is really there


def with_last_slash(path: str) -> str:
    return path if path.endswith("/") or "." in path.rpartition("/")[2] else path + "/"


async def test_every_path_of_the_view_is_in_the_document_and_no_other_is() -> None:
    async with running(NOWHERE) as site:
        routes = {
            (route.method.lower(), with_last_slash(route.resource.canonical))
            for route in site.view._runner.app.router.routes()
            if route.method != "HEAD" and route.resource is not None
        }
    there = {(method, path) for method, path in routes if not path.startswith("/ws/")}
    told = {(method, with_last_slash(path)) for method, path in operations()}
    assert {(method, path.replace("{device}", "{device_id}")) for method, path in there} == told


async def test_every_parameter_of_the_document_is_looked_at_and_no_other_is(
    monkeypatch: pytest.MonkeyPatch, filled: Settings
) -> None:
    asked: dict[tuple[str, str], set[str]] = {}

    class Asked(dict[str, str]):
        def __init__(self, request: web.BaseRequest) -> None:
            super().__init__(request.rel_url.query)
            path = request.match_info.route.resource.canonical  # type: ignore[attr-defined]
            self.names = asked.setdefault((request.method.lower(), with_last_slash(path)), set())

        def get(self, name: str, otherwise: Any = None) -> Any:
            self.names.add(name)
            return super().get(name, otherwise)

        def __contains__(self, name: object) -> bool:
            self.names.add(str(name))
            return super().__contains__(name)

    async with running(filled, judging=Judging(lambda: DEFAULT, lambda _: None)) as site:
        await until_all_is_known(site)
        monkeypatch.setattr(web.BaseRequest, "query", property(Asked))
        for method, path in operations():
            url = site.http + re.sub("{.*?}", "hot", path)
            for query in ("", "?from=2026-11-22&to=2026-11-23"):
                async with site.client.request(method, url + query, headers=JSON, data="{}"):
                    pass
    told = {
        (method, with_last_slash(path)): {
            one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"
        }
        for (method, path), operation in operations().items()
    }
    assert {key: names for key, names in asked.items() if names} == {
        key: names for key, names in told.items() if names
    }


Request = tuple[str, str, int, dict[str, Any]]
BODY = {"headers": JSON, "data": '{"by": "ada"}'}
QUIET = {"by": "ada", "ends_at": iso(T0 + 86_400), "device": "attic"}
ANSWERS: list[Request] = [
    ("get", "/api/alerts/active/", 200, {}),
    ("get", "/api/alerts/", 200, {}),
    ("get", "/api/alerts/", 400, {"params": {"limit": "many"}}),
    ("get", "/api/alerts/{alert_id}/", 200, {"name": "over"}),
    ("get", "/api/alerts/{alert_id}/", 404, {"name": "nothing"}),
    ("post", "/api/alerts/{alert_id}/ack", 202, {"name": "hot", **BODY}),
    ("post", "/api/alerts/{alert_id}/ack", 400, {"name": "hot", "headers": JSON, "data": "{}"}),
    ("post", "/api/alerts/{alert_id}/ack", 403, {"name": "hot", "headers": FOREIGN}),
    ("post", "/api/alerts/{alert_id}/ack", 404, {"name": "nothing", **BODY}),
    ("post", "/api/alerts/{alert_id}/ack", 409, {"name": "over", **BODY}),
    ("post", "/api/alerts/{alert_id}/ack", 413, {"name": "hot", **BODY, "data": b" " * 9_000}),
    ("post", "/api/alerts/{alert_id}/ack", 415, {"name": "hot", "data": "{}"}),
    ("get", "/api/silences/", 200, {}),
    ("post", "/api/silences/", 202, {"json": QUIET}),
    ("post", "/api/silences/", 400, {"json": {"by": "ada"}}),
    ("post", "/api/silences/", 403, {"headers": FOREIGN}),
    ("post", "/api/silences/", 413, {"headers": JSON, "data": b" " * 9_000}),
    ("post", "/api/silences/", 415, {"data": "{}"}),
    ("delete", "/api/silences/", 202, {"params": {"id": "s1", "by": "ada"}}),
    ("delete", "/api/silences/", 400, {}),
    ("delete", "/api/silences/", 403, {"headers": FOREIGN}),
    ("delete", "/api/silences/", 404, {"params": {"id": "none", "by": "ada"}}),
    ("get", "/api/readings/latest_all/", 200, {}),
    ("get", "/api/readings/latest/{device_id}/", 200, {"name": "attic"}),
    ("get", "/api/readings/latest/{device_id}/", 400, {"name": "two%20words"}),
    ("get", "/api/readings/latest/{device_id}/", 404, {"name": "nobody"}),
    ("get", "/api/devices/", 200, {}),
    ("get", "/api/me/", 200, {}),
    ("get", "/api/stats/", 200, {}),
    ("get", "/api/stats/", 400, {"params": {"range": "1y"}}),
    ("get", "/api/rules/", 200, {}),
    ("post", "/-/reload", 200, {}),
    ("post", "/-/reload", 403, {"headers": FOREIGN}),
    ("get", "/-/healthy", 200, {}),
    ("get", "/-/ready", 200, {}),
    ("get", "/metrics", 200, {}),
    ("get", "/api/openapi.json", 200, {}),
    ("get", "/api/asyncapi.json", 200, {}),
    ("get", "/", 200, {}),
    ("get", "/static/{name}", 200, {"name": "app.js"}),
    ("get", "/static/{name}", 404, {"name": "views.py"}),
]
NOT_KNOWN: list[Request] = [
    *(
        ("get", path, 503, {"name": "attic"})
        for path, methods in DOCUMENT["paths"].items()
        if "503" in methods.get("get", {"responses": ()})["responses"] and path != "/api/rules/"
    ),
    ("post", "/api/alerts/{alert_id}/ack", 503, {"name": "hot", **BODY}),
    ("post", "/api/silences/", 503, {"json": QUIET}),
    ("delete", "/api/silences/", 503, {"params": {"id": "s1", "by": "ada"}}),
    ("post", "/-/reload", 503, {}),
]
SLOWER: list[Request] = [
    (method, path, 429, {"headers": JSON, "data": "{}", "name": "hot"})
    for (method, path), operation in operations().items()
    if "429" in operation["responses"]
]
WRONG = RulesError(["rules.toml: rules.x: is no rule"])


GUARDED = [key for key, operation in operations().items() if "401" in operation["responses"]]
ELSEWHERE = {"Host": "evil.example"}  # a name that leads to us, and isn't ours
TOKENS = parse('[{"token": "of-the-barn", "name": "barn", "devices": ["barn*"]}]')


async def ask(site: Site, requests: list[Request], said: set[tuple[str, str, int]]) -> None:
    for method, path, status, more in requests:
        given = dict(more)
        url = site.http + re.sub("{.*?}", given.pop("name", ""), path)
        async with site.client.request(method, url, **given) as answer:
            assert answer.status == status, (method, path, await answer.text())
            said.add((method, path, status))


async def test_every_answer_of_the_document_is_given(
    filled: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: set[tuple[str, str, int]] = set()

    def refuse(_: str) -> None:
        raise WRONG

    async with running(filled, judging=Judging(lambda: DEFAULT, lambda _: None)) as site:
        await until_all_is_known(site)
        await ask(site, ANSWERS, said)
        with monkeypatch.context() as patch:
            patch.setattr(changes, "AT_MOST", 0)
            await ask(site, [("post", "/api/silences/", 409, {"json": QUIET})], said)
            patch.setattr(changes.Allowance, "take", lambda *_: False)
            await ask(site, SLOWER, said)
    async with running(filled) as site:
        alone = [("get", "/api/rules/", 404, {}), ("post", "/-/reload", 202, {})]
        await ask(site, alone, said)
    async with running(NOWHERE, judging=Judging(lambda: DEFAULT, refuse)) as site:
        await ask(site, [("post", "/-/reload", 422, {})], said)
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    async with running(replace(NOWHERE, rules=str(rules))) as site:
        rules.write_text("[rules.x]")
        await ask(site, [("get", "/api/rules/", 503, {})], said)
    async with running(NOWHERE, judging=Judging(lambda: DEFAULT, lambda _: None)) as site:
        await ask(site, NOT_KNOWN, said)
    async with running(replace(filled, tokens=TOKENS)) as site:
        await ask(site, [(*one, 401, {}) for one in GUARDED], said)
        await ask(site, [(*one, 403, {"headers": ELSEWHERE}) for one in GUARDED], said)
    assert said == documented()


# -- something of everything


async def fill(settings: Settings) -> None:
    names = Names(settings.topic_prefix)
    async with alert_log(settings.bootstrap, settings.topic_prefix) as log:
        await log.create()
        await log.tell(HOT, event("over", device_id="cellar"), OVER)
    for topic in (names.changelog, names.windows, names.commands):
        await create(settings.bootstrap, topic, 1)
    device, partition = Device("attic"), Partition(0)
    closing = Engine(window=300.0)
    for at in (T0, T0 + 400):
        reading = Reading("attic", at - 7_200, at, {"temperature": 20.0, "humidity": 50.0})
        closing.reading(device, reading, at, 0.0)
    partition.silences.add(Silence("s1", "attic", None, None, "ada", None, T0, T0, T0 + 9e6))
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)
    await producer.start()
    try:
        row = Row(device, [1, -1, -1]).packed(1)
        await producer.send_and_wait(names.changelog, row, b"attic")
        await producer.send_and_wait(names.changelog, partition.packed(), PARTITION_KEY)
        for window in closing.take_closed():
            await producer.send_and_wait(names.windows, window_json(window), b"attic")
    finally:
        await producer.stop()


async def keep(settings: Settings) -> None:
    """What archives would have written by then, and more of the past."""
    mysql, redis = MySQL(settings), RedisSink(settings)
    await mysql.migrate()
    past = event("past", device_id="attic", started_at=iso(T0 - 86_400))
    told = [past, HOT, event("over", device_id="cellar"), OVER]
    windows = [window_of(start=iso(T0 // 300 * 300 - 7 * 86_400 * n)) for n in range(4)]
    await Writing(mysql).write(
        *(record(EVENT, n, one) for n, one in enumerate(told)),
        *(record(WINDOW, n, one) for n, one in enumerate(windows)),
        at=time.time() + 3_600,  # of all that is here
    )
    now = Writing(redis)
    await now.write(
        reading_of(0, "attic", at=T0, temperature=20.0),
        record(OPEN, 0, HOT, key="greenhouse-7|temperature-high"),
        at=T0,
    )
    await redis.current(CLUSTER, now.stands)
    await mysql.close()
    await redis.close()


async def until_all_is_known(site: Site) -> None:
    for path in ("/-/ready", "/api/alerts/", "/api/devices/", "/api/stats/"):

        async def known(path: str = path) -> bool:
            return (await site.get(path))[0] == 200

        await until(known)

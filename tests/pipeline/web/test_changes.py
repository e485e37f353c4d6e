"""Requests to change something in; what is on the topic of commands, and what is refused, out."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from pipeline import commands
from pipeline.home import home_of
from pipeline.names import Names
from pipeline.records import iso
from pipeline.rules.silence import AT_MOST, Silence
from pipeline.settings import Settings
from pipeline.web.changes import BURST, LARGEST_BODY, Allowance
from tables.partition import Partition
from tests.lab import create
from tests.pipeline.web.alert_log import AlertLog, event, resolved
from tests.pipeline.web.conftest import Site, running, until
from tests.proof.kafka import read_topic

PARTITIONS = 3
NOWHERE = replace(Settings(), bootstrap="127.0.0.1:1", web_port=0)


class Keeper:
    """What the workers would keep, in their partitions' rows."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self.names = Names(settings.topic_prefix)
        self.bootstrap = settings.bootstrap
        self._producer = producer

    async def keep(self, *silences: Silence) -> None:
        for number in range(PARTITIONS):
            partition = Partition(number)
            for silence in silences:
                partition.silences.add(silence)
            await self._producer.send_and_wait(
                self.names.changelog, partition.packed(), b"*partition", number
            )

    async def commands(self) -> list[tuple[int, bytes, dict[str, Any]]]:
        records = await read_topic(self.bootstrap, self.names.commands)
        return [(one.partition, one.key, json.loads(one.value)) for one in records]


@pytest.fixture
async def keeper(log: AlertLog, settings: Settings) -> AsyncIterator[Keeper]:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)
    await producer.start()
    names = Names(settings.topic_prefix)
    for topic in (names.changelog, names.commands):
        await create(settings.bootstrap, topic, PARTITIONS)
    try:
        yield Keeper(settings, producer)
    finally:
        await producer.stop()


@pytest.fixture
async def site(keeper: Keeper, settings: Settings) -> AsyncIterator[Site]:
    async with running(settings) as site:
        await site.until_ready()

        async def known() -> bool:
            return (await site.get("/api/silences/"))[0] == 200

        await until(known)
        yield site


async def ask(site: Site, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with site.client.request(method, site.http + path, **more) as answer:
        return answer.status, await answer.json()


def silence(name: str, end: float = 3_600, start: float = 0) -> Silence:
    now = time.time()
    return Silence(name, "attic*", None, None, "ada", "paint", now, now + start, now + end)


async def test_an_acknowledgement_goes_to_its_device_s_partition_under_an_id_of_its_own(
    log: AlertLog, keeper: Keeper, site: Site
) -> None:
    await log.tell(event("a1", device_id="hall/1"))
    await site.until_open("a1")
    body = {"by": "ada", "note": "on my way"}
    first = await ask(site, "POST", "/api/alerts/a1/ack", json=body)
    again = await ask(site, "POST", "/api/alerts/a1/ack/", json=body)
    other = await ask(site, "POST", "/api/alerts/a1/ack", json={"by": "ada"})
    assert [status for status, _ in (first, again, other)] == [202] * 3
    assert first == again != other
    sent = await keeper.commands()
    assert {(number, key) for number, key, _ in sent} == {(home_of("hall/1", 3), b"hall/1")}
    command = sent[0][2]
    assert command.pop("at")
    assert command == {
        "command": "acknowledge",
        "command_id": first[1]["command_id"],
        "by": "ada",
        "device_id": "hall/1",
        "alert_id": "a1",
        "note": "on my way",
    }


async def test_an_alert_that_is_unknown_or_resolved_cannot_be_acknowledged(
    log: AlertLog, keeper: Keeper, site: Site
) -> None:
    await log.tell(event("a1"), event("b1", device_id="attic"), resolved("a1"))
    await site.until_open("b1")
    said = {"json": {"by": "ada"}}
    assert await ask(site, "POST", "/api/alerts/nobody/ack", **said) == (
        404,
        {"error": "no such alert is known"},
    )
    assert await ask(site, "POST", "/api/alerts/a1/ack", **said) == (
        409,
        {"error": "the alert is resolved"},
    )
    assert await keeper.commands() == []


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/api/alerts/a1/ack", b"", "truncated"),
        ("/api/alerts/a1/ack", b"\xff", "malformed"),
        ("/api/alerts/a1/ack", b"{}", "missing required field `by`"),
        ("/api/alerts/a1/ack", b'{"by": ""}', "length >= 1"),
        ("/api/alerts/a1/ack", b'{"by": 5}', "Expected `str`"),
        ("/api/alerts/a1/ack", b'{"by": "a", "who": 1}', "unknown field `who`"),
        ("/api/alerts/a1/ack", b'{"by": "a", "note": "' + b"x" * 1_001 + b'"}', "length <= 1000"),
        ("/api/silences/", b'{"by": "a", "device": "*"}', "missing required field `ends_at`"),
        ("/api/silences/", b'{"by": "a", "ends_at": "2999-01-01T00:00:00Z"}', "needs a device"),
        (
            "/api/silences/",
            b'{"by": "a", "device": "*", "ends_at": "2020-01-01T00:00:00Z"}',
            "ends_at is past",
        ),
        (
            "/api/silences/",
            b'{"by": "a", "device": "*", "ends_at": "2999-01-01T00:00:00Z"}',
            "within a year",
        ),
        (
            "/api/silences/",
            b'{"by": "a", "device": "*", "ends_at": "2999-01-01T00:00:00"}',
            "timezone",
        ),
    ],
)
async def test_what_is_wrong_with_a_body_is_said(
    site: Site, keeper: Keeper, path: str, body: bytes, why: str
) -> None:
    headers = {"Content-Type": "application/json"}
    status, answer = await ask(site, "POST", path, data=body, headers=headers)
    assert status == 400
    assert why in answer["error"]
    assert await keeper.commands() == []


async def test_a_silence_goes_to_every_partition_and_twice_is_once(
    keeper: Keeper, site: Site
) -> None:
    ends = iso(time.time() + 3_600)
    body = {"by": "ada", "device": "attic*", "severity": "warning", "ends_at": ends}
    status, first = await ask(site, "POST", "/api/silences/", json=body)
    assert status == 202
    assert await ask(site, "POST", "/api/silences", json=body) == (202, first)
    sent = await keeper.commands()
    assert [(number, key) for number, key, _ in sent] == [
        (number, b"*") for number in range(PARTITIONS) for _ in range(2)
    ]
    for _, _, command in sent:
        made = commands.decode(msgspec.json.encode(command))
        assert isinstance(made, commands.Quiet)
        kept = made.silence()
        assert (kept.id, kept.device, kept.rule) == (first["silence_id"], "attic*", None)
        assert (kept.severity, kept.by, iso(kept.ends_at)) == ("warning", "ada", ends)


async def test_silences_are_listed_once_each_while_they_are_not_over(
    keeper: Keeper, site: Site
) -> None:
    await keeper.keep(silence("later", 7_200, 3_600), silence("s1"), silence("over", -5, -60))

    async def listed() -> bool:
        _, found = await site.get("/api/silences/")
        return [(one["silence_id"], one["state"]) for one in found] == [
            ("s1", "active"),
            ("later", "pending"),
        ]

    await until(listed)
    _, (found, _) = await site.get("/api/silences")
    assert (found["device"], found["by"], found["comment"]) == ("attic*", "ada", "paint")
    assert datetime.fromisoformat(found["ends_at"]) > datetime.now(UTC)
    assert await ask(site, "DELETE", "/api/silences/?id=s1") == (
        400,
        {"error": "say which silence and who: ?id=...&by=..."},
    )
    assert (await ask(site, "DELETE", "/api/silences/?id=nobody&by=ada"))[0] == 404
    assert (await ask(site, "DELETE", "/api/silences/?id=s1&by=ada"))[0] == 202
    sent = await keeper.commands()
    assert [(number, command["silence_id"]) for number, _, command in sent] == [
        (number, "s1") for number in range(PARTITIONS)
    ]
    assert {command["command"] for _, _, command in sent} == {"unsilence"}
    await keeper.keep()

    async def none() -> bool:
        return await site.get("/api/silences/") == (200, [])

    await until(none)


async def test_no_more_silences_are_taken_than_are_kept(keeper: Keeper, site: Site) -> None:
    await keeper.keep(*(silence(f"s-{number}") for number in range(AT_MOST)))

    async def all_known() -> bool:
        return len((await site.get("/api/silences/"))[1]) == AT_MOST

    await until(all_known)
    body = {"by": "ada", "device": "a", "ends_at": iso(time.time() + 60)}
    assert (await ask(site, "POST", "/api/silences/", json=body))[0] == 409


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        # its name leads to this machine: same origin, as the browser sees it
        ({"Origin": "http://evil.example:8000", "Host": "evil.example:8000"}, 403),
        ({"Origin": "http://localhost:8000", "Host": "localhost:8000"}, 503),
        ({"Origin": "http://localhost:3000"}, 503),
        ({}, 503),
        # what a form of a foreign page could send unasked, were its origin not told
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
@pytest.mark.parametrize("path", ["/api/alerts/a1/ack", "/api/silences/"])
async def test_no_foreign_page_changes_anything(
    path: str, headers: dict[str, str], status: int
) -> None:
    """503 is what who may change something is told here: there is no broker."""
    async with running(NOWHERE) as site:
        sent = {"Content-Type": "application/json", **headers}
        assert (await ask(site, "POST", path, data=b'{"by": "ada"}', headers=sent))[0] == status
        if status == 403:
            assert (await ask(site, "DELETE", "/api/silences/?id=s&by=a", headers=sent))[0] == 403


async def test_a_body_has_a_size_and_changes_have_a_rate(site: Site) -> None:
    large = {"by": "ada", "note": "x" * LARGEST_BODY}
    assert (await ask(site, "POST", "/api/alerts/a1/ack", json=large))[0] == 413
    body, answers = {"by": "ada"}, []
    for _ in range(int(BURST) * 20):
        async with site.client.post(site.http + "/api/alerts/a1/ack", json=body) as answer:
            answers.append((answer.status, answer.headers.get("Retry-After")))
        if answers[-1][0] == 429:
            break
    assert answers[-1] == (429, "1")
    assert {status for status, _ in answers[:-1]} == {404}


def test_an_allowance_is_used_up_and_comes_back() -> None:
    allowance = Allowance(rate=2, burst=3)
    assert [allowance.take(at) for at in (10, 10, 10, 10)] == [True, True, True, False]
    assert [allowance.take(at) for at in (10.4, 10.5, 10.5)] == [False, True, False]
    assert [allowance.take(at) for at in (99, 99, 99, 99)] == [True, True, True, False]

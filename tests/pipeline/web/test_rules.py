"""The rules that hold, as the view tells them; the word to read them anew, as it is passed on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.access import parse as parse_tokens
from pipeline.names import Names
from pipeline.rules import DEFAULT
from pipeline.rules.faults import RulesError
from pipeline.rules.rulefile import parse, parsed
from pipeline.settings import Settings
from pipeline.web import changes
from pipeline.web.rules import Judging
from tests.lab import create
from tests.pipeline.web.conftest import Site, running
from tests.proof.kafka import read_topic

NOWHERE = replace(Settings(), bootstrap="127.0.0.1:1", web_port=0)
RULES = """
[rules.hot]
metric = "temperature"
levels = [{ severity = "danger", above = 35, clear = 33 }]

[rules.humid]
metric = "humidity"
match = { group = "hall" }
levels = [{ severity = "info", above = 80 }]

[device.oven.hot]
enabled = false
"""
BOOK = parse(RULES)


async def reload(site: Site, **headers: str) -> tuple[int, dict[str, Any]]:
    async with site.client.post(site.http + "/-/reload", headers=headers) as answer:
        return answer.status, await answer.json()


async def test_a_worker_tells_the_rules_that_it_judges_by() -> None:
    judging = Judging(lambda: DEFAULT, lambda _: None)
    async with running(NOWHERE, judging=judging) as site:
        for path in ("/api/rules/", "/api/rules"):
            status, told = await site.get(path)
            assert (status, told.pop("hash")) == (200, DEFAULT.fingerprint())
            assert (told.pop("file"), told.pop("for")) == (None, None)
            assert parsed(told) == DEFAULT
        assert told["rules"]["temperature-high"] == {
            "metric": "temperature",
            "levels": [{"severity": "danger", "above": 35.0, "clear": 33.0}],
        }


async def test_those_of_one_device_are_what_they_come_to_for_it() -> None:
    async with running(NOWHERE, judging=Judging(lambda: BOOK, lambda _: None)) as site:
        _, everything = await site.get("/api/rules/")
        assert everything["rules"].keys() == {"hot", "humid"}
        assert everything["device"] == {"oven": {"hot": {"enabled": False}}}
        for device, names in (("oven", []), ("attic", ["hot"]), ("hall/1", ["hot", "humid"])):
            status, told = await site.get("/api/rules/", params={"device": device})
            assert (status, told["for"], sorted(told["rules"])) == (200, device, names)
            assert told["hash"] == everything["hash"] == BOOK.fingerprint()


OVEN = {"headers": {"Authorization": "Bearer of-the-oven"}}
OTHERS = {"headers": {"Authorization": "Bearer of-the-others"}}
TOKENS = parse_tokens(
    """[
        {"token": "of-the-oven", "name": "baker", "devices": ["oven"]},
        {"token": "of-the-others", "name": "ada", "devices": ["attic", "hall/*"]}
    ]"""
)


async def test_a_token_is_told_the_rules_of_the_devices_that_it_may_see() -> None:
    settings = replace(NOWHERE, tokens=TOKENS)
    async with running(settings, judging=Judging(lambda: BOOK, lambda _: None)) as site:
        for whose, rules, devices in (
            (OVEN, ["hot"], {"oven": {"hot": {"enabled": False}}}),
            (OTHERS, ["hot", "humid"], {}),
        ):
            status, told = await site.get("/api/rules/", **whose)
            assert (status, sorted(told["rules"]), told["device"]) == (200, rules, devices)
            assert told["hash"] == BOOK.fingerprint()
        assert (await site.get("/api/rules/?device=attic", **OVEN))[0] == 403
        assert sorted((await site.get("/api/rules/?device=attic", **OTHERS))[1]["rules"]) == ["hot"]


async def test_what_is_wrong_with_the_rules_of_others_is_not_told_to_a_token(
    tmp_path: Path,
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    async with running(replace(NOWHERE, tokens=TOKENS, rules=str(file))) as site:
        file.write_text(RULES.replace("enabled = false", "enabled = 5"))
        wrong = {"error": "the rules are wrong", "mistakes": []}
        assert await site.get("/api/rules/", **OVEN) == (503, wrong)


async def test_a_view_that_stands_alone_has_its_own_file_or_none(tmp_path: Path) -> None:
    async with running(NOWHERE) as site:
        status, told = await site.get("/api/rules/")
        assert (status, told) == (404, {"error": "this view judges nothing: ask a worker"})
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    async with running(replace(NOWHERE, rules=str(file))) as site:
        status, told = await site.get("/api/rules/")
        assert (status, told["hash"], told["file"]) == (200, BOOK.fingerprint(), str(file))
        file.write_text("rules = 5")
        status, told = await site.get("/api/rules/")
        assert (status, told["error"]) == (503, "the rules are wrong")


async def test_only_our_own_page_may_have_the_rules_read_anew() -> None:
    read: list[str] = []
    judging = Judging(lambda: DEFAULT, read.append)
    async with running(NOWHERE, judging=judging) as site:
        assert (await reload(site, Origin="http://elsewhere.example"))[0] == 403
        assert read == []


async def test_what_was_done_here_is_said_where_the_others_can_not_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "PATIENCE", 0.2)
    read: list[str] = []
    judging = Judging(lambda: DEFAULT, read.append)
    async with running(NOWHERE, judging=judging) as site:
        status, told = await reload(site)
        assert (status, told["reloaded"], len(read)) == (503, True, 1)
        assert "weren't told" in told["error"]


async def test_every_partition_is_told_and_nobody_of_wrong_rules(
    kafka: Any, settings: Settings, tmp_path: Path
) -> None:
    topic = Names(settings.topic_prefix).commands
    await create(kafka.bootstrap, topic, 3)

    def refuse(_: str) -> None:
        raise RulesError(["rule hot: one", "rule hot: two"])

    async with running(settings, judging=Judging(lambda: DEFAULT, refuse)) as site:
        wrong = {"error": "the rules are wrong", "mistakes": ["rule hot: one", "rule hot: two"]}
        assert await reload(site) == (422, wrong)
    ids = []
    async with running(settings, judging=Judging(lambda: DEFAULT, lambda _: None)) as site:
        for _ in range(2):
            status, told = await reload(site)
            assert (status, told["reloaded"]) == (200, True)
            ids.append(told["command_id"])
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    async with running(replace(settings, rules=str(file))) as site:
        status, told = await reload(site)
        assert (status, told["reloaded"]) == (202, False)
        ids.append(told["command_id"])
        file.write_text("rules = 5")
        assert (await reload(site))[0] == 422
    records = await read_topic(kafka.bootstrap, topic)
    assert len(set(ids)) == 3
    sent = [(record.partition, json.loads(record.value)) for record in records]
    assert {command["command"] for _, command in sent} == {"reload"}
    assert sorted((number, command["command_id"]) for number, command in sent) == sorted(
        (number, command_id) for number in range(3) for command_id in ids
    )

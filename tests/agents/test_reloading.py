"""Requests to read the rules anew in; the engine that the judge has then, out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents.judge import Judge
from agents.reloading import Reloading, engine_of
from pipeline.metrics import WORKER
from pipeline.rules.faults import RulesError
from pipeline.rulesource import RulesFile
from pipeline.settings import Settings
from tests.agents.shell import partition

RULES = '[rules.hot]\nmetric = "temperature"\nlevels = [{ severity = "info", above = 30 }]\n'
OTHERS = RULES.replace("30", "31")
WRONG = RULES.replace("info", "infos")


class House:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(RULES)
        self.settings = replace(Settings(), rules=str(path), window=60, rules_watch=0.01)
        file = RulesFile(self.settings)
        self.judge = Judge(engine_of(file.read(), self.settings), wake=lambda: None)
        self.owned = partition()
        self.owned.row("attic")
        self.reloading = Reloading(self.settings, file, self.judge, lambda: [self.owned])

    @property
    def line(self) -> float:
        return self.judge.engine.rulebook.thresholds[0].levels[0].line


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "rules.toml")


@contextlib.contextmanager
def counted(result: str, number: int = 1) -> Iterator[None]:
    def count() -> float:
        name = "smart_iot_rules_reloads_total"
        return WORKER.get_sample_value(name, {"result": result}) or 0.0

    before = count()
    yield
    assert count() == before + number


def shown() -> list[str]:
    (info,) = [metric for metric in WORKER.collect() if metric.name == "smart_iot_rules_info"]
    return [sample.labels["hash"] for sample in info.samples if sample.value == 1]


def test_changed_rules_are_judged_by_and_shown_and_the_windows_go_on(house: House) -> None:
    before = shown()
    house.path.write_text(OTHERS)
    with counted("applied"):
        assert house.reloading.reload()
    assert (house.line, house.judge.engine.window) == (31, 60)
    assert shown() == [house.reloading.rules().fingerprint()] != before
    assert house.owned.unjudged == ["attic"]


def test_rules_that_are_what_they_were_change_nothing(house: House) -> None:
    engine = house.judge.engine
    house.path.write_text("# a word\n" + RULES)
    with counted("unchanged"):
        assert not house.reloading.reload()
    assert house.judge.engine is engine
    assert house.owned.unjudged == []


def test_wrong_rules_are_refused_and_the_last_good_ones_go_on(house: House) -> None:
    house.path.write_text(WRONG)
    before = shown()
    with counted("refused"):
        assert not house.reloading.asked()
    with counted("refused"), pytest.raises(RulesError, match="infos"):
        house.reloading.reload()
    assert (house.line, shown()) == (30, before)


def test_a_command_reloads_once_though_it_comes_in_every_partition(house: House) -> None:
    house.path.write_text(OTHERS)
    with counted("applied"):
        assert house.reloading.commanded("c1")
    house.path.write_text(RULES)
    for _ in range(8):
        assert not house.reloading.commanded("c1")
    assert house.line == 31
    assert house.reloading.commanded("c2")
    assert house.line == 30


def test_who_gave_the_command_has_done_it_when_it_comes_back(house: House) -> None:
    house.path.write_text(OTHERS)
    assert house.reloading.commanding("c1")
    house.path.write_text("")  # somebody writes it anew
    assert not house.reloading.commanded("c1")
    assert house.line == 31


async def test_where_the_settings_say_so_the_file_is_watched_and_a_wrong_one_told_once(
    house: House,
) -> None:
    watching = asyncio.create_task(house.reloading.watch())
    try:
        async with asyncio.timeout(10):
            house.path.write_text(OTHERS)
            while house.line != 31:  # noqa: ASYNC110  (a thread looks)
                await asyncio.sleep(0.01)
            with counted("refused"):
                house.path.write_text(WRONG)
                await asyncio.sleep(0.5)
            house.path.write_text(RULES)
            while house.line != 30:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()


async def test_unless_they_say_so_nobody_looks(house: House) -> None:
    never = replace(house.settings, rules_watch=0.0)
    async with asyncio.timeout(1):
        await Reloading(never, RulesFile(never), house.judge, lambda: []).watch()

"""A device in the midst of something in, and a hundred reloads in which only rules change that say
nothing about it; no event out, the state as it was, and the midst goes on as if there were none."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import pytest

from pipeline.rules import Device, Engine, Rulebook
from pipeline.rules.rulefile import parse
from tests.pipeline.rules.history import NO_GRACE, after
from tests.pipeline.rules.test_silence import Quiet, silence

RULES = """
[rules.heat]
metric = "temperature"
remind_every = "1h"
levels = [{ severity = "warning", above = 30, clear = 28 }, { severity = "danger", above = 35 }]

[rules.slow]
metric = "co2"
repeat = 3
levels = [{ severity = "info", above = 1000 }]

[rules.steady]
metric = "dust"
for = "25s"
levels = [{ severity = "info", above = 10 }]

[rules.lasting]
metric = "pressure"
keep_firing_for = "25s"
levels = [{ severity = "info", above = 1100 }]

[rules.rise]
metric = "wind"
of = "change"
over = "5m"
levels = [{ severity = "info", above = 10 }]

[rules.impossible]
kind = "range"
bounds = { humidity = [0, 100] }

[rules.stuck]
kind = "flatline"
metrics = ["battery"]
for = "20s"
repeat = 3

[rules.offline]
kind = "offline"
after = "60s"
danger_after = "1h"
"""
TIMES = range(0, 50, 10)
HASHES = 9  # of all rules, theirs or not: the place in a packed device


@cache
def others(number: int) -> Rulebook:
    """The rules, and one of a metric that is far from it: another one each time, or none."""
    level = f'{{ severity = "danger", above = {500 + number} }}'
    noise = f'[rules.noise]\nmetric = "noise"\nlevels = [{level}]\n'
    return parse(RULES if number % 3 == 2 else RULES + noise)


class Midst(NamedTuple):
    """Values at 0, 10, … 40; what was told by then, and what a later reading brings."""

    values: Iterable[dict[str, float]]
    told: list[str]
    later: dict[str, float]
    brings: list[str]
    but: str = ""


def always(**values: float) -> list[dict[str, float]]:
    return [values] * len(TIMES)


def one_by_one(metric: str, *values: float) -> list[dict[str, float]]:
    return [{metric: value} for value in values]


HOT = always(temperature=36.0)
FIRED, BACK = ["heat fired"], ["heat resolved"]
MIDST = {
    "calm": Midst(always(temperature=20.0), [], {"temperature": 36.0}, FIRED),
    "firing": Midst(HOT, FIRED, {"temperature": 20.0}, BACK),
    "acknowledged": Midst(
        HOT, [*FIRED, "heat acked"], {"temperature": 20.0}, BACK, "acknowledged"
    ),
    "silenced": Midst(HOT, FIRED, {"temperature": 20.0}, BACK, "silenced"),
    "stale under an offline alert": Midst(
        HOT,
        [*FIRED, "offline fired", "heat updated"],
        {"temperature": 36.0},
        ["offline resolved", "heat updated"],
        "silent",
    ),
    "a sensor's fault": Midst(
        always(humidity=200.0, temperature=36.0),
        ["impossible fired"],
        {"humidity": 50.0, "temperature": 36.0},
        ["impossible resolved", "heat fired"],
    ),
    "stuck": Midst(
        always(battery=50.0), ["stuck fired"], {"battery": 49.0}, ["stuck resolved"]
    ),
    "about to be stuck": Midst(
        one_by_one("battery", 47, 48, 49, 50, 50), [], {"battery": 50.0}, ["stuck fired"]
    ),
    "twice of three": Midst(
        one_by_one("co2", 400, 400, 400, 1200, 1200), [], {"co2": 1200.0}, ["slow fired"]
    ),
    "held half as long": Midst(
        one_by_one("dust", 5, 5, 5, 15, 15), [], {"dust": 15.0}, ["steady fired"]
    ),
    "kept though it is normal": Midst(
        one_by_one("pressure", 1200, 1200, 1200, 900, 900),
        ["lasting fired"],
        {"pressure": 900.0},
        ["lasting resolved"],
    ),
    "within a window": Midst(
        one_by_one("wind", 1, 2, 3, 4, 5), [], {"wind": 15.0}, ["rise fired"]
    ),
}  # fmt: skip


def in_the_midst(of: Midst) -> Quiet:
    silences = [silence(end=1_000)] if of.but == "silenced" else []
    told = Quiet(*silences, rulebook=others(0))
    for at, values in zip(TIMES, of.values, strict=True):
        told.hears(at, noise=10.0, **values)
    if of.but == "acknowledged":
        (alert,) = told.device.open_alerts()
        told.events += told.engine.acknowledge(told.device, alert.alert_id, "ann", None, after(41))
    if of.but == "silent":
        told.checks(150)
    if of.but == "silenced":
        assert [event.suppressed_by for event in told.events] == ["s1"]
    return told


def state(told: Quiet) -> list[Any]:
    packed = told.device.pack()
    hashes = packed.pop(HASHES)
    assert hashes == list(told.engine.rulebook.hashes)
    due = min(told.engine.due(told.device, NO_GRACE), told.silences.due(told.device))
    return [packed, due, told.silences.pack(), {*told.silences.marked}]


@pytest.mark.parametrize("name", MIDST)
def test_a_hundred_reloads_of_other_rules_emit_nothing_and_change_nothing(name: str) -> None:
    of = MIDST[name]
    told = in_the_midst(of)
    assert told.steps == of.told
    before, begin = state(told), 150 if of.but == "silent" else 41
    for number in range(1, 101):
        told.engine = Engine(others(number))
        if number % 2:  # by a new owner
            told.device = Device.unpack(told.device.id, told.device.pack())
        events = told.engine.adopt(told.device, after(begin + number / 50))
        told.silences.mark(told.device, events)
        assert events == []
        assert state(told) == before
    told.events.clear()
    told.hears(begin + 14, noise=10.0, **of.later)
    assert told.steps == of.brings

"""The rules of all devices in, what some of them may know of these out."""

from __future__ import annotations

import json
import tomllib
from fnmatch import fnmatchcase

import pytest

from pipeline.globs import meet
from pipeline.rules.description import described
from pipeline.rules.excerpt import excerpt
from pipeline.rules.rulefile import parse, parsed
from tests.pipeline.rules.test_layers import RULES as LAYERS

RULES = """
[groups]
cold = ["fridge-*", "freezer-1"]
warm = ["oven-*", "barn-heater"]

[rules.heat]
metric = "temperature"
levels = [{ severity = "danger", above = 40 }]

[rules.damp]
metric = "humidity"
levels = [{ severity = "warning", above = 80 }]
match = { group = ["hall", "cold"], device = ["hall/*", "fridge-*", "barn-1"] }

[rules.noise]
metric = "noise"
levels = [{ severity = "info", above = 90 }]
match = { device = ["vault-1", "oven-*"] }

[group.hall.heat]
enabled = false

[group.cold.heat]
levels = [{ severity = "info", above = 8 }]

[group.warm.noise]
enabled = false

[device.fridge-2.heat]
enabled = false

[device."fridge-*".heat]
repeat = 3

[device."*-1".noise]
enabled = false
"""
DEVICES = (
    "shed", "hall/1", "hall/2", "fridge-1", "fridge-2", "freezer-1", "oven-1", "oven-2", "barn-1",
    "barn-heater", "vault-1", "cold/1", "warm/1", "north/1", "south/1", "/1",
)  # fmt: skip
SCOPES = (
    ["*"], ["shed"], ["hall/*"], ["fridge-*"], ["fridge-2"], ["f*"], ["oven-?"], ["barn-*"],
    ["vault-[0-9]"], ["cold/*", "hall/2"], ["*/1"], ["north/*"],
)  # fmt: skip


def narrowed(text: str, *globs: str) -> dict[str, object]:
    return excerpt(described(parse(text)), lambda glob: any(meet(glob, ours) for ours in globs))


@pytest.mark.parametrize("scope", SCOPES, ids=lambda globs: ",".join(globs))
@pytest.mark.parametrize("text", [RULES, LAYERS], ids=["matching", "layers"])
def test_for_the_devices_that_it_is_for_it_means_what_the_whole_does(
    text: str, scope: list[str]
) -> None:
    book, ours = parse(text), parsed(narrowed(text, *scope))
    seen = [one for one in DEVICES if any(fnmatchcase(one, glob) for glob in scope)]
    assert seen
    for device in seen:
        assert ours.of(device) == book.of(device), device


def test_who_sees_all_devices_has_all_of_it() -> None:
    assert narrowed(RULES, "*") == described(parse(RULES))


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("shed", {"rules": ["heat"], "groups": {}, "group": [], "device": []}),
        (
            "hall/*",
            {"rules": ["heat", "damp"], "groups": {}, "group": ["hall"], "device": ["*-1"]},
        ),
        (
            "fridge-2",
            {"rules": ["heat", "damp"], "groups": {"cold": ["fridge-*"]}, "group": ["cold"],
             "device": ["fridge-2", "fridge-*"]},
        ),
        (
            "barn-*",
            {"rules": ["heat"], "groups": {"warm": ["barn-heater"]}, "group": ["warm"],
             "device": ["*-1"]},
        ),
        (
            "vault-1",
            {"rules": ["heat", "noise"], "groups": {}, "group": [], "device": ["*-1"]},
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_others_alone_is_not_in_it(scope: str, expected: dict[str, object]) -> None:
    told = narrowed(RULES, scope)
    assert {
        "rules": list(told["rules"]),
        "groups": told["groups"],
        "group": list(told["group"]),
        "device": list(told["device"]),
    } == expected


def test_of_a_list_of_devices_its_own_are_left() -> None:
    told = json.dumps(narrowed(RULES, "fridge-*"))
    for others in ("hall", "barn", "vault", "oven", "freezer", "warm"):
        assert others not in told


def test_rules_that_are_the_same_for_all_are_told_as_they_are() -> None:
    alike = "[rules.heat]\n" + RULES.partition("[rules.heat]")[2].partition("[rules.damp]")[0]
    assert "match" not in tomllib.loads(alike)["rules"]["heat"]
    assert narrowed(alike, "shed") == described(parse(alike))

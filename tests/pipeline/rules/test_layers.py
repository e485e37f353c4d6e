"""A device's id in, the rules that hold for it out: default, group, device, field by field."""

from __future__ import annotations

import pytest

from pipeline.rules import Device, Engine, Reading
from pipeline.rules.layers import group_of
from pipeline.rules.rulebook import Rulebook
from pipeline.rules.rulefile import parse
from tests.pipeline.rules.history import NO_GRACE, START

RULES = """
[groups]
cold = ["fridge-*", "freezer-1"]

[rules.heat]
metric = "temperature"
repeat = 2
levels = [{ severity = "info", above = 30, clear = 28 }, { severity = "danger", above = 40 }]

[rules.damp]
metric = "humidity"
levels = [{ severity = "warning", above = 80 }]
match = { group = ["north", "south"] }

[rules.noise]
metric = "noise"
levels = [{ severity = "info", above = 90 }]
enabled = false

[rules.offline]
kind = "offline"
after = "5m"

[group.cold.heat]
levels = [{ severity = "info", above = 8, clear = 7 }]

[device.fridge-2.heat]
repeat = 5

[device."fridge-*".heat]
levels = [{ severity = "danger", above = 35 }]

[device."north/*".noise]
enabled = true

[device."north/*".offline]
after = "20s"
"""


def page(device_id: str) -> Rulebook:
    return parse(RULES).of(device_id)


def heat(device_id: str) -> tuple[int, list[tuple[str, float, float]]]:
    (rule,) = [rule for rule in page(device_id).thresholds if rule.name == "heat"]
    return rule.repeat, [(level.severity, level.line, level.clear) for level in rule.levels]


@pytest.mark.parametrize(
    ("device_id", "expected"),
    [
        ("shed", (2, [("info", 30, 28), ("danger", 40, 40)])),
        ("freezer-1", (2, [("info", 8, 7), ("danger", 40, 40)])),  # its group's line
        ("fridge-1", (2, [("info", 8, 7), ("danger", 35, 35)])),  # its group's and its own
        ("fridge-2", (5, [("info", 8, 7), ("danger", 40, 40)])),  # the table that names it
        ("cold/1", (2, [("info", 8, 7), ("danger", 40, 40)])),  # the group is in the id
    ],
)
def test_a_device_overrides_its_group_and_that_the_default_field_by_field(
    device_id: str, expected: tuple[int, list[tuple[str, float, float]]]
) -> None:
    assert heat(device_id) == expected


def test_a_rule_applies_to_the_devices_that_it_matches() -> None:
    names = {
        device_id: {rule.name for rule in page(device_id).rules()}
        for device_id in ("shed", "north/1", "south/1", "west/1")
    }
    assert names == {
        "shed": {"heat", "offline"},
        "north/1": {"heat", "damp", "noise", "offline"},
        "south/1": {"heat", "damp", "offline"},
        "west/1": {"heat", "offline"},
    }


@pytest.mark.parametrize(
    ("match", "matched"),
    [
        ('device = "oven-*"', {"oven-1", "oven-2"}),
        ('device = ["oven-2", "north/?"]', {"oven-2", "north/1"}),
        ('device = "*", group = "north"', {"north/1"}),
        ('device = "oven-*", group = "north"', set()),  # both
    ],
)
def test_a_matcher_is_of_ids_and_groups_and_all_that_it_names_must_match(
    match: str, matched: set[str]
) -> None:
    one = """
    [rules.hot]
    metric = "temperature"
    levels = [{ severity = "info", above = 30 }]
    """
    book = parse(f"{one}match = {{ {match} }}")
    ids = ("oven-1", "oven-2", "north/1", "south/1")
    assert {device_id for device_id in ids if book.of(device_id).rules()} == matched


def test_what_holds_of_all_pages_holds_of_the_book() -> None:
    book = parse(RULES)
    assert book.metrics_named == {"temperature", "humidity", "noise"}
    assert Engine(book).calm == 20


def test_devices_with_the_same_tables_share_a_page() -> None:
    book = parse(RULES)
    assert book.of("shed-1") is book.of("shed-2")
    assert book.of("fridge-1") is not book.of("fridge-2")


@pytest.mark.parametrize(
    ("device_id", "group"),
    [("north/1/a", "north"), ("a", "letters"), ("/a", ""), ("1", "")],
)
def test_a_group_is_what_stands_before_the_first_slash_else_a_mapping(
    device_id: str, group: str
) -> None:
    assert group_of(device_id, {"letters": ["[a-z]", "/a"], "more": ["a"]}) == group


def test_each_device_is_judged_by_its_own_page() -> None:
    engine = Engine(parse(RULES))

    def fired(device_id: str, temperature: float) -> list[str]:
        device, events = Device(device_id), []
        for at in (START, START + 1):
            reading = Reading(device_id, None, at, {"temperature": temperature})
            events += engine.reading(device, reading, at, NO_GRACE)[1]
        return [event.severity for event in events]

    assert fired("shed", 36.0) == ["info"]
    assert fired("freezer-1", 36.0) == ["info"]
    assert fired("fridge-1", 36.0) == ["danger"]
    assert fired("fridge-2", 36.0) == []  # after five readings

"""A rules file in; its rules, or every mistake of it with the word that was meant."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.rules import DEFAULT, Flatline, Offline, Rulebook, Threshold
from pipeline.rules.description import describe, described
from pipeline.rules.faults import RulesError
from pipeline.rules.rulefile import parse, parsed

BAD = Path(__file__).with_name("bad")
DOCUMENTED = Path(__file__).parents[3] / "deploy" / "rules.toml"
EVERYTHING = """
retire_after = "3d"

[rules.heat]
metric = "temperature"
of = "mean"
over = "5m"
for = "90s"
repeat = 3
keep_firing_for = "15m"
remind_every = "4h"
levels = [{ severity = "info", above = 30, clear = 28.5 }, { severity = "danger", above = 40 }]

[rules.stuck]
kind = "flatline"
severity = "info"
metrics = ["temperature", "humidity"]
for = "6h"
repeat = 30

[rules.impossible]
kind = "range"
severity = "danger"
bounds = { co2 = [0, 10_000] }
remind_every = "1d"

[rules.silent]
kind = "offline"
after = "2m"
danger_after = "1h"
min_readings = 1

[rules.asleep]
metric = "noise"
levels = [{ severity = "info", below = 1 }]
enabled = false
"""


def test_the_documented_file_is_the_built_in_default() -> None:
    assert parse(DOCUMENTED.read_text()) == DEFAULT
    assert parse(DOCUMENTED.read_text()).hashes == DEFAULT.hashes


def test_two_rulebooks_that_differ_in_one_number_are_not_equal() -> None:
    changed = DOCUMENTED.read_text().replace("above = 35, clear = 33", "above = 35, clear = 32", 1)
    assert parse(changed) != DEFAULT


def test_every_example_of_the_documents_is_valid() -> None:
    readme = (DOCUMENTED.parents[1] / "README.md").read_text()
    written = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    comments = re.findall(r"((?:^#     .*\n)+)", DOCUMENTED.read_text(), re.MULTILINE)
    commented = [re.sub("^#     ", "", text, flags=re.MULTILINE) for text in comments]
    tables = [text for text in [*written, *commented] if "[rules." in text]
    assert len(tables) > 12
    for table in tables:
        parse(table)


def test_every_field_of_every_kind_is_read() -> None:
    book = parse(EVERYTHING)
    (heat,) = book.thresholds
    assert (heat.of, heat.over, heat.hold, heat.repeat, heat.keep, heat.remind) == (
        "mean", 300, 90, 3, 900, 14_400,
    )  # fmt: skip
    assert [(level.severity, level.line, level.clear) for level in heat.levels] == [
        ("info", 30, 28.5), ("danger", 40, 40),
    ]  # fmt: skip
    (stuck,) = book.flatlines
    assert stuck.spec() == Flatline("stuck", "info", ["temperature", "humidity"]).spec()
    (impossible,) = book.ranges
    assert (impossible.severity, impossible.remind) == ("danger", 86_400)
    assert book.offline is not None
    silent = Offline("silent", "warning", 120, 1, danger_after=3_600)
    assert book.offline.spec() == silent.spec()
    assert book.retire_after == 3 * 86_400


def test_a_disabled_rule_is_not_there_but_its_metric_is_named() -> None:
    book = parse(EVERYTHING)
    assert "asleep" not in {rule.name for rule in book.rules()}
    assert book.metrics_named == {"temperature", "humidity", "co2", "noise"}


def test_rules_described_are_the_same_when_read_again() -> None:
    for book in (DEFAULT, parse(EVERYTHING)):
        assert parse("\n".join(describe(book))) == book


def test_no_rules_at_all_are_written_down_as_such() -> None:
    assert parse("[rules]") == Rulebook()
    assert parse("\n".join(describe(Rulebook()))) == Rulebook()
    with pytest.raises(RulesError, match="there is no \\[rules\\]"):
        parse("# a file that somebody has just begun to write")


@pytest.mark.parametrize("given", ["1s", "3650d", "1.5s"])
def test_a_duration_is_from_a_second_to_ten_years(given: str) -> None:
    assert parse(f'retire_after = "{given}"\n[rules]').retire_after >= 1


@pytest.mark.parametrize(
    "example",
    [
        "[rules.x]\nmetric = 'co2'\nlevels = [{ severity = 'info', above = 1 }]",
        "[rules.x]\nmetric = '_a1'\nlevels = [{ severity = 'info', below = -1e3, clear = 0 }]",
    ],
)
def test_any_metric_can_have_a_rule(example: str) -> None:
    (rule,) = parse(example).rules()
    assert isinstance(rule, Threshold)
    assert parse(example).metrics_named == {rule.metric}


@pytest.mark.parametrize("bad", sorted(BAD.glob("*.toml")), ids=lambda bad: bad.stem)
def test_every_mistake_is_told_at_once_with_the_place_and_what_is_allowed(bad: Path) -> None:
    with pytest.raises(RulesError) as error:
        parse(bad.read_text(), bad.name)
    assert f"{error.value}\n" == bad.with_suffix(".txt").read_text()


def test_each_expectation_has_its_bad_file() -> None:
    stems = {path.stem for path in BAD.iterdir()}
    assert len(stems) >= 20
    assert {path.name for path in BAD.iterdir()} == {
        f"{stem}{kind}" for stem in stems for kind in (".toml", ".txt")
    }


LAYERED = (
    EVERYTHING
    + """
[groups]
kitchen = ["oven-*"]

[group.kitchen.heat]
levels = [{ severity = "danger", above = 300 }]

[device.freezer.heat]
enabled = false
"""
)


@pytest.mark.parametrize("text", [EVERYTHING, LAYERED, DOCUMENTED.read_text()])
def test_what_describes_a_book_is_a_rules_file_again(text: str) -> None:
    book = parse(text)
    again = parsed(json.loads(json.dumps(described(book))))
    for device in ("attic", "oven-1", "freezer"):
        assert again.of(device) == book.of(device)


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        (EVERYTHING, "# a word\n" + EVERYTHING.replace("40 }", "40.0 }"), True),
        (EVERYTHING, EVERYTHING.replace("above = 40", "above = 41"), False),
        (EVERYTHING, EVERYTHING.replace('"3d"', '"4d"'), False),
        (LAYERED, "# a word\n" + LAYERED, True),
        (LAYERED, EVERYTHING, False),
        (LAYERED, LAYERED.replace("above = 300", "above = 301"), False),
        (LAYERED, LAYERED.replace("freezer", "fridge"), False),
        (LAYERED, LAYERED.replace("oven-", "stove-"), False),
        (LAYERED, LAYERED.replace('"3d"', '"4d"'), False),
    ],
)
def test_books_have_the_same_fingerprint_where_they_are_the_same(
    text: str, other: str, same: bool
) -> None:
    assert (parse(text).fingerprint() == parse(other).fingerprint()) == same


def test_the_documented_file_has_the_fingerprint_of_the_built_in_default() -> None:
    assert parse(DOCUMENTED.read_text()).fingerprint() == DEFAULT.fingerprint()

"""Rules in, or the reason why not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from pipeline.rules import DEFAULT, Bounds, Level, Offline, Range, Rulebook, Threshold

ONE = [Level("danger", 35, 33)]


def test_the_default_rules_name_the_usual_metrics() -> None:
    assert DEFAULT.metrics_named == frozenset({"temperature", "humidity", "battery"})


def test_the_default_rules_are_the_contracts() -> None:
    rows = [
        (rule.name, rule.above, level.line, level.severity, level.clear)
        for rule in DEFAULT.thresholds
        for level in rule.levels
    ]
    assert rows == [
        ("temperature-high", True, 35, "danger", 33),
        ("temperature-low", False, 10, "warning", 12),
        ("humidity-high", True, 80, "warning", 75),
        ("humidity-low", False, 20, "warning", 25),
        ("battery", False, 20, "warning", 25),
        ("battery", False, 5, "danger", 8),
    ]


def test_the_quiet_band_of_a_metric_is_inside_of_all_its_lines() -> None:
    assert {metric: (band.low, band.high) for metric, band in DEFAULT.quiet.items()} == {
        "temperature": (10.0, 35.0),
        "humidity": (20.0, 80.0),
        "battery": (20.0, 100.0),
    }


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Level("fatal", 1, 0), "fatal is not one of info, warning, danger"),
        (lambda: Threshold("t", "m", "over", ONE), "neither above nor below"),
        (lambda: Threshold("t", "m", "above", []), "no level"),
        (lambda: Threshold("", "m", "above", ONE), "can't be the name"),
        (lambda: Threshold("a|b", "m", "above", ONE), "can't be the name"),
        (
            lambda: Threshold("t", "m", "above", [Level("danger", 35, 36)]),
            "clear line 36.0 is beyond the line 35.0",
        ),
        (
            lambda: Threshold("t", "m", "below", [Level("danger", 5, 4)]),
            "clear line 4.0 is beyond the line 5.0",
        ),
        (
            lambda: Threshold("t", "m", "above", [Level("info", 2, 1), Level("danger", 2, 1)]),
            "2.0 is not beyond 2.0",
        ),
        (
            lambda: Threshold("t", "m", "above", [Level("info", 2, 1), Level("info", 3, 1)]),
            "info is not above info",
        ),
        (lambda: Bounds("m", 1, 1), "1.0 is not below 1.0"),
        (lambda: Range("r", "info", [Bounds("m", 0, 1), Bounds("m", 0, 2)]), "two ranges"),
        (lambda: Offline(after=0), "must be above 0"),
        (lambda: Offline(gaps=0), "must be above 0"),
        (lambda: Rulebook(retire_after=0), "retire_after"),
        (
            lambda: Rulebook(
                [Threshold("t", "m", "above", ONE), Threshold("t", "n", "above", ONE)]
            ),
            "t: two rules have this name",
        ),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_in_words(
    make: Callable[[], object], why: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        make()

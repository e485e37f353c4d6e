"""A table or list of a rule in, the values that can stand in it out; its mistakes go to `Faults`.

What is wrong is left out of the values, so that what is asked of several of them together is only
asked of right ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any, Final

from pipeline.rules import fields
from pipeline.rules.faults import Faults, closest
from pipeline.rules.rulebook import SEVERITIES

LEVEL: Final[dict[str, fields.Field]] = {
    "severity": fields.severity,
    "above": fields.number,
    "below": fields.number,
    "clear": fields.number,
}


class Step:
    """A level as it is written, what of it can be read, and where it stands."""

    __slots__ = ("given", "number", "values", "where")

    def __init__(self, number: int, given: dict[str, Any], faults: Faults, where: str) -> None:
        self.number: Final = number
        self.where: Final = f"{where}, level {number}"
        self.given: Final = spelt(given, LEVEL, faults, self.where)
        self.values: Final = read(self.given, LEVEL, faults, self.where)

    def sided(self) -> bool:
        return ("above" in self.given) != ("below" in self.given)


def spelt(
    table: Mapping[str, Any], known: Collection[str], faults: Faults, where: str, what: str = ""
) -> dict[str, Any]:
    """What it says under known names, and under a misspelt one, unless the right one is there too:
    a typo shall not hide what is wrong with its value."""
    right = {key: given for key, given in table.items() if key in known}
    for key, given in table.items():
        if key not in known:
            faults.unknown(where, key, known, what)
            if meant := closest(key, known):
                right.setdefault(meant, given)
    return right


def read(
    table: Mapping[str, Any], known: Mapping[str, fields.Field], faults: Faults, where: str
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, given in spelt(table, known, faults, where).items():
        try:
            values[key] = known[key](given)
        except ValueError as error:
            faults.wrong(where, key, given, str(error))
    return values


def metrics(given: Any, faults: Faults, where: str) -> list[str]:
    if not isinstance(given, list) or not given:
        faults.wrong(where, "metrics", given, "a list of metrics")
        return []
    found: list[str] = []
    for one in given:
        name = _metric(one, "metrics", faults, where)
        if name in found:
            faults.add(where, f'metrics = "{name}" can\'t be twice; allowed: each metric once')
        elif name:
            found.append(name)
    return found


def bounds(given: Any, faults: Faults, where: str) -> dict[str, tuple[float, float]]:
    if not isinstance(given, dict) or not given:
        faults.wrong(where, "bounds", given, "a table such as { humidity = [0, 100] }")
        return {}
    place = f"{where}, bounds"
    for name in given:
        _metric(name, "metric", faults, place)
    return read(given, dict.fromkeys(given, fields.pair), faults, place)


def _metric(given: Any, field: str, faults: Faults, where: str) -> str:
    try:
        return fields.metric(given)
    except ValueError as error:
        faults.wrong(where, field, given, str(error))
        return ""


def levels(given: Any, faults: Faults, where: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given:
        allowed = 'a list such as [{ severity = "danger", above = 35, clear = 33 }]'
        faults.wrong(where, "levels", given, allowed)
        return []
    steps: list[Step] = []
    for number, level in enumerate(given, 1):
        if isinstance(level, dict):
            steps.append(_step(number, level, faults, where))
        else:
            faults.wrong(where, f"level {number}", level, "a table")
    sides = {"above" in one.given for one in steps if "above" in one.given or "below" in one.given}
    if len(sides) > 1:
        faults.add(where, "its levels are above and below: make it two rules")
    else:
        _check_ladder(steps, faults)
    return [step.values for step in steps]


def _step(number: int, level: dict[str, Any], faults: Faults, where: str) -> Step:
    step = Step(number, level, faults, where)
    if "severity" not in step.given:
        faults.add(step.where, "severity is missing")
    if not step.sided():
        faults.add(step.where, "exactly one of above and below is needed")
    elif "clear" in step.values:
        for side in step.values.keys() & {"above", "below"}:
            line, clear = step.values[side], step.values["clear"]
            if clear > line if side == "above" else clear < line:
                allowed = f"a number not {side} its line {step.given[side]}"
                faults.wrong(step.where, "clear", step.given["clear"], allowed)
    return step


def _check_ladder(steps: list[Step], faults: Faults) -> None:
    """From the mildest to the worst, and each line beyond the one before. A level whose severity
    nobody can guess has no place among those of an override, so its line isn't asked about."""
    placed = [
        one for one in steps if one.sided() and closest(one.given.get("severity"), SEVERITIES)
    ]
    for side in ("above", "below"):
        lined = [one for one in placed if side in one.values]
        for milder, worse in pairwise(lined):
            line, next_line = milder.values[side], worse.values[side]
            if next_line <= line if side == "above" else next_line >= line:
                allowed = f"a number {side} {milder.given[side]} of level {milder.number}"
                faults.wrong(worse.where, side, worse.given[side], allowed)
    named = [one for one in steps if "severity" in one.values]
    for milder, worse in pairwise(named):
        mild, bad = milder.values["severity"], worse.values["severity"]
        if SEVERITIES.index(bad) <= SEVERITIES.index(mild):
            allowed = f'a severity above "{mild}" of level {milder.number}: the mildest comes first'
            faults.wrong(worse.where, "severity", bad, allowed)

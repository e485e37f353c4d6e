"""One rule's table of the rules file in, the rule out; its mistakes go to `Faults`.

A kind of rule is a table of fields below, and the function that makes it of their values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.rules import fields
from pipeline.rules.faults import Faults
from pipeline.rules.rulebook import SEVERITIES, Bounds, Flatline, Level, Offline, Range, Threshold

Rule = Threshold | Range | Flatline | Offline

COMMON: Final[dict[str, fields.Field]] = {
    "enabled": fields.switch,
    "match": lambda given: given,  # read by the layers
    "remind_every": fields.reminder,
}
KINDS: Final[dict[str, dict[str, fields.Field]]] = {
    "threshold": {
        "metric": fields.metric,
        "levels": lambda given: given,  # read by `_levels`
        "for": fields.duration,
        "repeat": fields.whole,
        "keep_firing_for": fields.duration,
        "of": fields.view,
        "over": fields.duration,
    },
    "range": {"severity": fields.severity, "bounds": fields.bounds},
    "flatline": {
        "severity": fields.severity,
        "metrics": fields.metrics,
        "for": fields.duration,
        "repeat": fields.whole,
    },
    "offline": {
        "severity": fields.severity,
        "after": fields.after,
        "danger_after": fields.duration,
        "min_readings": fields.whole,
    },
}
NEEDED: Final = {
    "threshold": ("metric", "levels"),
    "range": ("bounds",),
    "flatline": ("metrics",),
    "offline": (),
}
LEVEL: Final[dict[str, fields.Field]] = {
    "severity": fields.severity,
    "above": fields.number,
    "below": fields.number,
    "clear": fields.number,
}


def make(name: str, table: Mapping[str, Any], faults: Faults, where: str) -> Rule | None:
    """None where there is a mistake."""
    before = len(faults)
    kind = table.get("kind", "threshold")
    if not isinstance(kind, str) or kind not in KINDS:
        faults.wrong(where, "kind", kind, ", ".join(KINDS))
        return None
    known = KINDS[kind] | COMMON
    values = read({key: table[key] for key in table if key != "kind"}, known, faults, where)
    for needed in NEEDED[kind]:
        if needed not in table:
            faults.add(where, f"{needed} is missing")
    if kind == "threshold" and "levels" in table:
        values["levels"] = _levels(table["levels"], faults, where)
    if len(faults) > before:
        return None
    return _made(kind, name, values, faults, where)


def read(
    table: Mapping[str, Any], known: Mapping[str, fields.Field], faults: Faults, where: str
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, given in table.items():
        if key not in known:
            faults.unknown(where, key, known)
            continue
        try:
            values[key] = known[key](given)
        except ValueError as error:
            faults.wrong(where, key, given, str(error))
    return values


def merged(table: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Field by field; of the levels, those of one severity, again field by field."""
    result = {**table, **override}
    if isinstance(table.get("levels"), list) and isinstance(override.get("levels"), list):
        levels = {_severity(level): level for level in table["levels"]}
        for level in override["levels"]:
            mild = levels.get(_severity(level))
            if isinstance(mild, dict) and isinstance(level, dict):
                level = {**mild, **level}
            levels[_severity(level)] = level
        result["levels"] = sorted(levels.values(), key=_rank)
    return result


def _severity(level: Any) -> str:
    return str(level.get("severity")) if isinstance(level, dict) else str(level)


def _rank(level: Any) -> int:
    names = SEVERITIES
    return names.index(_severity(level)) if _severity(level) in names else len(names)


def _levels(given: Any, faults: Faults, where: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given:
        allowed = 'a list such as [{ severity = "danger", above = 35, clear = 33 }]'
        faults.wrong(where, "levels", given, allowed)
        return []
    read_levels = []
    for number, level in enumerate(given, 1):
        if isinstance(level, dict):
            read_levels.append(_level(level, faults, f"{where}, level {number}"))
        else:
            faults.wrong(where, f"level {number}", level, "a table")
    sided = [one for one in given if isinstance(one, dict) and ("above" in one or "below" in one)]
    if len({"above" in level for level in sided}) > 1:
        faults.add(where, "its levels are above and below: make it two rules")
    return read_levels


def _level(level: dict[str, Any], faults: Faults, where: str) -> dict[str, Any]:
    values = read(level, LEVEL, faults, where)
    if "severity" not in level:
        faults.add(where, "severity is missing")
    if ("above" in level) == ("below" in level):
        faults.add(where, "exactly one of above and below is needed")
    return values


def _made(kind: str, name: str, values: dict[str, Any], faults: Faults, where: str) -> Rule | None:
    try:
        return MAKERS[kind](name, values)
    except ValueError as error:
        faults.add(where, str(error).removeprefix(f"{name}: "))
        return None


def _threshold(name: str, values: dict[str, Any]) -> Threshold:
    direction = "above" if "above" in values["levels"][0] else "below"
    return Threshold(
        name,
        values["metric"],
        direction,
        [
            Level(level["severity"], level[direction], level.get("clear", level[direction]))
            for level in values["levels"]
        ],
        hold=values.get("for", 0.0),
        repeat=values.get("repeat", 1),
        keep=values.get("keep_firing_for", 0.0),
        remind=values.get("remind_every", 0.0),
        of=values.get("of", "value"),
        over=values.get("over", 0.0),
    )


def _range(name: str, values: dict[str, Any]) -> Range:
    bounds = [Bounds(metric, low, high) for metric, (low, high) in values["bounds"].items()]
    severity = values.get("severity", "warning")
    return Range(name, severity, bounds, remind=values.get("remind_every", 0.0))


def _flatline(name: str, values: dict[str, Any]) -> Flatline:
    return Flatline(
        name,
        values.get("severity", "warning"),
        values["metrics"],
        hold=values.get("for", 21_600.0),
        repeat=values.get("repeat", 30),
        remind=values.get("remind_every", 0.0),
    )


def _offline(name: str, values: dict[str, Any]) -> Offline:
    return Offline(
        name,
        values.get("severity", "warning"),
        values.get("after"),
        values.get("min_readings", 4),
        danger_after=values.get("danger_after", 0.0),
        remind=values.get("remind_every", 0.0),
    )


MAKERS: Final[dict[str, Callable[[str, dict[str, Any]], Rule]]] = {
    "threshold": _threshold,
    "range": _range,
    "flatline": _flatline,
    "offline": _offline,
}

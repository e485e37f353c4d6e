"""One rule's table of the rules file in, the rule out; its mistakes go to `Faults`.

A kind of rule is a table of fields below, and the function that makes it of their values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.rules import fields, parts
from pipeline.rules.faults import Faults, closest, shown
from pipeline.rules.rulebook import (
    FLOOR,
    SEVERITIES,
    VIEWS,
    Bounds,
    Flatline,
    Level,
    Offline,
    Range,
    Threshold,
)

Rule = Threshold | Range | Flatline | Offline


def part(given: Any) -> Any:
    """Read by one of `PARTS`."""
    return given


COMMON: Final[dict[str, fields.Field]] = {
    "kind": part,  # read first of all
    "enabled": fields.switch,
    "match": part,  # read with the file
    "remind_every": fields.reminder,
}
KINDS: Final[dict[str, dict[str, fields.Field]]] = {
    "threshold": {
        "metric": fields.metric,
        "levels": part,
        "for": fields.duration,
        "repeat": fields.whole,
        "keep_firing_for": fields.duration,
        "of": fields.view,
        "over": fields.duration,
    },
    "range": {"severity": fields.severity, "bounds": part},
    "flatline": {
        "severity": fields.severity,
        "metrics": part,
        "for": fields.duration,
        "repeat": fields.several,
    },
    "offline": {
        "severity": fields.severity,
        "after": fields.after,
        "danger_after": fields.duration,
        "min_readings": fields.whole,
    },
}
# Of a rule whose kind nobody can tell: a repeat that any kind allows
OF_ANY: Final[dict[str, fields.Field]] = (
    KINDS["range"] | KINDS["flatline"] | KINDS["offline"] | KINDS["threshold"] | COMMON
)
PARTS: Final[dict[str, Callable[[Any, Faults, str], Any]]] = {
    "levels": parts.levels,
    "bounds": parts.bounds,
    "metrics": parts.metrics,
}
NEEDED: Final = {
    "threshold": ("metric", "levels"),
    "range": ("bounds",),
    "flatline": ("metrics",),
    "offline": (),
}
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "threshold": {"for": 0.0, "repeat": 1, "keep_firing_for": 0.0, "of": "value", "over": 0.0},
    "range": {"severity": "warning"},
    "flatline": {"severity": "warning", "for": 21_600.0, "repeat": 30},
    "offline": {"severity": "warning", "after": None, "danger_after": 0.0, "min_readings": 4},
}
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def kind_of(table: Mapping[str, Any]) -> str:
    """The kind that is meant; "" where nobody can tell."""
    return closest(_given_kind(table), KINDS)


def _given_kind(table: Mapping[str, Any]) -> Any:
    if "kind" in table:
        return table["kind"]
    unknown = [key for key in table if key not in OF_ANY]
    return next((table[key] for key in unknown if closest(key, ("kind",))), "threshold")


def make(name: str, table: Mapping[str, Any], faults: Faults, where: str) -> Rule | None:
    """None where there is a mistake."""
    before = len(faults)
    if not NAME.fullmatch(name):
        faults.add(where, "a name is 1 to 64 letters, digits, _ . -")
    kind, given_kind = kind_of(table), _given_kind(table)
    if kind != given_kind:
        faults.wrong(where, "kind", given_kind, ", ".join(KINDS))
    known = _fields(kind)
    given = parts.spelt(table, known, faults, where)
    values = _values(kind, given, known, faults, where)
    if len(faults) > before:
        return None
    return _made(kind, name, values, faults, where)


def try_alone(kind: str, override: Mapping[str, Any], faults: Faults, where: str) -> None:
    """Tell what its fields have wrong one by one, whatever the rule that it is laid over says."""
    known = _fields(kind)
    given = parts.spelt(override, known, faults, where)
    parts.read(given, known, faults, where)
    if "bounds" in given:
        parts.bounds(given["bounds"], faults, where)
    levels = given.get("levels")
    for level in levels if isinstance(levels, list) else []:
        if isinstance(level, dict):
            parts.read(level, parts.LEVEL, faults, where)


def _fields(kind: str) -> dict[str, fields.Field]:
    return KINDS[kind] | COMMON if kind else OF_ANY


def _values(
    kind: str,
    given: Mapping[str, Any],
    known: Mapping[str, fields.Field],
    faults: Faults,
    where: str,
) -> dict[str, Any]:
    values = {key: value for key, value in DEFAULTS.get(kind, {}).items() if key not in given}
    values.update(parts.read(given, known, faults, where))
    for needed in NEEDED[kind] if kind else ():
        if needed not in given:
            faults.add(where, f"{needed} is missing")
    for field, reader in PARTS.items():
        if field in given:
            values[field] = reader(given[field], faults, where)
    _check_view(given, values, faults, where)
    _check_danger(given, values, faults, where)
    return values


def _check_view(
    given: Mapping[str, Any], values: Mapping[str, Any], faults: Faults, where: str
) -> None:
    if "of" not in values or "over" not in values:
        return
    of, over = values["of"], values["over"]
    if over and of == "value":
        why = 'of = "value" can\'t be' if "of" in given else "of is missing"
        faults.add(where, f"{why} where over is given; allowed: {', '.join(VIEWS[1:])}")
    if not over and of != "value":
        allowed = 'a duration such as "5m"'
        faults.add(where, f'over is missing where of = "{of}"; allowed: {allowed}')


def _check_danger(
    given: Mapping[str, Any], values: Mapping[str, Any], faults: Faults, where: str
) -> None:
    danger_after = values.get("danger_after", 0.0)
    if not danger_after:
        return
    if values.get("severity") == "danger":
        faults.wrong(where, "severity", "danger", "info or warning where danger_after is given")
    if "after" not in values:
        return
    after, milder = values["after"], '"1m", the least of after = "auto"'
    if after is not None:
        milder = f"after = {shown(given['after'])}"
    if danger_after <= (FLOOR if after is None else after):
        allowed = f"a duration longer than {milder}"
        faults.wrong(where, "danger_after", given["danger_after"], allowed)


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
    """The one that is meant, so that a misspelt one is overridden all the same."""
    if not isinstance(level, dict):
        return str(level)
    return closest(level.get("severity"), SEVERITIES) or str(level.get("severity"))


def _rank(level: Any) -> int:
    names = SEVERITIES
    return names.index(_severity(level)) if _severity(level) in names else len(names)


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
        hold=values["for"],
        repeat=values["repeat"],
        keep=values["keep_firing_for"],
        remind=values.get("remind_every", 0.0),
        of=values["of"],
        over=values["over"],
    )


def _range(name: str, values: dict[str, Any]) -> Range:
    bounds = [Bounds(metric, low, high) for metric, (low, high) in values["bounds"].items()]
    return Range(name, values["severity"], bounds, remind=values.get("remind_every", 0.0))


def _flatline(name: str, values: dict[str, Any]) -> Flatline:
    return Flatline(
        name,
        values["severity"],
        values["metrics"],
        hold=values["for"],
        repeat=values["repeat"],
        remind=values.get("remind_every", 0.0),
    )


def _offline(name: str, values: dict[str, Any]) -> Offline:
    return Offline(
        name,
        values["severity"],
        values["after"],
        values["min_readings"],
        danger_after=values["danger_after"],
        remind=values.get("remind_every", 0.0),
    )


MAKERS: Final[dict[str, Callable[[str, dict[str, Any]], Rule]]] = {
    "threshold": _threshold,
    "range": _range,
    "flatline": _flatline,
    "offline": _offline,
}

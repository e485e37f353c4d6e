"""A rulebook in, the same as a rules file says it out: as tables, or as the lines of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.rules.fields import UNITS
from pipeline.rules.layers import Layers
from pipeline.rules.rulebook import Flatline, Offline, Range, Rulebook, Threshold


def describe(page: Rulebook) -> Iterator[str]:
    """Reading these lines gives the very rules of a device again."""
    yield f"retire_after = {_text(_duration(page.retire_after))}"
    if not page.rules():
        yield "[rules]"
    for name, table in _tables(page).items():
        yield ""
        yield f"[rules.{_text(name) if '.' in name else name}]"
        for field, value in table.items():
            yield f"{field} = {_text(value)}"


def described(book: Rulebook) -> dict[str, Any]:
    """What a rules file would say of these rules. Where devices have different ones, what it does
    say: rules, groups, and what is overridden."""
    if isinstance(book, Layers):
        return {"retire_after": _duration(book.retire_after), **book.written()}
    return {"retire_after": _duration(book.retire_after), "rules": _tables(book)}


def _tables(page: Rulebook) -> dict[str, dict[str, Any]]:
    return {rule.name: _table(rule) for rule in page.rules()}


def _table(rule: Threshold | Range | Flatline | Offline) -> dict[str, Any]:
    if isinstance(rule, Threshold):
        table = _threshold(rule)
    elif isinstance(rule, Range):
        bounds = {bound.metric: [bound.low, bound.high] for bound in rule.bounds}
        table = {"kind": "range", "severity": rule.severity, "bounds": bounds}
    elif isinstance(rule, Flatline):
        table = _flatline(rule)
    else:
        table = _offline(rule)
    return {**table, "remind_every": _duration(rule.remind)} if rule.remind else table


def _threshold(rule: Threshold) -> dict[str, Any]:
    side = "above" if rule.above else "below"
    table: dict[str, Any] = {"metric": rule.metric}
    if rule.over:
        table |= {"of": rule.of, "over": _duration(rule.over)}
    table["levels"] = [
        {"severity": level.severity, side: level.line, "clear": level.clear}
        for level in rule.levels
    ]
    if rule.hold:
        table["for"] = _duration(rule.hold)
    if rule.repeat > 1:
        table["repeat"] = rule.repeat
    if rule.keep:
        table["keep_firing_for"] = _duration(rule.keep)
    return table


def _flatline(rule: Flatline) -> dict[str, Any]:
    return {
        "kind": "flatline",
        "severity": rule.severity,
        "metrics": list(rule.metrics),
        "for": _duration(rule.hold),
        "repeat": rule.repeat,
    }


def _offline(rule: Offline) -> dict[str, Any]:
    after = "auto" if rule.after is None else _duration(rule.after)
    table: dict[str, Any] = {"kind": "offline", "severity": rule.severity, "after": after}
    if rule.danger_after:
        table["danger_after"] = _duration(rule.danger_after)
    return {**table, "min_readings": rule.min_readings}


def _duration(seconds: float) -> str:
    """In the largest unit that it is a whole number of."""
    for unit, size in reversed(UNITS.items()):
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds!r}s"


def _text(value: Any) -> str:
    """In TOML, which writes plain strings and numbers as JSON does."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_text(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "[\n" + "".join(f"    {_text(one)},\n" for one in value) + "]"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return json.dumps(value)

"""The rules of a device in, the same as lines of a rules file out."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.rules.fields import UNITS
from pipeline.rules.rulebook import Flatline, Offline, Range, Rulebook, Threshold


def describe(page: Rulebook) -> Iterator[str]:
    """Reading these lines gives the very rules again."""
    yield f"retire_after = {_duration(page.retire_after)}"
    for rule in page.rules():
        yield ""
        yield f'[rules."{rule.name}"]'
        if isinstance(rule, Threshold):
            yield from _threshold(rule)
        elif isinstance(rule, Range):
            yield 'kind = "range"'
            yield f'severity = "{rule.severity}"'
            bounds = ", ".join(f"{b.metric} = [{b.low!r}, {b.high!r}]" for b in rule.bounds)
            yield f"bounds = {{ {bounds} }}"
        elif isinstance(rule, Flatline):
            yield from _flatline(rule)
        else:
            yield from _offline(rule)
        if rule.remind:
            yield f"remind_every = {_duration(rule.remind)}"


def _threshold(rule: Threshold) -> Iterator[str]:
    yield f'metric = "{rule.metric}"'
    if rule.over:
        yield f'of = "{rule.of}"'
        yield f"over = {_duration(rule.over)}"
    side = "above" if rule.above else "below"
    yield "levels = ["
    for level in rule.levels:
        lines = f"{side} = {level.line!r}, clear = {level.clear!r}"
        yield f'    {{ severity = "{level.severity}", {lines} }},'
    yield "]"
    if rule.hold:
        yield f"for = {_duration(rule.hold)}"
    if rule.repeat > 1:
        yield f"repeat = {rule.repeat}"
    if rule.keep:
        yield f"keep_firing_for = {_duration(rule.keep)}"


def _flatline(rule: Flatline) -> Iterator[str]:
    yield 'kind = "flatline"'
    yield f'severity = "{rule.severity}"'
    metrics = ", ".join(f'"{metric}"' for metric in rule.metrics)
    yield f"metrics = [{metrics}]"
    yield f"for = {_duration(rule.hold)}"
    yield f"repeat = {rule.repeat}"


def _offline(rule: Offline) -> Iterator[str]:
    yield 'kind = "offline"'
    yield f'severity = "{rule.severity}"'
    yield 'after = "auto"' if rule.after is None else f"after = {_duration(rule.after)}"
    if rule.danger_after:
        yield f"danger_after = {_duration(rule.danger_after)}"
    yield f"min_readings = {rule.min_readings}"


def _duration(seconds: float) -> str:
    """In the largest unit that it is a whole number of."""
    for unit, size in reversed(UNITS.items()):
        if seconds % size == 0:
            return f'"{seconds / size:.0f}{unit}"'
    return f'"{seconds!r}s"'

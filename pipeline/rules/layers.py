"""A device's id in, the rules of that device out: what is written for all, its group and itself.

Of the device tables one applies: the one that names it, else the first whose pattern fits. The
pages are made on demand and shared by all devices to which the same tables apply, so a million
devices have a handful. What could go wrong in one was tried when the file was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from pipeline.rules.faults import Faults
from pipeline.rules.rulebook import Flatline, Offline, Range, Rulebook, Threshold
from pipeline.rules.specimen import Rule, make, merged

Tables = Mapping[str, Mapping[str, Any]]  # a table a rule
PAGES: Final = 10_000  # different sets of rules that are kept
WITH: Final = " with "  # where a mistake is that takes a group and a device together


def group_of(device_id: str, groups: Mapping[str, Sequence[str]]) -> str:
    """The part of the id before the first slash, else a mapping; "" where there is neither."""
    before, slash, _ = device_id.partition("/")
    if slash:
        return before
    return next((name for name, globs in groups.items() if _fits(device_id, globs)), "")


class Layers(Rulebook):
    """A rulebook whose pages differ. As a rulebook it is the page of a device nobody names."""

    __slots__ = ("_devices", "_group_tables", "_groups", "_pages", "_rules")

    def __init__(
        self,
        rules: Tables,
        groups: Mapping[str, Sequence[str]],
        group_tables: Mapping[str, Tables],
        devices: Mapping[str, Tables],
        retire_after: float,
    ) -> None:
        everyone = [rule for table in rules.values() if (rule := _made_for(table, "", ""))]
        thresholds, ranges, offline, flatlines = _sorted(everyone)
        super().__init__(thresholds, ranges, offline, retire_after, flatlines)
        self._rules: Final = rules
        self._groups: Final = groups
        self._group_tables: Final = group_tables
        self._devices: Final = devices
        self._pages: Final[dict[tuple[Any, ...], Rulebook]] = {}
        self._take_in(variants(rules, group_tables, devices))

    def of(self, device_id: str) -> Rulebook:
        group = group_of(device_id, self._groups)
        own = self._named(device_id)
        tables = self._applying(group, own)
        fitting = tuple(name for name, table in tables.items() if _applies(table, device_id, group))
        key = (group if group in self._group_tables else "", own, fitting)
        page = self._pages.get(key)
        if page is None:
            if len(self._pages) >= PAGES:
                self._pages.clear()
            page = self._pages[key] = self._page([tables[name] for name in fitting])
        return page

    def spec(self) -> tuple[Any, ...]:
        return ("layers", self.retire_after, self.written())

    def written(self) -> dict[str, Any]:
        """The tables as they stand in the file."""
        rules = {name: {**table} for name, table in self._rules.items()}
        for table in rules.values():
            del table["name"]
        tables = {"groups": self._groups, "group": self._group_tables, "device": self._devices}
        return {"rules": rules, **{name: dict(table) for name, table in tables.items() if table}}

    def _take_in(self, every: Iterable[Mapping[str, Any]]) -> None:
        """Metrics, shortest silence and who tells of it are those of all pages."""
        for table in every:
            rule = make(table["name"], _plain(table), Faults(""), "")
            if rule is not None:
                alone = _book([rule], self.retire_after)
                self.metrics_named |= alone.metrics_named
                self.shortest = min(self.shortest, alone.shortest)
                self.offline_name = self.offline_name or alone.offline_name

    def _named(self, device_id: str) -> str:
        if device_id in self._devices:
            return device_id
        return next((glob for glob in self._devices if fnmatchcase(device_id, glob)), "")

    def _applying(self, group: str, own: str) -> dict[str, dict[str, Any]]:
        result = {}
        for name, table in self._rules.items():
            over = merged(table, self._group_tables.get(group, {}).get(name, {}))
            result[name] = merged(over, self._devices.get(own, {}).get(name, {}))
        return result

    def _page(self, tables: Iterable[Mapping[str, Any]]) -> Rulebook:
        rules = [make(table["name"], _plain(table), Faults(""), "") for table in tables]
        page = _book([rule for rule in rules if rule], self.retire_after)
        page.root = self
        return page


def variants(
    rules: Tables, groups: Mapping[str, Tables], devices: Mapping[str, Tables]
) -> list[dict[str, Any]]:
    """Every table that some device's rule may come from, with where it was written."""
    result = []
    for name, table in rules.items():
        result.append({**table, "name": name, "where": f"rule {name}"})
        over = [("", table)]
        for group, tables in groups.items():
            if name in tables:
                over.append((f"group {group}", merged(table, tables[name])))
        for glob, tables in devices.items():
            if name in tables:
                over += [
                    (f"{where}{WITH if where else ''}device {glob}", merged(base, tables[name]))
                    for where, base in over
                    if not where.startswith("device ")
                ]
        for where, variant in over[1:]:
            result.append({**variant, "name": name, "where": f"{where}, rule {name}"})
    return result


def _made_for(table: Mapping[str, Any], device_id: str, group: str) -> Rule | None:
    if not _applies(table, device_id, group):
        return None
    return make(table["name"], _plain(table), Faults(""), "")


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in ("name", "where")}


def _applies(table: Mapping[str, Any], device_id: str, group: str) -> bool:
    if not table.get("enabled", True):
        return False
    match = table.get("match", {})
    return _fits(device_id, match.get("device", ["*"])) and _fits(group, match.get("group", ["*"]))


def _fits(text: str, globs: str | Sequence[str]) -> bool:
    return any(fnmatchcase(text, glob) for glob in ([globs] if isinstance(globs, str) else globs))


def _book(rules: Sequence[Rule], retire_after: float) -> Rulebook:
    thresholds, ranges, offline, flatlines = _sorted(rules)
    return Rulebook(thresholds, ranges, offline, retire_after, flatlines)


def _sorted(
    rules: Sequence[Rule],
) -> tuple[list[Threshold], list[Range], Offline | None, list[Flatline]]:
    return (
        [rule for rule in rules if isinstance(rule, Threshold)],
        [rule for rule in rules if isinstance(rule, Range)],
        next((rule for rule in rules if isinstance(rule, Offline)), None),
        [rule for rule in rules if isinstance(rule, Flatline)],
    )

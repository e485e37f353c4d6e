"""The text of a rules file in, a rulebook out; or `RulesError` with every mistake there is.

The file is all there is: a rule that isn't in it isn't judged. What it may say is documented in
`deploy/rules.toml`, which is the built-in default written down.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from pipeline.rules import fields
from pipeline.rules.faults import Faults, RulesError
from pipeline.rules.layers import WITH, Layers, Tables, variants
from pipeline.rules.parts import read, spelt
from pipeline.rules.rulebook import DAY, Rulebook
from pipeline.rules.specimen import kind_of, make, try_alone

TOP: Final = ("retire_after", "rules", "groups", "group", "device")
MATCH: Final[dict[str, fields.Field]] = {"device": fields.words, "group": fields.words}
FIXED: Final = ("kind", "metric", "metrics", "match")  # what a rule is about, whoever it is for
AS_ID: Final = re.compile(r"[A-Za-z0-9._:@/*?\[\]!-]{1,128}")


def parse(text: str, file: str = "rules.toml") -> Rulebook:
    """`file` is what the mistakes are told with."""
    return parsed(_loaded(text, file), file)


def _loaded(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        why = f"no TOML: {error}"
    except RecursionError:
        why = "its lists or tables are nested too deep"
    except ValueError:  # what int() says of more digits than it reads
        why = "a number has too many digits"
    raise RulesError([f"{file}: {why}"])


def parsed(written: Mapping[str, Any], file: str = "rules.toml") -> Rulebook:
    faults = Faults(file)
    content = spelt(written, TOP, faults, "")
    if "rules" not in content and not len(faults):  # a file that is being written looks like this
        faults.add("", "there is no [rules]: write it, with nothing in it, to mean none")
    top = {"retire_after": content.get("retire_after", "7d")}
    retire_after = read(top, {"retire_after": fields.duration}, faults, "").get("retire_after", DAY)
    rules = _rules(content.get("rules", {}), faults)
    groups = read_groups(content.get("groups", {}), faults)
    group_tables = _overrides("group", content.get("group", {}), rules, faults)
    devices = _overrides("device", content.get("device", {}), rules, faults)
    _try(rules, group_tables, devices, faults)
    faults.end()
    book = Layers(_named(rules), groups, group_tables, devices, retire_after)
    return book if group_tables or devices or _matching(rules) else _alike(book, retire_after)


def read_groups(given: Any, faults: Faults) -> dict[str, list[str]]:
    groups = _table("groups", given, faults)
    return read(groups, dict.fromkeys(groups, fields.words), faults, "groups")


def _rules(given: Any, faults: Faults) -> dict[str, dict[str, Any]]:
    rules = _tables("rule", given, faults)
    for name, table in rules.items():
        if "match" in table:
            match = _table(f"rule {name}, match", table["match"], faults)
            table["match"] = read(match, MATCH, faults, f"rule {name}, match")
    offline = [name for name, table in rules.items() if kind_of(table) == "offline"]
    for name in offline[1:]:
        faults.add(f"rule {name}", f"{offline[0]} is the offline rule already: there is one")
    return rules


def _overrides(
    kind: str, given: Any, rules: Mapping[str, Any], faults: Faults
) -> dict[str, dict[str, dict[str, Any]]]:
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for whose, given_tables in _tables(kind, given, faults).items():
        if not AS_ID.fullmatch(whose):
            faults.add(f"{kind} {whose}", "no device or group can have this name")
        tables = _tables(f"{kind} {whose}, rule", given_tables, faults)
        result[whose] = {}
        for name, table in spelt(tables, rules, faults, f"{kind} {whose}", "rule ").items():
            for field in FIXED:
                if field in table:
                    why = f"{field} can't be overridden: make it a rule of its own"
                    faults.add(f"{kind} {whose}, rule {name}", why)
            result[whose][name] = {key: it for key, it in table.items() if key not in FIXED}
    return result


def _try(rules: Any, groups: Any, devices: Any, faults: Faults) -> None:
    """Make every rule that some device may come to have. Of an override what its rule itself has
    wrong isn't told, unless it says so too, and of two together nothing that either has."""
    own: dict[str, frozenset[str]] = {}
    alone: dict[str, frozenset[str]] = {}
    written = _written("group", groups) | _written("device", devices)
    for table in variants(rules, groups, devices):
        name, where = table.pop("name"), table.pop("where")
        found = faults.apart()
        make(name, table, found, where)
        if where == f"rule {name}":
            own[name] = alone[name] = found.texts()
            faults.take(found, frozenset())
        elif WITH in where:
            faults.take(found, alone[name])
        else:
            said = faults.apart()
            try_alone(kind_of(table), written[where], said, where)
            faults.take(found, own[name] - said.texts())
            alone[name] |= found.texts()


def _written(kind: str, overrides: Mapping[str, Tables]) -> dict[str, Mapping[str, Any]]:
    """Each by the place that `variants` gives it."""
    return {
        f"{kind} {whose}, rule {name}": table
        for whose, tables in overrides.items()
        for name, table in tables.items()
    }


def _matching(rules: Mapping[str, Any]) -> bool:
    return any("match" in table for table in rules.values())


def _alike(book: Rulebook, retire_after: float) -> Rulebook:
    """All devices have the same rules: no page to look up."""
    plain = Rulebook(book.thresholds, book.ranges, book.offline, retire_after, book.flatlines)
    plain.metrics_named = book.metrics_named  # those of disabled rules too
    return plain


def _named(rules: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {**table, "name": name} for name, table in rules.items()}


def _table(where: str, given: Any, faults: Faults) -> dict[str, Any]:
    if isinstance(given, dict):
        return dict(given)
    faults.add(where, "is no table")
    return {}


def _tables(kind: str, given: Any, faults: Faults) -> dict[str, dict[str, Any]]:
    if not isinstance(given, dict):
        faults.add(kind, "is no table")
        return {}
    return {str(name): _table(f"{kind} {name}", table, faults) for name, table in given.items()}

"""The tables of a rules file in; those from which some devices have their rules out.

What can only concern others is left out: their rules, their groups, what is overridden for them,
and of every list of globs their own. For those devices the excerpt means what the file does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from glob import escape
from typing import Any

Reaches = Callable[[str], bool]
"""Whether a glob can fit one of the devices."""


def excerpt(written: Mapping[str, Any], reaches: Reaches) -> dict[str, Any]:
    groups = {
        name: kept
        for name, globs in written.get("groups", {}).items()
        if (kept := [glob for glob in globs if reaches(glob)])
    }

    def has(group: str) -> bool:
        """Whether one of the devices can be in a group of such a name."""
        named = any(fnmatchcase(name, group) for name in ("", *groups))
        return named or reaches(group + "/*")

    rules = {
        name: narrow
        for name, table in written["rules"].items()
        if (narrow := _matching(table, {"device": reaches, "group": has})) is not None
    }
    group = {
        name: _of(rules, tables)
        for name, tables in written.get("group", {}).items()
        if has(escape(name))
    }
    device = {
        glob: _of(rules, tables)
        for glob, tables in written.get("device", {}).items()
        if reaches(glob)
    }
    narrowed = {"groups": groups, "group": group, "device": device}
    return {**written, "rules": rules, **{key: narrowed[key] for key in narrowed if key in written}}


def _matching(table: Mapping[str, Any], reach: Mapping[str, Reaches]) -> Mapping[str, Any] | None:
    """The rule, its `match` narrowed; None where it is for others alone."""
    if "match" not in table:
        return table
    match: dict[str, Sequence[str]] = {}
    for whose, globs in table["match"].items():
        match[whose] = [glob for glob in globs if reach[whose](glob)]
        if not match[whose]:
            return None
    return {**table, "match": match}


def _of(rules: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: table for name, table in tables.items() if name in rules}

"""The README says what is true."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from pipeline.rules import Engine
from pipeline.rules.rulebook import DEFAULT
from pipeline.settings import PREFIX, Settings
from pipeline.words import window_json
from tests.pipeline.rules.history import History

README = (Path(__file__).parent.parent / "README.md").read_text()


def settings_table() -> str:
    lines = ["| setting | default | |", "|---|---|---|"]
    for field in dataclasses.fields(Settings):
        name = f"{PREFIX}{field.name.upper()}"
        default = "" if field.default in ((), frozenset()) else str(field.default)
        explain = field.metadata["explain"]
        if allowed := field.metadata.get("allowed"):
            explain += f": {', '.join(allowed)}"
        if field.metadata.get("secret"):
            explain += f"; `{name}_FILE` names a file that holds it"
        lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {explain} |")
    return "\n".join(lines)


def test_every_setting_is_explained_as_the_code_does():
    assert settings_table() in README


def test_every_default_rule_is_listed():
    rules = [*DEFAULT.thresholds, *DEFAULT.ranges, DEFAULT.offline]
    for rule in rules:
        assert rule is not None
        assert f"| `{rule.name}` |" in README


def test_the_lines_of_the_default_rules_are_the_ones_listed():
    for rule in DEFAULT.thresholds:
        (row,) = re.findall(rf"^\| `{rule.name}` \|(.*)$", README, re.MULTILINE)
        for level in rule.levels:
            assert f"{level.line:g}" in row
            assert f"{level.clear:g}" in row
            assert level.severity in row


def test_the_window_that_is_shown_is_one():
    (shown,) = re.findall(r'^{.*"revision".*}$', README, re.MULTILINE)
    told = History()
    told.engine = Engine(window=Settings().window)
    for at, value in [(10 * n, 21.6) for n in range(26)] + [(270, 20.9), (280, 22.0), (290, 21.2)]:
        told.reading(at, temperature=value)
    told.reading(300)
    (closed,) = told.engine.take_closed()
    assert json.loads(shown) == json.loads(window_json(closed))

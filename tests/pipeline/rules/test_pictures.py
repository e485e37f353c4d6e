"""What the documents draw of a rule, minute by minute, is what it does.

A picture is a table: a row of minutes, a row of each metric (nothing: no reading then), and what is
told, if anything: the severity that an alert has from then on, or else what became of it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.rules import Event
from pipeline.rules.rulefile import parse
from tests.pipeline.rules.history import History

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
RULES = (ROOT / "deploy" / "rules.toml").read_text()


def of_the_readme() -> list[tuple[str, str]]:
    return re.findall(r"```toml\n([^`]*)```\n\n```text\n(minute[^`]*)```", README)


def of_the_rules() -> list[tuple[str, str]]:
    """Below each other, indented, in one comment."""
    blocks = re.findall(r"(?:^#(?:     .*)?\n)+", RULES, re.MULTILINE)
    plain = ["\n".join(line[6:] for line in block.splitlines()) for block in blocks]
    found = [re.search(r"(\[rules\..*?)^(minute.*?^told.*?)$", text, re.M | re.S) for text in plain]
    return [(match[1], match[2]) for match in found if match]


def rows(picture: str) -> dict[str, list[str]]:
    lines = picture.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", lines[0])]
    return {
        line.split()[0]: [
            line[begin:end].strip()
            for begin, end in zip(starts[1:], [*starts[2:], None], strict=True)
        ]
        for line in lines
    }


def word(event: Event) -> str:
    is_severity = event.event == "fired" or event.reason == "severity_changed"
    return event.severity if is_severity else event.event


@pytest.mark.parametrize(("table", "picture"), [*of_the_readme(), *of_the_rules()])
def test_a_picture_is_what_its_rule_does(table: str, picture: str) -> None:
    drawn = rows(picture)
    minutes, told = drawn.pop("minute"), drawn.pop("told")
    history, found = History(parse(table)), []
    for column, minute in enumerate(minutes):
        values = {metric: float(row[column]) for metric, row in drawn.items() if row[column]}
        before = len(history.events)
        if values:
            history.reading(60.0 * float(minute), values=values)
        else:
            history.settle(60.0 * float(minute))
        found.append(", ".join(word(event) for event in history.events[before:]))
    assert found == told


def test_there_are_pictures_of_every_kind() -> None:
    for document in (of_the_readme(), of_the_rules()):
        tables = " ".join(table for table, _ in document)
        for thing in (
            *("levels", "repeat", "for =", "keep_firing_for", "remind_every", "over"),
            *('"range"', '"flatline"', '"offline"'),
        ):
            assert thing in tables, thing

"""The runbook has a section for every alert that can come, and commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from pipeline.cli import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/runbook.md").read_text()
RULES = sorted((ROOT / "deploy").glob("prometheus/rules/*.yml"))
ALERTS = set(re.findall(r"^ *- alert: (\w+)", "".join(map(Path.read_text, RULES)), re.M))
SECTIONS = re.findall(r"^### (SmartIot\w+)$", TEXT, re.M)
TITLES = re.findall(r"^#+ (.+)$", TEXT, re.M)
COMMANDS = sorted(
    set(re.findall(r"^ *\$ (?:\w+=\S+ )*smart-iot (.+)$", TEXT, re.M))
    | set(re.findall(r"`(?:\w+=\S+ )*smart-iot ([a-z][^`…]*)`", TEXT))
)
PAGE = 60  # lines


def test_every_alert_has_its_section_and_no_section_is_of_an_alert_that_is_gone():
    assert len(SECTIONS) == len(set(SECTIONS))
    assert set(SECTIONS) == (ALERTS if RULES else set(SECTIONS))
    assert {"SmartIotDown", "SmartIotBehind"} <= set(SECTIONS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_ours_is_one(command):
    name, *arguments = shlex.split(command)
    with click.Context(main) as context:
        found = main.get_command(context, name)
        assert found is not None, f"no command {name}"
        if arguments and arguments[0] != "--file":
            found.make_context(name, arguments, parent=context)


def test_every_reference_within_it_leads_somewhere():
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in TITLES}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_it_has_ten_pages_at_the_most():
    assert len(TEXT.splitlines()) <= 10 * PAGE

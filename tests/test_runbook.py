"""The runbook has a section for every alert that can come, and stays short."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/runbook.md").read_text()
RULES = sorted((ROOT / "deploy").glob("prometheus/rules/*.yml"))
ALERTS = set(re.findall(r"^ *- alert: (\w+)", "".join(map(Path.read_text, RULES)), re.M))
SECTIONS = re.findall(r"^### (SmartIot\w+)$", TEXT, re.M)
PAGE = 60  # lines


def test_every_alert_has_its_section_and_no_section_is_of_an_alert_that_is_gone():
    assert len(SECTIONS) == len(set(SECTIONS))
    assert set(SECTIONS) == ALERTS
    assert {"SmartIotDown", "SmartIotBehind"} <= set(SECTIONS)


def test_it_has_ten_pages_at_the_most():
    assert len(TEXT.splitlines()) <= 10 * PAGE

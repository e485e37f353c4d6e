"""alertmanager.yml is one, and the real Alertmanager that reads it takes an alarm."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import DEPLOY

CONFIG = DEPLOY / "alertmanager" / "alertmanager.yml"

pytestmark = pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool isn't installed")


def amtool(*arguments: str | Path) -> str:
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_finds_nothing_wrong() -> None:
    assert "SUCCESS" in amtool("check-config", CONFIG)


def test_an_alarm_goes_to_nobody_until_somebody_is_named() -> None:
    arguments = ("config", "routes", "test", f"--config.file={CONFIG}", "severity=critical")
    assert amtool(*arguments).split() == ["nobody"]


def test_the_examples_are_right_once_their_signs_are_taken_away(tmp_path: Path) -> None:
    text = re.sub(r"^  # (- name|  )", r"  \1", CONFIG.read_text(), flags=re.MULTILINE)
    assert "\n  - name: mail\n    email_configs:\n" in text
    assert "\n  - name: chat\n    slack_configs:\n" in text
    (tmp_path / "alertmanager.yml").write_text(text)
    assert "3 receivers" in amtool("check-config", tmp_path / "alertmanager.yml")

"""A rules file in; exit code, what is printed and what is complained of."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.rules.rulefile import parse

RULES = """
[rules.heat]
metric = "temperature"
levels = [{ severity = "danger", above = 35, clear = 33 }]

[device.oven.heat]
levels = [{ severity = "danger", above = 300, clear = 290 }]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def check(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, arguments)])


def test_a_file_without_mistakes_is_said_to_be_one(rules: Path) -> None:
    result = check(rules)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "no mistakes; the rules name temperature" in result.stdout


def test_every_mistake_is_a_line_on_standard_error(rules: Path) -> None:
    rules.write_text(RULES.replace("clear = 33", "claer = 33").replace('"danger"', '"dangr"', 1))
    result = check(rules)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"{rules}: rule heat, level 1: there is no claer, did you mean clear?;"
        " allowed: severity, above, below, clear",
        f'{rules}: rule heat, level 1: severity = "dangr" can\'t be, did you mean danger?;'
        " allowed: info, warning, danger",
    ]


def test_the_rules_of_a_device_are_printed_as_a_rules_file(rules: Path) -> None:
    result = check(rules, "--device", "oven")
    assert result.exit_code == 0
    assert parse(result.stdout) == parse(RULES).of("oven")
    assert parse(result.stdout) != parse(RULES).of("toaster")


def test_a_file_that_is_no_text_is_a_mistake(rules: Path) -> None:
    rules.write_bytes(b"\xff\xfe")
    assert (check(rules).exit_code, check(rules).stderr) == (1, f"{rules}: isn't UTF-8\n")


def test_a_file_that_is_not_there_is_a_wrong_command_line(tmp_path: Path) -> None:
    result = check(tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_an_id_that_no_device_can_have_is_a_wrong_command_line(rules: Path) -> None:
    result = check(rules, "--device", "oven 1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no device can have this id" in result.stderr

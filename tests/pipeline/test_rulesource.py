"""A rules file that somebody edits in; when there is something new to read out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.rules import DEFAULT
from pipeline.rules.faults import RulesError
from pipeline.rulesource import RulesFile, rules_of
from pipeline.settings import Settings

ONE = '[rules.hot]\nmetric = "temperature"\nlevels = [{ severity = "info", above = 30 }]\n'
OTHER = ONE.replace("30", "31")


class Editor:
    """Each time that something is written is another one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times = 0

    def write(self, text: str) -> None:
        self.times += 1
        self.path.write_text(text)
        os.utime(self.path, (self.times, self.times))


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    editor = Editor(tmp_path / "rules.toml")
    editor.write(ONE)
    return editor


@pytest.fixture
def file(editor: Editor) -> RulesFile:
    file = RulesFile(replace(Settings(), rules=str(editor.path)))
    file.read()
    return file


def looks(file: RulesFile, number: int = 4) -> int:
    """How often there is something new, if each time it is read."""
    found = 0
    for _ in range(number):
        if file.has_changed():
            found += 1
            try:
                file.read()
            except RulesError:
                continue
    return found


def test_without_a_file_the_rules_are_the_built_in_ones_for_ever() -> None:
    file = RulesFile(Settings())
    assert file.read() is DEFAULT
    assert rules_of(Settings()) is DEFAULT
    assert looks(file) == 0


def test_a_file_that_nobody_touches_has_nothing_new(file: RulesFile) -> None:
    assert looks(file) == 0


def test_other_content_is_new_once(editor: Editor, file: RulesFile) -> None:
    looks(file)
    editor.write(OTHER)
    assert looks(file) == 1
    assert file.read().thresholds[0].levels[0].line == 31


def test_what_is_still_being_written_waits_for_the_next_look(
    editor: Editor, file: RulesFile
) -> None:
    looks(file)
    for text in (OTHER[:20], OTHER[:60], OTHER):
        editor.write(text)
        assert not file.has_changed()
    assert file.has_changed()


def test_a_touch_and_the_same_content_again_are_nothing_new(
    editor: Editor, file: RulesFile
) -> None:
    looks(file)
    editor.write(ONE)
    assert looks(file) == 0


@pytest.mark.parametrize("wrong", ["[rules", "", "x = 1"])
def test_a_wrong_file_is_told_once_and_so_is_the_way_back(
    editor: Editor, file: RulesFile, wrong: str
) -> None:
    looks(file)
    editor.write(wrong)
    assert looks(file, 10) == 1
    editor.write(wrong)
    assert looks(file) == 0
    editor.write(ONE)
    assert looks(file) == 1


def test_a_file_that_is_gone_is_told_once_and_seen_when_it_is_back(
    editor: Editor, file: RulesFile
) -> None:
    looks(file)
    editor.path.unlink()
    assert looks(file, 10) == 1
    editor.write(OTHER)
    assert looks(file) == 1


def test_what_was_read_in_between_at_somebodys_word_is_nothing_new(
    editor: Editor, file: RulesFile
) -> None:
    looks(file)
    editor.write(OTHER)
    file.read()
    assert looks(file) == 0

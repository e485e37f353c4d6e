"""Settings and log records in; lines on standard error out."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from pipeline.logs import SECONDS, Json, Lines, Repeats, Text, answering, is_json, secrets_of
from pipeline.settings import Settings
from tests.lab import python, started

PASSWORD = "p%ss w/rd"  # noqa: S105


def record(message: str, *args: Any, at: float = 0.0, line: int = 1, **more: Any) -> Any:
    made = logging.LogRecord("pipeline.x", logging.WARNING, "x.py", line, message, args, None)
    made.created = at
    vars(made).update(more)
    return made


class Written(Lines):
    """What a handler would have written, as (message, times repeated)."""

    def __init__(self, burst: int, counted: int = logging.NOTSET) -> None:
        super().__init__(Repeats(), burst, counted)
        self.told: list[tuple[str, int]] = []

    def format(self, record: logging.LogRecord) -> str:
        self.told.append((record.getMessage(), getattr(record, "repeated", 0)))
        return ""


def test_a_line_of_json_has_its_time_level_origin_and_fields() -> None:
    made = record("%s is hot", "hall", at=1_795_602_400.5, status=503, path="/")
    assert json.loads(Json().format(made)) == {
        "timestamp": "2026-11-25T10:26:40.500Z",
        "level": "warning",
        "logger": "pipeline.x",
        "message": "hall is hot",
        "status": 503,
        "path": "/",
    }


def test_an_exception_is_a_field_of_its_line() -> None:
    try:
        raise ValueError("hot")
    except ValueError as error:
        made = record("failed", exc_info=(type(error), error, error.__traceback__))
    line = Json().format(made)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("\nValueError: hot")
    assert Text().format(made).endswith("\n    ValueError: hot")


def test_what_no_form_can_hold_does_not_break_a_line() -> None:
    line = Json().format(record("%s", "a\nb\x1b[1m\udc80", device=object()))
    assert "\n" not in line
    assert json.loads(line)["message"] == "a\nb\x1b[1m\udc80"


def test_nothing_in_a_text_can_pass_for_another_line_or_speak_to_the_terminal() -> None:
    line = Text().format(record("hot\n2026-11-26 INFO forged: \x1b[2Jwell"))
    assert "\n    2026-11-26 INFO forged: \\x1b[2Jwell" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("form", "terminal", "machine"),
    [("AUTO", False, True), ("AUTO", True, False), ("JSON", True, True), ("TEXT", False, False)],
)
def test_people_read_terminals_unless_they_say_otherwise(
    form: str, terminal: bool, machine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    assert is_json(replace(Settings(), log_format=form)) is machine


def test_no_line_holds_a_secret_of_the_settings() -> None:
    secrets = secrets_of(replace(Settings(), sasl_password=PASSWORD))
    for form in (Json(secrets), Text(secrets)):
        line = form.format(record("login with %s failed", PASSWORD, url=f"x://{PASSWORD}@y"))
        assert PASSWORD not in line
        assert "(hidden)" in line


def test_a_short_secret_is_not_looked_for() -> None:
    assert secrets_of(replace(Settings(), sasl_password="iot")) == ()  # noqa: S106


# -- repeats


def test_the_same_line_is_written_once_and_then_told_with_a_count() -> None:
    written = Written(burst=20)
    for second in range(21):
        written.emit(record("no answer", at=float(second)))
    assert written.told == [("no answer", 0), ("no answer", 9), ("no answer", 10)]
    written.close()
    assert written.told[3:] == [("no answer", 1)]


def test_a_line_that_comes_seldom_is_written_each_time() -> None:
    written = Written(burst=1)
    for number in range(3):
        written.emit(record("no answer", at=number * SECONDS))
    assert written.told == [("no answer", 0)] * 3


def test_other_lines_of_one_place_are_written_until_they_are_too_many() -> None:
    written = Written(burst=3)
    for number in range(10):
        written.emit(record("offset %d", number, at=0.1 * number))
    written.emit(record("something else", at=SECONDS, line=2))
    assert written.told == [
        *[(f"offset {number}", 0) for number in range(3)],
        ("offset 9", 7),
        ("something else", 0),
    ]


def test_a_line_of_another_place_tells_what_was_held_back_when_it_is_time() -> None:
    written = Written(burst=1)
    for at in (0.0, 1.0, 2.0):
        written.emit(record("no answer", at=at))
    written.emit(record("caught up", at=SECONDS - 1, line=2))
    assert written.told[1:] == [("caught up", 0)]
    written.emit(record("viewer", at=SECONDS, line=3))
    assert written.told[2:] == [("no answer", 2), ("viewer", 0)]


def test_before_a_process_ends_all_is_told() -> None:
    written = Written(burst=1)
    for message in ("no answer", "no answer"):
        written.emit(record(message))
    written.emit(record("ending this process", levelno=logging.CRITICAL))
    assert written.told == [("no answer", 0), ("no answer", 1), ("ending this process", 0)]


def test_what_is_less_than_a_warning_is_never_held_back_of_ours() -> None:
    written = Written(burst=1, counted=logging.WARNING)
    for _ in range(3):
        written.emit(record("restored", levelno=logging.INFO))
    assert written.told == [("restored", 0)] * 3


def test_a_clock_that_is_set_back_holds_nothing_back_for_hours() -> None:
    written = Written(burst=1)
    written.emit(record("no answer", at=10_000.0))
    written.emit(record("no answer", at=1.0))
    assert written.told == [("no answer", 0)] * 2


# -- requests


async def test_lines_carry_the_request_they_belong_to_and_no_longer() -> None:
    written = Written(burst=1)

    async def goes_on() -> list[Any]:
        found = []
        for _ in range(2):
            written.emit(made := record("at work"))
            found.append(getattr(made, "request_id", None))
            await answered.wait()
        return found

    answered = asyncio.Event()
    with answering("r-1"):
        background = asyncio.create_task(goes_on())
        await asyncio.sleep(0)
    answered.set()
    assert await background == ["r-1", None]


def test_libraries_and_warnings_of_python_come_in_the_same_form() -> None:
    code = """
import logging, warnings
from pipeline.logs import configure
from pipeline.settings import from_environment
configure(from_environment())
logging.getLogger("aiokafka.conn").warning("no %s", "answer")
logging.getLogger("pipeline.web").info("caught up")
logging.getLogger("aiokafka").info("unseen")
warnings.warn("old")
"""
    with started(*python(code)) as program:
        lines = [json.loads(line) for line in program.lines.rest()]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("aiokafka.conn", "warning"),
        ("pipeline.web", "info"),
        ("py.warnings", "warning"),
    ]

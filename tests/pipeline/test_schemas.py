"""The JSON Schemas: the files are what the records say, and what is written is what they say."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline import commands
from pipeline.commands import AckBody, SilenceBody
from pipeline.records import Rejected, decode, parse_time
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.schemas import KINDS, schema, text
from pipeline.shapes import AlertEvent, ClosedWindow
from pipeline.words import event_json, window_json

FOLDER = Path(__file__).parents[2] / "docs/schemas"
T0 = 1_700_000_000.0


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_are_what_the_records_say(kind: str) -> None:
    written = (FOLDER / f"{kind}.schema.json").read_text()
    assert written == text(schema(kind)), "make schemas writes them anew"
    Draft202012Validator.check_schema(json.loads(written))


def test_there_are_no_other_files() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{kind}.schema.json" for kind in KINDS}


def told() -> tuple[list[bytes], list[bytes]]:
    """Events and windows of a device that is hot, mute, back, broken and silent again."""
    engine, device, events = Engine(window=300.0), Device("greenhouse-7"), []
    history = [
        (0, 20.0),
        (10, 20.0),
        (20, 20.0),
        (30, 36.0),
        (40, 37.0),
        (1_000, 20.0),
        (1_010, 99.0),
    ]
    for after, temperature in history:
        reading = Reading(device.id, None, T0 + after, {"temperature": temperature, "co2": 400.0})
        events += engine.reading(device, reading, T0 + after, 0.0)[1]
    events += engine.settle(device, T0 + 9_000, 0.0)
    events += engine.settle(device, T0 + 30 * 86_400, 0.0)
    return [event_json(one) for one in events], [window_json(one) for one in engine.take_closed()]


def test_alert_events_are_as_their_schema_says() -> None:
    events, _ = told()
    seen = {(one["event"], one["reason"]) for one in map(json.loads, events)}
    assert {("fired", "threshold"), ("fired", "offline"), ("fired", "sensor_fault")} <= seen
    assert {("resolved", "device_retired"), ("updated", "stale")} <= seen
    for one in events:
        validator("alert-event").validate(json.loads(one))
        assert [*json.loads(one), "devices"] == [*AlertEvent.__struct_fields__]


def test_windows_are_as_their_schema_says() -> None:
    _, windows = told()
    assert len(windows) > 3
    for one in windows:
        validator("window").validate(json.loads(one))
        assert [*json.loads(one)] == [*ClosedWindow.__struct_fields__]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("seq", 0), ("event", "shouted"), ("started_at", "noon"), ("schema", 2), ("acked", None)],
)
def test_an_event_that_says_something_else_is_found(field: str, wrong: Any) -> None:
    one = json.loads(told()[0][0])
    assert not validator("alert-event").is_valid({**one, field: wrong})
    del one[field]
    assert not validator("alert-event").is_valid(one)


COMMANDS = [
    commands.acknowledge("hall/1", "a1", AckBody("ada", "on my way"), T0),
    commands.silence(SilenceBody("ada", commands._moment(T0 + 60), device="lab-*"), T0),
    commands.unsilence("s1", "ada", T0),
    commands.reload("ada", T0),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: type(one).__name__)
def test_commands_are_as_their_schema_says_and_nothing_else_is(command: Any) -> None:
    written = json.loads(commands.encode(command))
    validator("command").validate(written)
    for wrong in ({**written, "more": 1}, {**written, "command": "shout"}, {**written, "by": ""}):
        assert not validator("command").is_valid(wrong)
        with pytest.raises(commands.Refused):
            commands.decode(json.dumps(wrong).encode())


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"device_id": "attic", "co2": 1}, True),
        ({"device_id": 5, "co2": 1.5, "timestamp": "2026-11-22T10:00:00Z", "sequence": 7}, True),
        ({"device_id": "hall/1", "co2": 1, "timestamp": 1_700_000_000_000, "note": "dusty"}, True),
        ({"device_id": "attic", "co2": 1, "timestamp": None, "sequence": None}, True),
        ({"device_id": "a" * 128, "temperature": 0, "humidity": None}, True),
        ({"co2": 1}, False),
        ({"device_id": None, "co2": 1}, False),
        ({"device_id": "", "co2": 1}, False),
        ({"device_id": "a" * 129, "co2": 1}, False),
        ({"device_id": "..", "co2": 1}, False),
        ({"device_id": "a b", "co2": 1}, False),
        ({"device_id": 5.5, "co2": 1}, False),
        ({"device_id": True, "co2": 1}, False),
        ({"device_id": "attic"}, False),
        ({"device_id": "attic", "co2": 1, "timestamp": True}, False),
        ([], False),
    ],
)
def test_the_schema_of_a_reading_says_what_who_reads_it_says(fields: Any, fits: bool) -> None:
    assert validator("reading").is_valid(fields) == fits
    raw = json.dumps(fields).encode()
    try:
        decode(raw, T0, named=frozenset({"humidity"}), naive_timezone=UTC)
    except Rejected:
        assert not fits
    else:
        assert fits


def test_the_times_that_we_write_are_ones_that_we_read() -> None:
    one = json.loads(told()[0][0])
    assert parse_time(one["started_at"]) == T0 + 30

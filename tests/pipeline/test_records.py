"""Bytes of all kinds in, readings or reasons out; events in, what the seed's viewer shows out."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import records
from pipeline.records import MAX_BYTES, MAX_DEPTH, Rejected, decode, iso, parse_time
from pipeline.rules import DEFAULT, Engine, Offline, Reading, Rulebook
from pipeline.words import event_json, window_json
from tests.pipeline.rules.history import LADDER, START, History, play, wire

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
BOMB = b'{"device_id": "d", "t": ' + b"[" * 400_000


def read(raw: bytes | None, **more: Any) -> tuple[Reading, list[str]]:
    named = frozenset(more.get("named", DEFAULT.metrics_named))
    return decode(raw, 1_000.0, named=named, naive_timezone=more.get("zone", UTC))


def reason(raw: bytes | None, **more: Any) -> str:
    with pytest.raises(Rejected) as rejected:
        read(raw, **more)
    return rejected.value.reason


def said(fields: str) -> bytes:
    return f'{{"device_id": "d", "temperature": 20.0, {fields}}}'.encode()


# -- whole readings


def test_the_contracts_reading_is_read() -> None:
    reading, refused = read(
        b'{"device_id": "greenhouse-7", "temperature": 36.2, "humidity": 55.1, "battery": 87,'
        b' "timestamp": "2026-11-22T10:00:00Z", "sequence": 12, "site": "north", "tags": ["a"]}'
    )
    assert (reading.device_id, reading.time, reading.record_time, reading.sequence) == (
        "greenhouse-7", START, 1_000.0, 12,
    )  # fmt: skip
    assert reading.values == {"temperature": 36.2, "humidity": 55.1, "battery": 87.0}
    assert all(type(value) is float for value in reading.values.values())
    assert refused == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "not_json"),
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"hello", "not_json"),
        (b'{"device_id": "d", "temperature": 1}x', "not_json"),
        (b'\xef\xbb\xbf{"device_id": "d", "temperature": 1}', "not_json"),
        ('{"device_id": "d", "temperature": 1}'.encode("utf-16"), "not_utf8"),
        (b'{"device_id": "\xff", "temperature": 1}', "not_utf8"),
        (b'{"device_id": "d", "temperature": 1, "x": "\xed\xa0\x80"}', "not_utf8"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"NaN", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"{}", "no_device_id"),
        (b'{"temperature": 20}', "no_device_id"),
        (b'{"device_id": null, "temperature": 20}', "no_device_id"),
        (b'{"device_id": "d"}', "no_metric"),
        (b'{"device_id": "d", "timestamp": 1, "sequence": 2}', "no_metric"),
        (b'{"device_id": "d", "temperature": "20"}', "no_metric"),
        (b'{"device_id": "d", "site": "north"}', "no_metric"),
        (b'{"device_id": "d", "temperature": 1, "temperature": 2}', "duplicate_key"),
        (b'{"device_id": "d", "device_id": "d", "temperature": 2}', "duplicate_key"),
        (b'{"device_id": "d", "temperature": 1, "x": {"a": 1, "a": 1}}', "duplicate_key"),
        (b'{"device_id": "d", "temperature": 1, "x": [[{"a": 1, "a": 1}]]}', "duplicate_key"),
        (b'{"device_id": "d", "temperature": 1, "\\u0074emperature": 1}', "duplicate_key"),
        (b'{"device_id": "d", "x":1, "x":2, "temperature" : 1}', "duplicate_key"),
        (b'{"device_id": "d", "x": "1", "x": "\\"", "temperature": 1}', "duplicate_key"),
        (BOMB, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b"[]" * 400_000, "not_json"),
        (b'{"device_id": "' + b'\\"' * 400_000, "not_json"),
    ],
)
def test_what_is_no_reading_is_rejected_with_its_reason(raw: bytes | None, expected: str) -> None:
    assert reason(raw) == expected


def test_a_reading_may_have_a_million_bytes_and_not_one_more() -> None:
    shell = len(said('"x": ""'))
    read(said(f'"x": "{"y" * (MAX_BYTES - shell)}"'))
    assert reason(said(f'"x": "{"y" * (MAX_BYTES - shell + 1)}"')) == "too_large"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}"), ('[{"a":', "}]")])
def test_a_reading_may_be_as_deep_as_the_limit_and_no_deeper(opening: str, closing: str) -> None:
    levels = len(closing)
    fits = (MAX_DEPTH - 2) // levels * levels
    inner = "[1]" if fits + 2 == MAX_DEPTH else "[[1]]"
    read(said(f'"x": {opening * (fits // levels)}{inner}{closing * (fits // levels)}'))
    deeper = f"[{inner}]"
    raw = said(f'"x": {opening * (fits // levels)}{deeper}{closing * (fits // levels)}')
    assert reason(raw) == "too_deep"


def test_many_brackets_side_by_side_or_within_text_are_not_depth() -> None:
    read(said('"x": [' + ",".join(["[[]]"] * 1_000) + '], "y": "' + "[" * 1_000 + '\\"[[{"'))


# -- device ids


@pytest.mark.parametrize(
    ("given_id", "device_id"),
    [
        ('"greenhouse-7"', "greenhouse-7"),
        ('"A.b_c:d@e/f-9"', "A.b_c:d@e/f-9"),
        ('"..."', "..."),
        ("5", "5"),
        ('"5"', "5"),
        ("-5", "-5"),
        ("0", "0"),
        ('"' + "x" * 128 + '"', "x" * 128),
        ("1" * 128, "1" * 128),
        ('"\\u0061"', "a"),
    ],
)
def test_a_device_id_is_plain_text_or_a_whole_number(given_id: str, device_id: str) -> None:
    reading, _ = read(f'{{"device_id": {given_id}, "temperature": 1}}'.encode())
    assert reading.device_id == device_id


@pytest.mark.parametrize(
    "given_id",
    [
        '""', '"."', '".."', '"' + "x" * 129 + '"', '"a b"', '"a\\n"', '"a|b"', '"*fleet"', '"é"',
        '"\\ud800"', '"٣"', "true", "false", "5.0", "1e3", "[]", "{}", "NaN", "1" * 129,
        "9" * 5_000,
    ],
)  # fmt: skip
def test_any_other_device_id_is_bad(given_id: str) -> None:
    assert reason(f'{{"device_id": {given_id}, "temperature": 1}}'.encode()) == "bad_device_id"


# -- metrics


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("null", "null"),
        ("NaN", "nan"),
        ("Infinity", "infinite"),
        ("-Infinity", "infinite"),
        ("1e400", "infinite"),
        ("1" + "0" * 400, "infinite"),
        ("-1" + "0" * 5_000, "infinite"),
        ("true", "boolean"),
        ("false", "boolean"),
        ('"36.2"', "string"),
        ('""', "string"),
        ("[36.2]", "other"),
        ('{"value": 36.2}', "other"),
    ],
)
def test_a_refused_value_is_told_and_the_rest_of_the_reading_is_used(value: str, why: str) -> None:
    reading, refused = read(said(f'"humidity": {value}, "battery": 50'))
    assert refused == [why]
    assert reading.values == {"temperature": 20.0, "battery": 50.0}


@pytest.mark.parametrize("value", ["0", "-0.0", "0.0", "-12.5", "1e3", "1" + "0" * 300, "5e-324"])
def test_any_finite_number_is_a_value(value: str) -> None:
    reading, refused = read(said(f'"humidity": {value}'))
    assert reading.values["humidity"] == float(value)
    assert refused == []


@pytest.mark.parametrize(
    "value", ["null", "NaN", "-Infinity", "1" + "0" * 400, "true", '"3"', "[1]", '{"a": 1}']
)
def test_what_no_rule_names_is_metadata_unless_it_is_a_number(value: str) -> None:
    reading, refused = read(said(f'"site": {value}'))
    assert (reading.values, refused) == ({"temperature": 20.0}, [])


@pytest.mark.parametrize("name", ["co2", "_x", "X9", "x" * 64, "battery_voltage"])
def test_a_number_with_a_plain_name_is_a_metric(name: str) -> None:
    reading, _ = read(said(f'"{name}": 3'))
    assert reading.values == {"temperature": 20.0, name: 3.0}


@pytest.mark.parametrize("name", ["", "9x", "a-b", "a b", "é", "٣", "ｘ", "x" * 65, "a.b", "x\\n"])
def test_a_number_with_any_other_name_is_not(name: str) -> None:
    reading, _ = read(said(f'"{name}": 3'))
    assert reading.values == {"temperature": 20.0}


def test_a_reserved_field_is_never_a_metric_even_if_a_rule_names_it() -> None:
    raw = b'{"device_id": 5, "timestamp": 1700000000, "sequence": 3, "x": 1}'
    named = frozenset({"device_id", "timestamp", "sequence"})
    reading, refused = decode(raw, 0.0, named=named, naive_timezone=UTC)
    assert (reading.values, refused) == ({"x": 1.0}, [])


@pytest.mark.parametrize("named", [[], ["temperature", *(f"m{i}" for i in range(32))]])
def test_a_reading_has_at_most_thirty_two_metrics_named_by_a_rule_or_not(named: list[str]) -> None:
    metrics = [f'"m{i}": {i}' for i in range(32)]
    assert len(read(said(", ".join(metrics[:31])), named=named)[0].values) == 32
    assert reason(said(", ".join(metrics)), named=named) == "too_many_metrics"


@pytest.mark.parametrize(
    ("given_sequence", "sequence"),
    [
        ("7", 7), ("0", 0), ("-3", -3), ("true", None), ("7.0", None), ('"7"', None),
        ("null", None), ("NaN", None), (str(2**63 - 1), 2**63 - 1), (str(2**63), None),
        ("9" * 5_000, None),
    ],
)  # fmt: skip
def test_a_sequence_is_a_whole_number_or_ignored(given_sequence: str, sequence: int | None) -> None:
    assert read(said(f'"sequence": {given_sequence}'))[0].sequence == sequence


# -- times


@pytest.mark.parametrize(
    ("claim", "at"),
    [
        ('"2026-11-22T10:00:00Z"', START),
        ('"2026-11-22T10:00:00.250Z"', START + 0.25),
        ('"2026-11-22T17:00:00+07:00"', START),
        ('"2026-11-22T10:00:00"', START),
        ('"2026-11-22 10:00"', START),
        ('"20261122T100000Z"', START),
        ('"2026-11-22"', START - 36_000),
        ("1795341600", START),
        ("1795341600.25", START + 0.25),
        ("1795341600000", START),
        ("1795341600250", START + 0.25),
        ("0", 0.0),
        ("-1000", -1_000.0),
        ("null", None),
    ],
)
def test_a_timestamp_is_iso_8601_or_seconds_or_milliseconds(claim: str, at: float | None) -> None:
    assert read(said(f'"timestamp": {claim}'))[0].time == at


def test_a_reading_without_a_timestamp_has_none() -> None:
    assert read(said('"x": 1'))[0].time is None


def test_a_naive_timestamp_is_of_the_configured_zone() -> None:
    raw = said('"timestamp": "2026-11-22T17:00:00"')
    assert read(raw, zone=HANOI)[0].time == START
    raw = said('"timestamp": "2026-11-22T10:00:00Z"')
    assert read(raw, zone=HANOI)[0].time == START


@pytest.mark.parametrize(
    "claim",
    [
        '""', '"now"', '"1795341600"', '"2026-13-01"', '"2026-02-30T00:00:00Z"', '"\\ud800"',
        '"2026-11-22T10:00:00\\ud800"', "true", "[]", "{}", "NaN", "Infinity", "-1e300", "1e18",
        "1" + "0" * 400, "9" * 5_000,
    ],
)  # fmt: skip
def test_any_other_timestamp_is_bad(claim: str) -> None:
    assert reason(said(f'"timestamp": {claim}')) == "bad_timestamp"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (START, "2026-11-22T10:00:00.000Z"),
        (START + 0.0004, "2026-11-22T10:00:00.000Z"),
        (START + 0.0006, "2026-11-22T10:00:00.001Z"),
        (0.0, "1970-01-01T00:00:00.000Z"),
        (-1.5, "1969-12-31T23:59:58.500Z"),
        (math.inf, "9999-12-31T23:59:59.999Z"),
        (-math.inf, "0001-01-01T00:00:00.000Z"),
        (9.2e15, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_written_in_utc_with_milliseconds(at: float, text: str) -> None:
    assert iso(at) == text


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_time_that_is_written_reads_as_itself(moment: datetime) -> None:
    assert parse_time(iso(moment.timestamp())) == pytest.approx(moment.timestamp(), abs=0.0006)


# -- any bytes at all

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(10**400)),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.one_of(
        st.sampled_from(["device_id", "timestamp", "sequence", "temperature", "co2"]), st.text()
    ),
    st.one_of(JSON, st.sampled_from(["greenhouse-7", "2026-11-22T10:00:00Z", 1_795_341_600])),
)


def check(raw: bytes) -> None:
    try:
        reading, refused = read(raw)
    except Rejected as rejected:
        str(rejected).encode("ascii")  # fit for a log and a header
        return
    assert 1 <= len(reading.device_id) <= 128
    assert reading.device_id.isascii()
    assert 1 <= len(reading.values) <= 32
    assert all(type(value) is float and math.isfinite(value) for value in reading.values.values())
    assert reading.time is None or math.isfinite(reading.time)
    assert set(refused) <= {"null", "nan", "infinite", "boolean", "string", "other"}


@given(st.binary())
@example(b"\x00")
@example(b'{"device_id":"d","temperature":1,"timestamp":"0001-01-01T00:00:00+23:59"}')
def test_no_bytes_raise_anything_but_rejected(raw: bytes) -> None:
    check(raw)


@given(FIELDS)
def test_no_json_object_raises_anything_but_rejected(fields: dict[str, Any]) -> None:
    check(json.dumps(fields).encode())


@given(FIELDS, st.data())
def test_no_broken_json_raises_anything_but_rejected(
    fields: dict[str, Any], data: st.DataObject
) -> None:
    raw = bytearray(json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for _ in range(3):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + 1] = data.draw(st.sampled_from([b"", b'"', b"\\", b"{", b"]", b"\xff"]))
        if not raw:
            return
    check(bytes(raw))


@given(FIELDS, st.booleans())
def test_the_quick_way_reads_what_the_careful_way_reads(
    fields: dict[str, Any], as_ascii: bool
) -> None:
    raw = json.dumps(fields, ensure_ascii=as_ascii).encode("utf-8", "surrogatepass")
    quick = records._quick(raw)
    if quick is not None:
        assert repr(quick) == repr(records._careful(raw))


def test_a_plain_reading_goes_the_quick_way_and_a_duplicate_never() -> None:
    assert records._quick(b'{"device_id": "d", "temperature": 1, "site": "x"}') is not None
    assert records._quick(b'{"device_id": "d", "temperature": 1, "temperature": 1}') is None
    assert records._quick(b'{"device_id": "d", "site": "x", "site": "x"}') is None
    assert records._quick(b'{"a": 1, "b": {"c": 1, "c": 1}}') is None


# -- many at once

PLAIN = [
    b'{"device_id": "d", "temperature": 1}',
    b'{"device_id": "\\u00e9", "site": "x"}\r',
    b'{"t": 2.5, "n": null, "b": true}',
]
ODD = [
    *(b"", b"{", b"}", b"{}", b"[]", b"5", b",", b'"', b"{,", b"\xff", b" "),
    *(b'{"a": 1', b'"b": 2}', b'{"a": 1, ', b'{"a": "x', b'{", "b": 2}', b'y", "b": 2}'),
    *(b'{"a": 1},', b'{"a": 1},{"b": 2}', b'{"a": 1} 5', b' {"a": 1}', b'{"a": 1}\n{"b": 2}'),
    *(b'{"a": 1, "a": 2}', b'{"a": "1,2"}', b'{"a": {"b": 1, "b": 2}}', b'{"a": [1, 2]}'),
    *(b'{"a": NaN}', b'{"a": 1e999}', b'{"a": ' + b"1" * 5_000 + b"}", b'{"a": "\\ud800"}'),
]


def seen(found: Any) -> str:
    """What it is, or why it is nothing."""
    return found.reason if isinstance(found, Rejected) else repr(found)


def one_by_one(raws: list[bytes]) -> list[str]:
    found = []
    for raw in raws:
        try:
            found.append(seen(records._fields(raw)))
        except Rejected as rejected:
            found.append(seen(rejected))
    return found


@given(st.lists(st.sampled_from([*PLAIN, *ODD])))
@example([b'{"a": 1},{"b": 2}', b'{"a": 1', b'"b": 2}'])
@example([b'{"a": "x', b'{", "b": 2}', b'{"a": 1},{"b": 2}'])
@example([b'{"a": 1},{"b": 2}', b'{"a": "x', b'{"}'])
def test_many_records_are_read_as_one_after_the_other(raws: list[bytes]) -> None:
    assert list(map(seen, records.objects(raws))) == one_by_one(raws)


@given(st.lists(FIELDS, max_size=4))
def test_many_plain_records_are_read_as_one_after_the_other(made: list[dict[str, Any]]) -> None:
    raws = [json.dumps(fields).encode() for fields in made]
    assert list(map(seen, records.objects(raws))) == one_by_one(raws)


def test_plain_records_are_read_in_one_go_and_duplicates_never() -> None:
    assert records._quick_all(PLAIN) is not None
    assert records._quick_all([*PLAIN, b'{"a": 1, "a": 1}']) is None
    assert records._quick_all([*PLAIN, b'{"a": {"b": 1}}']) is None
    large = b'{"a": "' + b"x" * MAX_BYTES + b'"}'
    assert records._quick_all([*PLAIN, large]) is None
    assert records._quick_all([large[: MAX_BYTES // 2] + b'"}'] * 3) is not None


# -- events

FIELDS_OF_AN_EVENT = [
    "type", "title", "message", "device_id", "value", "metric", "timestamp", "schema", "event",
    "alert_id", "seq", "rule", "severity", "previous_severity", "threshold", "clear", "unit",
    "status", "reason", "count", "started_at", "resolved_at", "acked", "acked_by", "note",
    "detected_at", "stale", "suppressed_by",
]  # fmt: skip


def test_an_event_has_exactly_the_contracts_fields_in_one_order() -> None:
    fired, resolved = wire(play("temperature", [(0, 36.2), (10, 20)], DEFAULT))
    assert list(fired) == list(resolved) == FIELDS_OF_AN_EVENT


def test_a_fired_event_is_the_seeds_alert() -> None:
    (event,) = wire(play("temperature", [(0, 36.2)], DEFAULT))
    alert_id = event.pop("alert_id")
    assert len(alert_id) == 36
    assert event == {
        "type": "danger",
        "title": "🔥 High Temperature Alert!",
        "message": "Device greenhouse-7: Temperature is 36.2°C (threshold: 35.0°C)",
        "device_id": "greenhouse-7",
        "value": 36.2,
        "metric": "temperature",
        "timestamp": "2026-11-22T10:00:00.000Z",
        "schema": 1,
        "event": "fired",
        "seq": 1,
        "rule": "temperature-high",
        "severity": "danger",
        "previous_severity": None,
        "threshold": 35.0,
        "clear": 33.0,
        "unit": "°C",
        "status": "active",
        "reason": "threshold",
        "count": 1,
        "started_at": "2026-11-22T10:00:00.000Z",
        "resolved_at": None,
        "acked": False,
        "acked_by": None,
        "note": None,
        "detected_at": "2026-11-22T10:00:00.000Z",
        "stale": False,
        "suppressed_by": None,
    }


@pytest.mark.parametrize(
    ("metric", "value", "kind", "title", "message"),
    [
        ("temperature", 9.5, "warning", "❄️ Low Temperature Alert!",
         "Temperature is 9.5°C (threshold: 10.0°C)"),
        ("humidity", 81.0, "warning", "💧 High Humidity Alert!",
         "Humidity is 81.0% (threshold: 80.0%)"),
        ("humidity", 19.0, "warning", "🌵 Low Humidity Alert!",
         "Humidity is 19.0% (threshold: 20.0%)"),
        ("battery", 4.0, "danger", "🔋 Low Battery Alert!", "Battery is 4.0% (threshold: 5.0%)"),
        ("temperature", 6553.5, "warning", "⚙️ Sensor Fault!",
         "Temperature is 6553.5°C, which its sensor can't measure (bound: 85.0°C)"),
    ],
)  # fmt: skip
def test_every_default_rule_has_the_seeds_words(
    metric: str, value: float, kind: str, title: str, message: str
) -> None:
    (event,) = wire(play(metric, [(0, value)], DEFAULT))
    assert (event["type"], event["title"], event["message"]) == (
        kind, title, f"Device greenhouse-7: {message}",
    )  # fmt: skip


def test_a_resolution_says_so_and_keeps_the_severity_it_had() -> None:
    _, event = wire(play("temperature", [(0, 36.2), (90, 20.5)], DEFAULT))
    assert (event["type"], event["severity"], event["status"]) == ("resolved", "danger", "resolved")
    assert event["title"] == "✅ Temperature Back to Normal"
    assert event["message"] == "Device greenhouse-7: Temperature is 20.5°C, back to normal"
    assert event["resolved_at"] == "2026-11-22T10:01:30.000Z"


def test_an_update_names_both_severities_and_a_metric_of_its_own_has_plain_words() -> None:
    _, event = wire(play("load", [(0, 61), (10, 73)], LADDER))
    assert (event["type"], event["previous_severity"]) == ("warning", "info")
    assert event["title"] == "⚠️ High Load Alert!"
    assert event["message"] == (
        "Device greenhouse-7: Load is 73.0 (threshold: 70.0), warning after info"
    )
    assert event["unit"] is None


def test_an_offline_alert_has_no_metric_and_comes_back() -> None:
    told = History(Rulebook(offline=Offline(after=60)))
    for at in (0, 10, 20, 30, 500):
        told.reading(at)
    fired, back = wire(told.events)
    assert (fired["metric"], fired["value"], fired["unit"]) == (None, None, None)
    assert (fired["title"], fired["message"]) == (
        "📴 Device Offline!",
        "Device greenhouse-7: Offline, a reading was due by 2026-11-22T10:01:30.000Z",
    )
    assert fired["timestamp"] == fired["started_at"] == fired["detected_at"]
    assert (back["title"], back["message"]) == (
        "✅ Device Back Online",
        "Device greenhouse-7: Back online at 2026-11-22T10:08:20.000Z",
    )


def test_a_retired_device_says_so() -> None:
    told = History()
    told.reading(0, temperature=36.0)
    told.settle(8 * 86_400)
    event = wire(told.events)[-1]
    assert (event["type"], event["title"], event["reason"]) == (
        "resolved", "✅ Device Retired", "device_retired",
    )  # fmt: skip
    assert (event["metric"], event["value"]) == ("temperature", 36.0)


def test_text_is_utf_8_and_not_escaped() -> None:
    (event,) = play("temperature", [(0, 36.2)], DEFAULT)
    assert "🔥 High Temperature Alert!".encode() in event_json(event)


def test_a_closed_window_says_what_its_readings_came_to() -> None:
    told = History()
    told.engine = Engine(window=300)
    for at, value in ((0, 20.1), (10, 20.2), (20, 20.4), (300, 25.0)):
        told.reading(at, temperature=value, load=1)
    window, other = (json.loads(window_json(one)) for one in told.engine.take_closed())
    assert window == {
        "schema": 1,
        "device_id": "greenhouse-7",
        "metric": "temperature",
        "start": "2026-11-22T10:00:00.000Z",
        "end": "2026-11-22T10:05:00.000Z",
        "seconds": 300,
        "revision": 3,
        "count": 3,
        "mean": 20.23333333,
        "min": 20.1,
        "max": 20.4,
        "last": 20.4,
        "unit": "°C",
    }
    assert (other["metric"], other["unit"]) == ("load", None)

"""Bytes of a reading in, a Reading or Rejected(reason) out.

Nothing that comes from the wire is believed: whatever the bytes, `decode` returns a reading that
the core can take as it is, or raises `Rejected` and nothing else. Whoever has many records at once
takes the same two steps apart: `objects` of all of them, then `reading_of` each.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

import msgspec

from pipeline.rules.engine import MAX_METRICS, Reading

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 32

DEVICE_ID: Final = r"[A-Za-z0-9._:@/-]{1,128}"
_DEVICE_ID: Final = re.compile(DEVICE_ID)
_NO_DEVICE_ID_FROM: Final = 10**128
_LONGEST_NAME: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  (in UTC, whose name needn't be printed)
_FIRST: Final = -62_135_596_800.0  # the years 1 to 9999: what ISO 8601 and datetime can say
_LAST: Final = 253_402_300_799.999
_MILLISECONDS_FROM: Final = 1e11  # as seconds the year 5138, as milliseconds 1973
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS: Final = bytes.maketrans(b"[]{}", b"()()")
_NO_MARKS: Final = bytes(byte for byte in range(256) if byte not in b"[{,")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_GREATEST: Final = sys.float_info.max
_LEAST: Final = -_GREATEST
_EXACT: Final = 1 << 53  # whole numbers up to there are floats
_LONGEST_INT: Final = 400  # digits; from 310 on no float can hold it, beyond 4,300 int() refuses


class Rejected(Exception):
    """The record as a whole is no reading; `reason` is for machines, `detail` for people.

    `refused` is why single values were left out, where nothing else was left.
    """

    def __init__(self, reason: str, detail: str = "", refused: Sequence[str] = ()) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.refused = refused


# -- a reading


def decode(
    raw: bytes | None, record_time: float, *, named: frozenset[str], naive_timezone: tzinfo
) -> tuple[Reading, list[str]]:
    """A reading, and why single values of the metrics that the rules name were left out of it."""
    return reading_of(_fields(raw), record_time, named, naive_timezone)


def reading_of(
    fields: dict[str, Any],
    record_time: float,
    named: frozenset[str],
    naive_timezone: tzinfo,
    is_known: bool = False,
) -> tuple[Reading, list[str]]:
    """The same of a record's object, which is used up. The id of a device that is known needn't be
    looked at: that of a reading was."""
    device_id = fields.pop("device_id", None)
    if not is_known:
        device_id = _device_id(device_id)
    time = fields.pop("timestamp", None)
    if time is not None:
        try:
            time = parse_time(time, naive_timezone)
        except ValueError as error:
            raise Rejected("bad_timestamp", str(error)) from None
    sequence = fields.pop("sequence", None)
    if sequence is not None:
        sequence = _sequence(sequence)
    refused = _keep_metrics(fields, named)
    return Reading(device_id, time, record_time, fields, sequence), refused


def objects(raws: Sequence[bytes]) -> Sequence[dict[str, Any] | Rejected]:
    """The object of each record, or why it has none; at once where all are plain and flat."""
    found = _quick_all(raws)
    return [_object(raw) for raw in raws] if found is None else found


def _object(raw: bytes) -> dict[str, Any] | Rejected:
    try:
        return _fields(raw)
    except Rejected as rejected:
        return rejected.with_traceback(None)


def _fields(raw: bytes | None) -> dict[str, Any]:
    if not raw:
        raise Rejected("not_json", "empty")
    if len(raw) > MAX_BYTES:
        raise Rejected("too_large", f"{len(raw)} bytes")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_too_deep(raw):
        raise Rejected("too_deep", f"more than {MAX_DEPTH} levels")
    fields = _quick(raw)
    if fields is None:
        fields = _careful(raw)
    if not isinstance(fields, dict):
        raise Rejected("not_an_object", type(fields).__name__)
    return fields


def _quick(raw: bytes) -> Any:
    """What a plain flat object holds, at a sixth of the cost; None for whatever wants a look.

    msgspec keeps the last of duplicate keys. A duplicate leaves more commas in the text than the
    object's members account for, and so do commas in strings or deeper down.
    """
    try:
        fields = _decode_quick(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if type(fields) is not dict:
        return None
    return fields if raw.count(b",") == len(fields) - 1 else None


def _quick_all(raws: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """The same of many records, joined to one array: a fifth of the cost again.

    Each record begins with a brace, there is no other, and as many objects come out: so no object
    goes on in the next record, and none shares its record with another.
    """
    joined = b"[%b]" % b",".join(raws)
    marks = joined.translate(None, _NO_MARKS)
    if marks.count(b"{") != len(raws) or marks.count(b"[") != 1:
        return None
    for raw in raws:
        if not raw.startswith(b"{"):
            return None
    if len(joined) > MAX_BYTES and max(map(len, raws)) > MAX_BYTES:
        return None
    try:
        found = _decode_all(joined)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    commas = sum(map(len, found)) - 1
    return found if len(found) == len(raws) and marks.count(b",") == commas else None


def _careful(raw: bytes) -> Any:
    try:
        return _parse(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Rejected("not_utf8", f"byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Rejected("not_json", f"{error.msg} at {error.pos}") from None


def _is_too_deep(raw: bytes) -> bool:
    """Without recursion: of the brackets alone, the innermost pairs are removed in turn."""
    brackets = _STRING.sub(b"", raw).translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"()", b"")
    return b"()" in brackets or brackets.count(b"(") > MAX_DEPTH


def _parse(text: str) -> Any:
    try:
        return _decode_json(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a whole number too long for int()
        return _decode_long_ints(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Rejected("duplicate_key")
    return fields


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INT else math.inf


_decode_quick = msgspec.json.Decoder().decode
_decode_all = msgspec.json.Decoder(list[dict[str, Any]]).decode
_decode_json = json.JSONDecoder(object_pairs_hook=_unique).decode
_decode_long_ints = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_int).decode


def is_device_id(text: str) -> bool:
    return text not in (".", "..") and _DEVICE_ID.fullmatch(text) is not None


def _device_id(given: Any) -> str:
    if given is None:
        raise Rejected("no_device_id")
    if type(given) is int and abs(given) < _NO_DEVICE_ID_FROM:
        given = str(given)
    if type(given) is not str or not is_device_id(given):
        raise Rejected("bad_device_id", ascii(given)[:200] if type(given) is str else "")
    return given


def _sequence(given: Any) -> int | None:
    return given if type(given) is int and -(1 << 63) <= given < 1 << 63 else None


def _keep_metrics(fields: dict[str, Any], named: frozenset[str]) -> list[str]:
    """Leave the metrics alone in it; why values of those that the rules name were left out.

    Python compares a whole number of any length with a float, and NaN is never in between.
    """
    if not 0 < len(fields) <= MAX_METRICS:
        return _sort_out(fields, named)
    for name, value in fields.items():
        if type(value) is not float:
            if type(value) is not int or not -_EXACT <= value <= _EXACT:
                return _sort_out(fields, named)
            value = fields[name] = float(value)
        if name not in named or not _LEAST <= value <= _GREATEST:
            return _sort_out(fields, named)
    return []


def _sort_out(fields: dict[str, Any], named: frozenset[str]) -> list[str]:
    """The same where not all are plain."""
    others: list[str] = []
    refused: list[str] = []
    for name, value in fields.items():
        kind = type(value)
        if (kind is float or kind is int) and _LEAST <= value <= _GREATEST:
            if not (name in named or _is_name(name)):
                others.append(name)
            elif kind is int:
                fields[name] = float(value)
        else:
            others.append(name)
            if name in named:
                refused.append(_fault(value))
    for name in others:
        del fields[name]
    if not fields:
        raise Rejected("no_metric", ", ".join(refused[:MAX_METRICS]), refused)
    if len(fields) > MAX_METRICS:
        raise Rejected("too_many_metrics", str(len(fields)))
    return refused


def _is_name(name: str) -> bool:
    r"""Whether a metric can have this name: [A-Za-z_]\w{0,63}, ASCII alone."""
    return len(name) <= _LONGEST_NAME and name.isascii() and name.isidentifier()


def _fault(value: Any) -> str:
    """Why it can't be the value of a metric that the rules name."""
    kind = type(value)
    if value is None:
        return "null"
    if kind is bool:
        return "boolean"
    if kind is str:
        return "string"
    if kind is float or kind is int:
        return "nan" if value != value else "infinite"
    return "other"


# -- times

_parse_iso = datetime.fromisoformat


def parse_time(claim: Any, naive_timezone: tzinfo = UTC) -> float:
    """Seconds since the epoch of ISO 8601 text, of seconds or of milliseconds; else ValueError."""
    if type(claim) is str:
        try:
            moment = _parse_iso(claim)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=naive_timezone)
            since = moment - _EPOCH  # half the price of timestamp(), and the same
            at = since.days * 86_400.0 + since.seconds + since.microseconds / 1e6
        except (ValueError, OverflowError):
            raise ValueError(f"{claim[:64]!a} is not ISO 8601") from None
    elif type(claim) in (int, float):
        at = _parse_epoch(claim)
    else:
        raise ValueError("neither text nor a number")
    if not _FIRST <= at <= _LAST:
        raise ValueError("not within the years 1 to 9999")
    return at


def _parse_epoch(number: Any) -> float:
    """`number` is whole or not; a whole one can be longer than any float."""
    try:
        at = float(number)
    except OverflowError:
        return math.inf
    return at / 1000 if abs(at) >= _MILLISECONDS_FROM else at


def _iso(at: float) -> str:
    """UTC with milliseconds and Z. A time that has no such form becomes the nearest that has."""
    milliseconds = round(min(max(at, _FIRST), _LAST) * 1000)
    since = timedelta(0, milliseconds // 1000, milliseconds % 1000 * 1000)
    return (_NAIVE_EPOCH + since).isoformat("T", "milliseconds") + "Z"


# an event says most of its times twice or more
iso: Final[Callable[[float], str]] = lru_cache(64)(_iso)

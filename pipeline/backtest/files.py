"""JSON lines or CSV in, batches of their objects with the numbers of their lines out."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BufferedIOBase
from typing import Any, Final

from pipeline.backtest.recording import Batch, Unreadable
from pipeline.names import LARGEST_RECORD
from pipeline.records import Rejected, objects

CHUNK: Final = 1 << 17  # bytes
LONGEST_ROW: Final = 1 << 18  # of CSV; what is longer comes in pieces, and is no row
ROWS: Final = 1_000  # of a batch
DELIMITERS: Final = ",;\t"

Found = dict[str, Any] | Rejected
Tell = Callable[[], int]


def json_lines(stream: BufferedIOBase, tell: Tell) -> Iterator[Batch]:
    """As they come, also of a pipe that stays open."""
    begun, first = b"", 1
    while chunk := _readable(stream.read1, CHUNK):
        *texts, begun = (begun + chunk).split(b"\n")
        if texts:
            yield _batch(texts, first, tell())
            first += len(texts)
        if len(begun) > LARGEST_RECORD:
            raise Unreadable(f"line {first} is longer than {LARGEST_RECORD} bytes")
    if begun:
        yield _batch([begun], first, tell())


def _batch(texts: list[bytes], first: int, read: int) -> Batch:
    numbers: Sequence[int] = range(first, first + len(texts))
    if not all(map(bytes.strip, texts)):  # an empty line is none
        numbers = [number for number, text in zip(numbers, texts, strict=True) if text.strip()]
        texts = [text for text in texts if text.strip()]
    return Batch(objects(texts), numbers, read)


def csv_rows(stream: BufferedIOBase, tell: Tell) -> Iterator[Batch]:
    """The first row names the columns; an empty cell is a field that isn't there."""
    head = next(_texts(stream), "").removeprefix("\ufeff")
    delimiter = max(DELIMITERS, key=head.count)
    columns = _columns(next(csv.reader([head], delimiter=delimiter), []))
    rows = csv.reader(_texts(stream), delimiter=delimiter, strict=True)
    found: list[Found] = []
    numbers: list[int] = []
    for fields in _rows(rows, columns):
        if fields is not None:
            found.append(fields)
            numbers.append(1 + rows.line_num)
        if len(found) == ROWS:
            yield Batch(found, numbers, tell())
            found, numbers = [], []
    if found:
        yield Batch(found, numbers, tell())


def _columns(row: list[str]) -> list[str]:
    columns = [name.strip() for name in row]
    for wanted in (("device_id",), ("timestamp", "arrived_at")):
        if not set(wanted) & set(columns):
            shown = ", ".join(columns)[:200] or "none"
            raise Unreadable(f"no column is named {' or '.join(wanted)}: its columns are {shown}")
    doubled = next((name for name in columns if name and columns.count(name) > 1), None)
    if doubled:
        raise Unreadable(f"two columns are named {doubled[:64]}")
    return columns


def _rows(rows: Iterator[list[str]], columns: list[str]) -> Iterator[Found | None]:
    """None for an empty row."""
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Rejected("not_csv", str(error))
            continue
        if row is None:
            return
        yield _fields(columns, row) if row else None


def _fields(columns: list[str], row: list[str]) -> Found:
    if len(row) != len(columns):
        return Rejected("not_csv", f"{len(row)} cells for {len(columns)} columns")
    if not all(map(str.isprintable, row)) and any(map(_is_no_utf8, row)):
        return Rejected("not_utf8")
    return {name: _value(name, cell) for name, cell in zip(columns, row, strict=True) if cell}


def _is_no_utf8(cell: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in cell)


def _value(column: str, cell: str) -> str | int | float:
    """As JSON would have it: a number where it reads as one, else text."""
    if column == "device_id" or "_" in cell:
        return cell
    try:
        return int(cell) if column == "sequence" else float(cell)
    except ValueError:
        return cell


def _texts(stream: BufferedIOBase) -> Iterator[str]:
    while line := _readable(stream.readline, LONGEST_ROW):
        yield line.decode("utf-8", "surrogateescape")


def _readable(read: Callable[[int], bytes], at_most: int) -> bytes:
    try:
        return read(at_most)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(str(getattr(error, "strerror", None) or error)) from None

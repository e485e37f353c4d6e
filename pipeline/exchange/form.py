"""Lines of an export in, their bytes out, and back; a file is whole, or isn't there.

JSON lines, packed where the file's name ends in .gz, in this order:

    {"kind": "state", "form": 1, "version": "0.1.0", "exported_at": "2026-11-26T07:00:00Z",
     "cluster": "…", "prefix": "", "partitions": 8, "topics": {"readings": "<its id>", …}}
    {"kind": "partition", "partition": 0, "row": "<base64>"}
    {"kind": "device", "device": "attic", "partition": 0, "row": "<base64>", "open": [{…}]}
    {"kind": "end", "devices": 1000, "alerts": 12}

A row holds the bytes of the changelog, with their own version (`pipeline/rows.py`). That of a
partition has its clock, its silences and which offsets are applied. `*fleet` stands among the
devices. `open` has the last event of each of the device's open alerts, as `alerts-open` has it.
The last line is there if the export has come to its end, and says how many lines there are.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Final

import msgspec

from pipeline.names import LARGEST_RECORD

FORM: Final = 1
LONGEST_LINE: Final = 4 * LARGEST_RECORD  # a row in base64, and its open alerts


class Head(msgspec.Struct, frozen=True, tag="state", tag_field="kind"):
    """Where it comes from. `topics` are the consumed ones, each with its id."""

    form: int
    version: str
    exported_at: str
    cluster: str
    prefix: str
    partitions: int
    topics: dict[str, str]


class Own(msgspec.Struct, frozen=True, tag="partition", tag_field="kind"):
    """A partition's own row."""

    partition: int
    row: bytes


class Held(msgspec.Struct, frozen=True, tag="device", tag_field="kind"):
    """A device's row, and the last events of its open alerts."""

    device: str
    partition: int
    row: bytes
    open: list[msgspec.Raw] = []


class End(msgspec.Struct, frozen=True, tag="end", tag_field="kind"):
    devices: int
    alerts: int


Line = Head | Own | Held | End
_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Line]] = msgspec.json.Decoder(Line)


class Unreadable(Exception):
    """It is no whole export that this program can read; the text says why."""


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Line], None]]:
    """Takes lines; the file has its name once all of them are in it. OSError where it can't be."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            packing = gzip.GzipFile(path.name, "wb", 6, file) if path.suffix == ".gz" else None
            with packing or file as stream:
                yield lambda line: _put(stream, line)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _put(stream: BufferedIOBase, line: Line) -> None:
    stream.write(_encoder.encode(line) + b"\n")


def lines(stream: BufferedIOBase) -> Iterator[Line]:
    """Each line; Unreadable where it is none of ours, or the last one isn't there."""
    number, last = 0, False
    while text := stream.readline(LONGEST_LINE):
        number += 1
        try:
            line = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"line {number} is none of an export: {error}") from None
        if last or isinstance(line, Head) != (number == 1):
            raise Unreadable(f"line {number} doesn't belong there")
        last = isinstance(line, End)
        yield line
    if not last:
        raise Unreadable("it isn't whole: its last line is missing")

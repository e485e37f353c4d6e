"""What stands on our topics in, the JSON Schema of each kind of record out.

Alert events, windows and commands are described by the very structs that write and read them. A
reading is whatever its producer sends, so its schema is written here, with the bounds of who reads
it (`records`); where a word of it can't say what that does, it says so.

`python -m pipeline.schemas docs/schemas` writes the files there anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline import commands, records
from pipeline.rules.engine import MAX_METRICS
from pipeline.shapes import AlertEvent, ClosedWindow

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
DEVICE_ID: Final = {
    "type": "string",
    "pattern": f"^{records.DEVICE_ID}$",
    "not": {"enum": [".", ".."]},
}
METRIC_NAME: Final = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
READING: Final[dict[str, Any]] = {
    "title": "Reading",
    "description": "What a device measured. At least one member that is a number, and no more than "
    f"{MAX_METRICS}, beside those that are named here. Others are ignored.",
    "type": "object",
    "required": ["device_id"],
    "properties": {
        "device_id": {
            "description": '5 and "5" are one device',
            "anyOf": [DEVICE_ID, {"type": "integer"}],
        },
        "timestamp": {
            "description": "ISO 8601, or seconds or milliseconds since 1970; without one, the "
            "record's time",
            "type": ["string", "number", "null"],
        },
        "sequence": {
            "description": "the same one, time and values again is a repeat",
            "type": ["integer", "null"],
        },
    },
    "patternProperties": {
        METRIC_NAME: {"description": "a metric, where it is a number"},
    },
    "minProperties": 2,
}
STRUCTS: Final[dict[str, Any]] = {
    "alert-event": AlertEvent,
    "window": ClosedWindow,
    "command": commands.Command,
}
KINDS: Final = ("reading", *STRUCTS)


def schema(kind: str) -> dict[str, Any]:
    """Of one kind of record, complete in itself."""
    found = READING if kind == "reading" else msgspec.json.schema(STRUCTS[kind])
    return {"$schema": DRAFT, "$id": f"{kind}.schema.json", **found}


def text(document: dict[str, Any]) -> str:
    """As people read it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        Path(folder, f"{kind}.schema.json").write_text(text(schema(kind)))


if __name__ == "__main__":
    write(Path(sys.argv[1]))

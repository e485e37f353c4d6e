"""The lines of an export in, what they hold out, once every one of them was found right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from pipeline.exchange.form import FORM, Head, Held, Line, Own, Unreadable
from pipeline.rows import PartitionRow, Row, decode, generation_of
from pipeline.rules.fleet import FLEET
from pipeline.rules.version import NewerState, refuse_newer


class Told(msgspec.Struct, frozen=True):
    """What `alerts-open` needs to know of an event."""

    device_id: str
    rule: str
    alert_id: str
    seq: int


@dataclass(slots=True)
class Contents:
    """What a file holds, once all of it was looked at."""

    head: Head
    owns: dict[int, PartitionRow]
    generation: int = 0
    devices: int = 0
    alerts: int = 0


told: Final = msgspec.json.Decoder(Told).decode


def looked_at(lines: Iterable[Line]) -> Contents:
    """Every line of the file, before anything of it is used. Unreadable or NewerState, in words."""
    contents: Contents | None = None
    for line in lines:
        if isinstance(line, Head):
            refuse_newer("the file", line.form, FORM)
            contents = Contents(line, {})
            continue
        assert contents is not None  # noqa: S101  (the first line is the head)
        if isinstance(line, Own):
            contents.owns[line.partition] = PartitionRow.unpacked(decode(line.row))
            contents.generation = max(contents.generation, generation_of(line.row))
        elif isinstance(line, Held):
            _look_at(line, contents)
        elif (line.devices, line.alerts) != (contents.devices, contents.alerts):
            raise Unreadable(
                f"it has {contents.devices} devices with {contents.alerts} open alerts, and its "
                f"last line says {line.devices} with {line.alerts}"
            )
    assert contents is not None  # noqa: S101
    return contents


def _look_at(held: Held, contents: Contents) -> None:
    try:
        row = Row.unpacked(held.device, decode(held.row))
        for event in held.open:
            told(event)
    except NewerState:
        raise
    except Exception as error:
        raise Unreadable(f"device {held.device!r}: {error!r}") from error
    contents.generation = max(contents.generation, generation_of(held.row))
    contents.devices += held.device != FLEET
    contents.alerts += len(row.device.open_alerts())

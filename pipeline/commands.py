"""Bytes of a command in, what it asks for out; and the other way round, for who sends one.

Nothing on the topic is believed: whatever the bytes, `decode` returns a command that can be carried
out as it is, or raises `Refused` and nothing else. Ids are computed from what is asked for, so who
asks twice asks for one thing; to read the rules anew is another thing each time.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from pipeline.rules.silence import Silence

MAX_BYTES: Final = 16_384
EVERYBODY: Final = b"*"  # the key of what is sent to every partition
ACKNOWLEDGE: Final = "acknowledge"
SILENCE: Final = "silence"
UNSILENCE: Final = "unsilence"
RELOAD: Final = "reload"
NAMESPACE: Final = uuid.UUID("3d6bd1f6-0a2f-5a8e-9a0c-5c0f3b1d7c42")  # never changes

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Text = Annotated[str, msgspec.Meta(max_length=1_000)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]  # ISO 8601 with its zone


class Refused(Exception):
    """It is no command that can be carried out; `reason` is for counters, `detail` for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class AckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody posts who knows of an alert."""

    by: Name
    note: Text | None = None


class SilenceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody posts who wants silence."""

    by: Name
    ends_at: Moment
    starts_at: Moment | None = None
    device: str | None = None
    rule: str | None = None
    severity: str | None = None
    comment: Text | None = None


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command"):
    command_id: Id
    by: Name
    at: Moment


class Acknowledge(_Command, frozen=True, tag=ACKNOWLEDGE):
    device_id: Name
    alert_id: Id
    note: Text | None = None


class Quiet(_Command, frozen=True, tag=SILENCE):
    silence_id: Id
    starts_at: Moment
    ends_at: Moment
    device: str | None = None
    rule: str | None = None
    severity: str | None = None
    comment: Text | None = None

    def silence(self) -> Silence:
        """ValueError, in words, where it can't be meant."""
        return Silence(
            self.silence_id,
            self.device,
            self.rule,
            self.severity,
            self.by,
            self.comment,
            self.at.timestamp(),
            self.starts_at.timestamp(),
            self.ends_at.timestamp(),
        )


class Unsilence(_Command, frozen=True, tag=UNSILENCE):
    silence_id: Id


class Reload(_Command, frozen=True, tag=RELOAD):
    """Read your own file of rules anew."""


Command = Acknowledge | Quiet | Unsilence | Reload
encode = msgspec.json.Encoder().encode
_decoder: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(Command)


def decode(raw: bytes | None) -> Command:
    if not raw:
        raise Refused("not_json", "empty")
    if len(raw) > MAX_BYTES:
        raise Refused("too_large", f"{len(raw)} bytes")
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise Refused("bad_command", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("not_json", str(error)) from None


def acknowledge(device_id: str, alert_id: str, body: AckBody, at: float) -> Acknowledge:
    command_id = _id(ACKNOWLEDGE, alert_id, body.by, body.note)
    return Acknowledge(command_id, body.by, _moment(at), device_id, alert_id, body.note)


def silence(body: SilenceBody, at: float) -> Quiet:
    """ValueError, in words, where it can't be meant."""
    if body.ends_at.timestamp() <= at:
        raise ValueError("ends_at is past")
    parts = (body.device, body.rule, body.severity, body.starts_at, body.ends_at)
    made = _id(SILENCE, *parts, body.by, body.comment)
    starts_at = body.starts_at or _moment(at)
    command = Quiet(
        made, body.by, _moment(at), made, starts_at, body.ends_at,
        body.device or None, body.rule or None, body.severity, body.comment,
    )  # fmt: skip
    command.silence()
    return command


def unsilence(silence_id: str, by: str, at: float) -> Unsilence:
    return Unsilence(_id(UNSILENCE, silence_id, by), by, _moment(at), silence_id)


def reload(by: str, at: float) -> Reload:
    return Reload(_id(RELOAD, by, at), by, _moment(at))


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _id(*parts: object) -> str:
    # each part as JSON tells it, so that no two lists of parts read the same
    return str(uuid.uuid5(NAMESPACE, encode(parts).decode()))

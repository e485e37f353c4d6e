"""A record that can't be used and why in, what `readings-rejected` keeps of it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

LARGEST_REJECTED: Final = 900_000  # bytes of an original that are kept
LONGEST_KEY: Final = 100_000  # bytes of a key that are sent on


class Rejection(NamedTuple):
    """A record for `readings-rejected`."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def rejection(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> Rejection:
    """The original, cut where it is too large; `headers` say why, and where it was."""
    told = list(headers)
    if value is not None and len(value) > LARGEST_REJECTED:
        value = value[:LARGEST_REJECTED]
        told.append(("truncated", b"true"))
    return Rejection(key and key[:LONGEST_KEY], value, told)

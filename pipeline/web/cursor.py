"""Where a viewer is in the log of alerts in; its opaque text out, and back. No I/O."""

from __future__ import annotations

import base64
import binascii
import json
from typing import NamedTuple

LONGEST = 8_192  # characters: some 500 partitions
LARGEST_OFFSET = 1 << 63


class Cursor(NamedTuple):
    """The log's id, and of every partition the offset of the next event."""

    log: str
    offsets: tuple[int, ...]

    def text(self) -> str:
        content = json.dumps([self.log, list(self.offsets)], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """None where it is none of ours."""
        if len(text) > LONGEST:
            return None
        try:
            content = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            log, offsets = content
        except (binascii.Error, ValueError, TypeError, RecursionError):
            return None
        if not isinstance(log, str) or not isinstance(offsets, list):
            return None
        if not all(type(one) is int and 0 <= one < LARGEST_OFFSET for one in offsets):
            return None
        return cls(log, tuple(offsets))

"""An event's number in, the name that its bytes carry out; and back, from whatever holds it.

Standard library alone: what sends runs in different virtual environments."""

from __future__ import annotations

MARK = b"bench-"
DIGITS = 7


def name_of(number: int) -> str:
    """A device's name, too."""
    return f"{MARK.decode()}{number:0{DIGITS}}"


def number_in(text: bytes, start: int = 0) -> tuple[int, int]:
    """The first number there, and where its name ends; -1 twice where there is none."""
    found = text.find(MARK, start)
    if found < 0:
        return -1, -1
    end = found + len(MARK) + DIGITS
    return int(text[end - DIGITS : end]), end

"""Two globs in; whether some device's id can fit both, out."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from string import ascii_letters, digits
from typing import Final

IN_AN_ID: Final = frozenset(ascii_letters + digits + "._:@/-")
ONE_OF: Final = re.compile(r"\[!?\]?+[^\]]*\]")  # as fnmatch reads it
_PIECE: Final = re.compile(rf"{ONE_OF.pattern}|.", re.DOTALL)
ANY: Final = None  # for `*`

Letters = frozenset[str] | None


@lru_cache(10_000)
def meet(one: str, other: str) -> bool:
    """Every place in one glob is looked at beside every place in the other, once."""
    a, b = _read(one), _read(other)
    places, seen = [(0, 0)], {(0, 0)}
    while places:
        i, j = places.pop()
        if i == len(a) and j == len(b):
            return True
        for further in _further(a, b, i, j):
            if further not in seen:
                seen.add(further)
                places.append(further)
    return False


def _further(
    a: tuple[Letters, ...], b: tuple[Letters, ...], i: int, j: int
) -> list[tuple[int, int]]:
    """Where both may go on: past a `*`, or past a letter that both can be."""
    found = []
    if i < len(a) and a[i] is ANY:
        found.append((i + 1, j))
    if j < len(b) and b[j] is ANY:
        found.append((i, j + 1))
    if i < len(a) and j < len(b):
        mine, theirs = a[i], b[j]
        both = (IN_AN_ID if mine is ANY else mine) & (IN_AN_ID if theirs is ANY else theirs)
        if both:
            found.append((i + (mine is not ANY), j + (theirs is not ANY)))
    return found


@lru_cache(10_000)
def _read(glob: str) -> tuple[Letters, ...]:
    return tuple(ANY if piece == "*" else _letters(piece) for piece in _PIECE.findall(glob))


def _letters(piece: str) -> frozenset[str]:
    return frozenset(letter for letter in IN_AN_ID if fnmatchcase(letter, piece))

"""Two globs in; whether one device can fit both out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product

import pytest

from pipeline.globs import meet

PIECES = ("a", "b", "?", "[ab]", "[!a]", "[!!-~]", "*")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("barn/*", "barn/1", True),
        ("barn/*", "hall/*", False),
        ("barn/*", "*/1", True),
        ("*-7", "greenhouse-*", True),
        ("*-7", "greenhouse-8", False),
        ("lab-[0-9]", "lab-?", True),
        ("lab-[0-9]", "lab-[a-z]", False),
        ("lab-[!0-9]", "lab-5", False),
        ("lab-[5", "lab-?5", False),  # a bracket that nothing closes is a letter, and in no id
        ("a*a*a*a*a*a*a*a*b", "*" + "a" * 100, False),
        ("Ärger", "*", False),
    ],
)
def test_two_globs_meet_where_a_device_fits_both(one: str, other: str, expected: bool) -> None:
    assert meet(one, other) is meet(other, one) is expected


def test_without_a_star_they_meet_where_an_id_of_their_length_fits_both() -> None:
    ids = ["".join(letters) for letters in product("ab/0", repeat=2)]
    globs = ["".join(pieces) for pieces in product(PIECES[:-1], repeat=2)]
    for one, other in product(globs, globs):
        fits = any(fnmatchcase(text, one) and fnmatchcase(text, other) for text in ids)
        assert meet(one, other) is fits, (one, other)


def test_with_stars_they_meet_wherever_a_short_id_fits_both() -> None:
    ids = ["".join(letters) for size in range(4) for letters in product("ab0", repeat=size)]
    globs = ["".join(pieces) for size in (1, 2, 3) for pieces in product(PIECES, repeat=size)]
    fitting = {glob: {text for text in ids if fnmatchcase(text, glob)} for glob in globs}
    for one, other in product(globs[::10], globs):
        if fitting[one] & fitting[other]:
            assert meet(one, other), (one, other)

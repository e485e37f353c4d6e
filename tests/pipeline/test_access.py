"""Tokens in; who may see what out."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

import pytest

from pipeline.access import EVERYTHING, Scope, known, parse
from pipeline.settings import Settings, SettingsError

ADA = {"token": "s3cret-of-ada", "name": "ada", "devices": ["greenhouse-*"], "can": ["read"]}
EVE = {"token": "s3cret-of-eve", "name": "eve"}


def test_a_token_is_known_by_its_whole_text_alone() -> None:
    tokens = parse(json.dumps([ADA, EVE]))
    assert known(tokens, "s3cret-of-ada") == Scope("ada", ("greenhouse-*",), frozenset({"read"}))
    assert known(tokens, "s3cret-of-eve") == Scope("eve", ("*",), frozenset({"read"}))
    for wrong in ("", "s3cret-of-ad", "s3cret-of-ada ", "S3CRET-OF-ADA", "\ud800", "é"):
        assert known(tokens, wrong) is None


@pytest.mark.parametrize("text", ["", "  ", "[]"])
def test_no_tokens_are_none(text: str) -> None:
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "is not a list of"),
        ("[1]", "has no object as number 1"),
        ([EVE, {"token": "s3cret-of-bob"}], "has no name in number 2"),
        ([{"name": "bob"}], "has no token of at least 8 printable ASCII characters in number 1"),
        ([{"token": "short", "name": "bob"}], "has no token of at least 8"),
        ([{"token": "with a space", "name": "bob"}], "has no token of at least 8"),
        ([{"token": "s3cret-ö-of-bob", "name": "bob"}], "has no token of at least 8"),
        ([EVE, {**EVE, "name": "bob"}], "has one token twice"),
        ([{**EVE, "s3cret": 1}], "has a field in number 1 that is none of"),
        ([{**EVE, "devices": []}], "has no list of devices in number 1"),
        ([{**EVE, "devices": "*"}], "has no list of devices in number 1"),
        ([{**EVE, "devices": [7]}], "has no texts as devices in number 1"),
        ([{**EVE, "can": ["s3cret"]}], "has something else than read, acknowledge"),
    ],
)
def test_tokens_that_cannot_be_meant_are_refused_without_telling_them(
    tokens: object, said: str
) -> None:
    text = tokens if isinstance(tokens, str) else json.dumps(tokens)
    with pytest.raises(SettingsError) as raised:
        Settings.of({"SMART_IOT_TOKENS": text})
    assert str(raised.value).startswith(f"SMART_IOT_TOKENS {said}")
    assert "s3cret" not in str(raised.value)


def test_tokens_come_from_a_file_and_are_in_no_dump_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps([EVE]))
    settings = Settings.of({"SMART_IOT_TOKENS_FILE": str(path)})
    assert known(settings.tokens, EVE["token"]) is not None
    assert "s3cret" not in repr(settings) + repr(settings.tokens)


@pytest.mark.parametrize(
    ("globs", "device", "seen"),
    [
        (["*"], "anything/at.all", True),
        (["greenhouse-*"], "greenhouse-7", True),
        (["greenhouse-*"], "Greenhouse-7", False),
        (["greenhouse-*"], "*fleet", False),  # its list of devices is of all
        (["*"], "*fleet", True),
        (["lab-?", "hall/*"], "hall/1", True),
        (["lab-?", "hall/*"], "lab-10", False),
    ],
)
def test_a_scope_sees_the_devices_of_its_globs(globs: list[str], device: str, seen: bool) -> None:
    assert Scope("ada", tuple(globs)).sees(device) is seen


@pytest.mark.parametrize(
    ("globs", "glob", "covered"),
    [
        (["*"], "*", True),
        (["greenhouse-*"], "greenhouse-*", True),
        (["greenhouse-*"], "greenhouse-north-?", True),
        (["greenhouse-*"], "greenhouse-7", True),
        (["greenhouse-*"], "green*", False),
        (["greenhouse-*"], "*", False),
        (["lab-?"], "lab-?", True),
        (["lab-?"], "lab-*", False),
        (["lab-?"], "lab-1", False),  # in doubt not
        (["lab-1", "hall/*"], "lab-1", True),
        (["greenhouse-*"], "greenhouse-[12]", True),
        (["site-*-lab-*"], "site-[-lab-1]", False),  # it matches site-1
    ],
)
def test_a_scope_covers_a_glob_that_goes_nowhere_beyond_it(
    globs: list[str], glob: str, covered: bool
) -> None:
    assert Scope("ada", tuple(globs)).covers(glob) is covered
    assert EVERYTHING.covers(glob)


PARTS = ("a", "b", "*", "?", "[a]", "[*]")


def test_what_a_covered_glob_matches_is_always_seen() -> None:
    globs = ["".join(parts) for n in (1, 2) for parts in product(PARTS, repeat=n)]
    devices = ["".join(letters) for n in (1, 2, 3) for letters in product("ab*", repeat=n)]
    beyond = [
        (ours, glob, device)
        for ours, glob in product(globs, globs)
        if Scope("ada", (ours,)).covers(glob)
        for device in devices
        if fnmatchcase(device, glob) and not Scope("ada", (ours,)).sees(device)
    ]
    assert not beyond

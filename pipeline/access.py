"""JSON of tokens in; who may see and change what, out. No token is told again, in no error."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, Final

from pipeline.globs import ONE_OF, meet

READ, ACKNOWLEDGE = "read", "acknowledge"
RIGHTS: Final = (READ, ACKNOWLEDGE)
SHORTEST: Final = 8  # characters of a token


@dataclass(frozen=True, slots=True)
class Scope:
    """Devices by glob, and what may be done."""

    name: str
    devices: tuple[str, ...] = ("*",)
    can: frozenset[str] = frozenset({READ})

    @property
    def sees_all(self) -> bool:
        return "*" in self.devices

    def sees(self, device_id: str) -> bool:
        return self.sees_all or any(fnmatchcase(device_id, glob) for glob in self.devices)

    def reaches(self, glob: str) -> bool:
        """Whether a glob can match something within."""
        return self.sees_all or any(meet(glob, ours) for ours in self.devices)

    def covers(self, glob: str) -> bool:
        """Whether all that a glob can match is within; in doubt it isn't.

        A glob whose only wildcards are `*` matches whatever another glob stands for, if it matches
        that one's text; but what stands in brackets is one letter of many, and no text."""
        text = ONE_OF.sub("?", glob)
        return self.sees_all or any(
            glob == ours or (not set("?[") & set(ours) and fnmatchcase(text, ours))
            for ours in self.devices
        )


EVERYTHING: Final = Scope("", can=frozenset(RIGHTS))  # of everybody, where there are no tokens


@dataclass(frozen=True, slots=True)
class Token:
    """Only its digest is kept: of one length, whatever the token's, and no secret in a dump."""

    digest: bytes = field(repr=False)
    scope: Scope


def known(tokens: Iterable[Token], given: str) -> Scope | None:
    """In the same time, whichever it is and however much of it is right."""
    digest, found = _digest(given), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token.scope
    return found


def parse(text: str) -> tuple[Token, ...]:
    """Of a JSON list; ValueError, in words, where it is none."""
    if not text.strip():
        return ()
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(listed, list):
        raise ValueError('is not a list of {"token": …, "name": …}')
    tokens = tuple(_token(number, one) for number, one in enumerate(listed, 1))
    if len({token.digest for token in tokens}) < len(tokens):
        raise ValueError("has one token twice")
    return tokens


def _token(number: int, one: Any) -> Token:
    if not isinstance(one, dict):
        raise ValueError(f"has no object as number {number}")
    if one.keys() - {"token", "name", "devices", "can"}:
        # unnamed: it may be the token itself, misplaced
        raise ValueError(
            f"has a field in number {number} that is none of token, name, devices, can"
        )
    token, name = one.get("token"), one.get("name")
    if not isinstance(token, str) or len(token) < SHORTEST or not _speakable(token):
        raise ValueError(
            f"has no token of at least {SHORTEST} printable ASCII characters in number {number}"
        )
    if not isinstance(name, str) or not name:
        raise ValueError(f"has no name in number {number}")
    devices = _texts(one.get("devices", ["*"]), f"devices in number {number}")
    can = _texts(one.get("can", [READ]), f"can in number {number}")
    if not set(can) <= set(RIGHTS):
        raise ValueError(f"has something else than read, acknowledge as can in number {number}")
    return Token(_digest(token), Scope(name, tuple(devices), frozenset(can)))


def _speakable(token: str) -> bool:
    """Whether a header can carry it as it is."""
    return token.isascii() and token.isprintable() and " " not in token


def _texts(listed: Any, what: str) -> Sequence[str]:
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"has no list of {what}")
    if not all(isinstance(text, str) and text for text in listed):
        raise ValueError(f"has no texts as {what}")
    return listed


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()

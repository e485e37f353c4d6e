"""What is wrong with a rules file, as one line of text for each mistake."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class RulesError(ValueError):
    """Every mistake of a file, in `faults`; the text has one a line."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


class Faults:
    """Collects them, so that all are told at once; the same one is told once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: dict[tuple[str, str], None] = {}  # where and what

    def __len__(self) -> int:
        return len(self._found)

    def add(self, where: str, text: str) -> None:
        self._found.setdefault((where, text))

    def apart(self) -> Faults:
        """For some that may not all be told."""
        return Faults(self._file)

    def texts(self) -> frozenset[str]:
        return frozenset(text for _, text in self._found)

    def take(self, others: Faults, known: frozenset[str]) -> None:
        """Those that aren't known from elsewhere."""
        for where, text in others._found:
            if text not in known:
                self.add(where, text)

    def wrong(self, where: str, field: str, given: Any, allowed: str) -> None:
        self.add(where, f"{field} = {shown(given)} can't be{nearest(given, allowed.split(', '))};"
                 f" allowed: {allowed}")  # fmt: skip

    def unknown(self, where: str, name: str, allowed: Iterable[str], what: str = "") -> None:
        names = list(allowed)
        known = f"; allowed: {', '.join(names)}" if names else ""
        self.add(where, f"there is no {what}{name}{nearest(name, names)}{known}")

    def end(self) -> None:
        if self._found:
            raise RulesError(
                f"{self._file}: {where}: {text}" if where else f"{self._file}: {text}"
                for where, text in self._found
            )


def closest(word: Any, allowed: Iterable[str]) -> str:
    """The allowed word that is meant, as far as one can tell, or ""."""
    if not isinstance(word, str):
        return ""
    words = list(allowed)
    close = [word] if word in words else get_close_matches(word, words, 1)
    return close[0] if close else ""


def nearest(word: Any, allowed: Iterable[str]) -> str:
    """A question, where one of the allowed words may be meant."""
    meant = closest(word, allowed)
    return f", did you mean {meant}?" if meant else ""


def shown(given: Any) -> str:
    """As TOML would have it, and not the whole of it."""
    if isinstance(given, bool):
        return str(given).lower()
    try:
        text = f'"{given}"' if isinstance(given, str) else str(given)
    except ValueError:  # more digits than str() writes
        text = "a number of very many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."

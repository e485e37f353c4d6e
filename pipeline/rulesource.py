"""Settings in; the rules of the file that they name, or the built-in ones, out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.rules.faults import RulesError
from pipeline.rules.rulebook import DEFAULT, Rulebook
from pipeline.rules.rulefile import parse
from pipeline.settings import Settings

Stamp = tuple[int, int]  # time of the last change (ns), size


def read_rules(path: Path) -> Rulebook:
    """RulesError, with every mistake, where the file can't be read or can't be meant."""
    return _parsed(path, _content(path))


class RulesFile:
    """The file of rules that the settings name. It knows what of it was read last, and so whether
    there is something new to read."""

    def __init__(self, settings: Settings) -> None:
        self.path: Final = Path(settings.rules) if settings.rules else None
        self._known: bytes | None = None  # None: it couldn't be read
        self._seen: Stamp | None = None
        self._looked_at: Stamp | None = None

    def read(self) -> Rulebook:
        """RulesError, with every mistake, where the file can't be read or can't be meant."""
        if self.path is None:
            return DEFAULT
        self._known = None
        self._known = _content(self.path)
        return _parsed(self.path, self._known)

    def has_changed(self) -> bool:
        """Whether there is other content than what was read last. What was written since the last
        look may not be whole yet, and is looked at again."""
        if self.path is None:
            return False
        seen, self._seen = self._seen, _stamp(self.path)
        if self._seen != seen or self._seen == self._looked_at:
            return False
        self._looked_at = self._seen
        try:
            content = _content(self.path)
        except RulesError:
            return self._known is not None
        return content != self._known


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RulesError([f"{path}: can't be read: {error.strerror}"]) from None


def _parsed(path: Path, content: bytes) -> Rulebook:
    try:
        return parse(content.decode(), str(path))
    except UnicodeDecodeError:
        raise RulesError([f"{path}: isn't UTF-8"]) from None


def rules_of(settings: Settings) -> Rulebook:
    return RulesFile(settings).read()

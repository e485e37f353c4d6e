"""Settings in; the rules of the file that they name, or the built-in ones, out."""

from __future__ import annotations

from pathlib import Path

from pipeline.rules.faults import RulesError
from pipeline.rules.rulebook import DEFAULT, Rulebook
from pipeline.rules.rulefile import parse
from pipeline.settings import Settings


def read_rules(path: Path) -> Rulebook:
    """RulesError, with every mistake, where the file can't be read or can't be meant."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise RulesError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise RulesError([f"{path}: isn't UTF-8"]) from None


def rules_of(settings: Settings) -> Rulebook:
    return read_rules(Path(settings.rules)) if settings.rules else DEFAULT

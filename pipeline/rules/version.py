"""The version of a packed form in; refused, in words, where a newer smart-iot has packed it."""

from __future__ import annotations


class NewerState(ValueError):
    """What is stored is newer than this program, and none of it is to be guessed at."""


def refuse_newer(what: str, found: int, known: int) -> None:
    if found > known:
        raise NewerState(
            f"the state was written by a newer smart-iot: {what} is of version {found}, and this "
            f"program reads none above {known}; nothing was changed: start the newer one again, or "
            "see docs/runbook.md for the way back"
        )

"""A .dockerignore in; out which files of a folder go to the builder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path


class Ignore:
    """The last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._patterns = [
            (line.startswith("!"), _pattern(line.removeprefix("!")))
            for line in lines
            if line and not line.startswith("#")
        ]

    def ignores(self, path: str) -> bool:
        parts = path.split("/")
        above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        verdict = False
        for wanted, pattern in self._patterns:
            if any(pattern.fullmatch(one) for one in above):
                verdict = not wanted
        return verdict

    def kept(self, root: Path, source: str) -> list[Path]:
        """Of a file or a folder, what isn't ignored."""
        return [
            path for path in _files(root / source) if not self.ignores(str(path.relative_to(root)))
        ]


def _pattern(line: str) -> re.Pattern[str]:
    escaped = re.escape(line.strip("/")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
    return re.compile(escaped)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name != "node_modules"]
        yield from (Path(folder, name) for name in files)

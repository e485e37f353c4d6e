"""The documents in; their blocks and commands, links and tables out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")],
    key=lambda page: (len(page.parts), page),
)
BLOCK: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


class Block(NamedTuple):
    page: Path
    language: str
    text: str

    def commands(self) -> Iterator[str]:
        """Each `$ …`, without its comment."""
        for line in self.text.splitlines():
            yield re.sub(r"\s+# .*", "", line).strip().removeprefix("$ ")


def blocks(*pages: Path) -> list[Block]:
    return [
        Block(page, language, text)
        for page in pages or PAGES
        for _, language, text in BLOCK.findall(page.read_text())
    ]


def commands() -> list[str]:
    """All that are said to be run, once each."""
    found = [block for block in blocks() if block.language == "console"]
    return list(dict.fromkeys(command for block in found for command in block.commands()))


def prose(page: Path) -> str:
    """Without the blocks."""
    return BLOCK.sub("", page.read_text())


def rows(page: Path, heading: str) -> list[list[str]]:
    """Of the first table below a heading, without its head."""
    below = re.split(rf"^#+ {re.escape(heading)}$", page.read_text(), flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def anchors(page: Path) -> set[str]:
    """As GitHub names headings."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w -]", "", title.lower()) for title in titles]
    return {title.strip().replace(" ", "-") for title in plain}

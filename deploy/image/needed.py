"""requirements.lock and setup.cfg in; out what of the lock some of those needs come to.

The lock pins all that anybody needs, with tests and tools. pip looks at hashes only where it is
given the whole of what it installs, so the image's share is cut out of the one lock: what setup.cfg
asks for under the names given (`install_requires`, or an extra's), and what that needs in turn.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from configparser import ConfigParser
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9._-]+")
# as uv writes it beneath an entry: `# via aiohttp`, or `# via` and a line for each
NEEDED_BY = re.compile(r"^    # (?:via|  ) ?([A-Za-z0-9._-]+)", re.MULTILINE)


def asked_for(setup: ConfigParser, names: Iterable[str]) -> set[str]:
    asked = {
        **setup["options.extras_require"],
        "install_requires": setup["options"]["install_requires"],
    }
    lines = [line for name in names for line in asked[name].splitlines()]
    return {normal(found[0]) for line in lines if (found := NAME.match(line))}


def needed(lock: str, wanted: set[str]) -> str:
    entries = [
        (normal(found[0]), entry)
        for entry in re.split(r"^(?=\w)", lock, flags=re.MULTILINE)
        if (found := NAME.match(entry))
    ]
    if missing := wanted - {name for name, _ in entries}:
        sys.exit(f"requirements.lock has no {', '.join(sorted(missing))}: run `make lock`")
    known: set[str] = set()
    while known != wanted:
        known, wanted = (
            wanted,
            wanted | {name for name, entry in entries if needed_by(entry) & wanted},
        )
    return "".join(entry for name, entry in entries if name in wanted)


def needed_by(entry: str) -> set[str]:
    return {normal(found) for found in NEEDED_BY.findall(entry)}


def normal(name: str) -> str:
    return re.sub(r"[._-]+", "-", name).lower()


if __name__ == "__main__":
    config = ConfigParser()
    config.read("setup.cfg")
    lock = Path("requirements.lock").read_text()
    sys.stdout.write(needed(lock, asked_for(config, sys.argv[1:])))

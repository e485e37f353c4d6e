"""A contestant and how many watch it in; what its viewers saw, and what it took, out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from time import monotonic, sleep
from typing import Any, NamedTuple

from pipeline.kafka.broker import RunningKafka
from tests.benchmarks.lateness import Looks, held_at_most, looks, watching
from tests.benchmarks.process import Failed, cpu_of, memory_of, said, started
from tests.benchmarks.web.lineup import ROOT, Contestant
from tests.benchmarks.web.stage import Place, place, until_ready

LEAVE_WITHIN = 30.0  # seconds


class Scene(NamedTuple):
    viewers: int
    events: int
    gap: float  # seconds between two events
    patience: float = 10.0  # seconds after which a viewer has missed one


class Turn(NamedTuple):
    scene: Scene
    seconds: float
    cpu: float  # seconds of the server, from the first event to one gap after the last
    cpu_in_all: float  # until every viewer had every event, or the patience was over
    broker: float  # seconds of its broker
    before: int  # bytes of the server, without viewers
    after: int  # with them, once they have had every event
    seen: Mapping[str, Any]
    # seconds at the most that its event loop was held: while viewers came, while they watched, and
    # as all of them left in the same moment
    held_coming: float | None = None
    held: float | None = None
    held_leaving: float | None = None

    @property
    def memory_each(self) -> float:
        """Bytes a viewer."""
        return (self.after - self.before) / self.scene.viewers

    @property
    def cpu_each(self) -> float:
        """Microseconds a delivery, in time or not."""
        arrived: int = self.seen["arrived"]
        return self.cpu_in_all / max(1, arrived) * 1e6


def turn(contestant: Contestant, kafka: RunningKafka, folder: Path, scene: Scene) -> Turn:
    """Failed where it, its viewers or what sends to it end too soon."""
    with ExitStack() as stack:
        there = stack.enter_context(place(contestant, kafka, folder))
        command, at = contestant.server(there.port), folder / "server"
        server = stack.enter_context(started(command, at, ROOT, there.environment))
        until_ready(contestant, there.port, server, folder)
        with _watching(contestant, there, folder / "first", scene._replace(viewers=1, events=0)):
            pass  # so that what the first viewer alone takes isn't counted
        before, beginning = memory_of(server.pid), _looks(contestant, there)
        with _watching(contestant, there, folder / "viewers", scene) as viewers:
            inside = _looks(contestant, there)
            took = _played(contestant, there, folder, scene, server.pid, viewers, before)
            watched = _looks(contestant, there)
        if beginning is None or inside is None or watched is None:
            return took
        _until_left(there)
        return took._replace(
            held_coming=held_at_most(inside, beginning),
            held=held_at_most(watched, inside),
            held_leaving=held_at_most(looks(there.port), watched),
        )


def _looks(contestant: Contestant, there: Place) -> Looks | None:
    return looks(there.port) if contestant.tells_lateness else None


def _until_left(there: Place) -> None:
    deadline = monotonic() + LEAVE_WITHIN
    while watching(there.port):
        if monotonic() > deadline:
            raise Failed("viewers that left are still counted")
        sleep(0.05)


def _played(
    contestant: Contestant,
    there: Place,
    folder: Path,
    scene: Scene,
    server: int,
    viewers: Talking,
    before: int,
) -> Turn:
    command = (*contestant.sender, str(scene.events), str(scene.gap))
    with _talking(command, folder / "sender", there.environment) as sender:
        sender.hear("ready")
        begin = _spent(server, there)
        sender.say("go")
        times = sender.hear()
        end = _spent(server, there)
    file = folder / "times.json"
    file.write_text(times)
    viewers.say(str(file))
    seen = json.loads(viewers.hear())
    in_all = cpu_of(server) - begin[1]
    seconds, cpu, broker = (b - a for a, b in zip(begin, end, strict=True))
    return Turn(scene, seconds, cpu, in_all, broker, before, memory_of(server), seen)


def _spent(server: int, there: Place) -> tuple[float, float, float]:
    """Seconds: of the clock, of the server and of its broker."""
    return monotonic(), cpu_of(server), cpu_of(there.broker) if there.broker else 0.0


class Talking:
    """A process that says a line at a time; each of them bounds its own waiting."""

    def __init__(self, process: Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def hear(self, expected: str = "") -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode().strip()
        if not line.startswith(expected) or not line:
            raise Failed(f"it said {line[:200]!r}:\n{said(self._folder)}")
        return line

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"it has ended:\n{said(self._folder)}") from None


@contextmanager
def _talking(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[Talking]:
    with started(command, folder, ROOT, environment, talking=True) as process:
        yield Talking(process, folder)


@contextmanager
def _watching(
    contestant: Contestant, there: Place, folder: Path, scene: Scene
) -> Iterator[Talking]:
    """Viewers, all of them inside."""
    given = {
        "port": there.port,
        "path": contestant.path,
        "viewers": scene.viewers,
        "events": scene.events,
        "polling": contestant.polling,
        "patience": scene.patience,
    }
    command = (sys.executable, "-m", "tests.benchmarks.web.viewers", json.dumps(given))
    with _talking(command, folder, os.environ) as viewers:
        viewers.hear("ready")
        yield viewers

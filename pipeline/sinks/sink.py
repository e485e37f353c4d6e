"""What a sink is: batches of entries in, a database that holds each once out.

Theory of operation. Beside its rows a database keeps how far it is written, of every partition: the
next offset (`progress`). That, and not what is committed in Kafka, says where an archive goes on.
A batch names where its partitions stand and where they will (`Span`), and a sink takes it only if
they stand there. So

- what comes again after a crash, or when nobody knows whether a write went through, is known for
  what it is and changes nothing;
- a database that was emptied, or set back to an older copy, gets all that Kafka still has;
- a writer that doesn't know that it is over finds its partitions elsewhere (`Displaced`).

Where rows and progress can't be written in one step, the rows go first, and are such that writing
them again changes nothing.

An exception is a decision of whoever writes: SinkUnavailable, the same batch again later;
SinkRejected, these entries never; Displaced, ask anew where to go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

LONGEST_WHY: Final = 500  # characters of a database's words that are passed on

READING: Final = "reading"
EVENT: Final = "event"
OPEN: Final = "open"
WINDOW: Final = "window"
Source = tuple[str, int]  # a topic and a partition of it


class SinkUnavailable(Exception):
    """It can't be written now; the same batch may be later."""


class TakesTooLong(SinkUnavailable):
    """The database has ended it: it isn't away, but this is more than it does at once."""


class SinkRejected(Exception):
    """The database refuses these entries, or one of them, and will do so again."""


class Displaced(Exception):
    """A partition isn't where we left it: another wrote, or the database lost what it had."""


class Entry(NamedTuple):
    """A record of one of our topics, and what it says. `timestamp` is its record time in ms."""

    kind: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    content: Any

    @property
    def source(self) -> Source:
        return self.topic, self.partition


class Refused(NamedTuple):
    """An entry that the database will never take, with its words."""

    entry: Entry
    why: str


@dataclass(slots=True)
class Span:
    """A partition stands at `begin` (None: nothing is known of it) and will at `end`. `anew`: it is
    read from its beginning, whatever was known of it before."""

    begin: int | None
    end: int
    anew: bool = False


@dataclass(slots=True)
class Batch:
    """Entries in the order of their partitions; `refused` are those that are none of ours."""

    entries: list[Entry] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    spans: dict[Source, Span] = field(default_factory=dict)


Refuse = Callable[[Sequence[Refused]], Awaitable[None]]


class Sink(Protocol):
    """`takes` are the kinds of entries that it is for. `at` is the time now, in seconds.

    Every method may raise SinkUnavailable, a database that isn't migrated too, and can then be
    called again.
    """

    takes: Collection[str]

    async def migrate(self) -> str:
        """Make the database fit to be written, or leave it as it is; what was done, in words."""

    async def progress(self, cluster: str, sources: Collection[Source]) -> Mapping[Source, int]:
        """Where these partitions stand; those are left out of which nothing is known."""

    async def write(self, cluster: str, batch: Batch, refuse: Refuse, at: float) -> None:
        """Returns once all is written, but for what `refuse` was told before the progress went on.
        Displaced if the partitions don't stand where the batch begins, nor where it ends."""

    async def current(self, cluster: str, stands: Mapping[Source, int]) -> None:
        """All that these partitions had some seconds ago is written, up to there: said every few
        seconds, for who reads the database and can't know. Displaced where it isn't any more."""

    async def tidy(self, at: float) -> int:
        """Delete some of what is kept no longer; how many rows, 0 once there are none."""

    async def close(self) -> None:
        """Let go of the connection; the next call makes another."""


def stands(spans: Mapping[str, Span], stored: Mapping[str, int | None]) -> bool:
    """Whether a batch is written already; Displaced if it is neither at its begin nor at its end.

    Both are by the names that a database has for the partitions.
    """
    for name, span in spans.items():
        if stored.get(name) not in (span.begin, span.end):
            raise Displaced(
                f"{name} stands at {stored.get(name)}, and not at {span.begin}: another archive "
                "writes there, or the database has lost what it had"
            )
    return all(stored.get(name) == span.end for name, span in spans.items())


def named(cluster: str, spans: Mapping[Source, Span]) -> dict[str, Span]:
    return {name_of(cluster, source): span for source, span in spans.items()}


def name_of(cluster: str, source: Source) -> str:
    """A partition's name in a database; the same topic of a broker set up anew is another one."""
    topic, partition = source
    return f"{cluster}/{topic}/{partition}"


async def without_rejected(
    entries: Sequence[Entry], put: Callable[[Sequence[Entry]], Awaitable[None]]
) -> list[Refused]:
    """Put all but what the database refuses, which is found by halving: one bad entry in 2,000
    costs some twenty tries, and not the batch."""
    try:
        if entries:
            await put(entries)
    except SinkRejected as rejected:
        if len(entries) == 1:
            return [Refused(entries[0], str(rejected)[:LONGEST_WHY])]
        middle = len(entries) // 2
        first = await without_rejected(entries[:middle], put)
        return first + await without_rejected(entries[middle:], put)
    return []

"""What a run left behind, and its comparison with an undisturbed one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from tests.proof.kafka import Sent, open_alerts, publish, quiet, records, states
from tests.proof.worker import Worker

Key = tuple[str, int]


class Outcome(NamedTuple):
    """Events by (alert_id, seq), repeats folded; device states; what `alerts-open` says."""

    events: dict[Key, Any]
    states: dict[str, Any]
    open: dict[str, dict[str, Any]]
    published: int


async def outcome(bootstrap: str, prefix: str, *, whole: bool = True) -> Outcome:
    """Read it from the topics. A repeat that says something else than the first is an error.

    Not `whole`: of an event only the digest is kept, of a hundred thousand it's enough.
    """
    events: dict[Key, Any] = {}
    published = 0
    async for record in records(bootstrap, prefix + "alerts"):
        event = json.loads(record.value)
        key = (event["alert_id"], event["seq"])
        said = event if whole else blake2b(record.value, digest_size=12).digest()
        assert events.setdefault(key, said) == said, f"two versions of {key}"
        published += 1
    return Outcome(
        events,
        await states(bootstrap, prefix),
        await open_alerts(bootstrap, prefix),
        published,
    )


async def undisturbed(
    bootstrap: str, prefix: str, folder: Path, readings: Iterable[Sent]
) -> Outcome:
    """The outcome of one worker that nobody disturbs."""
    with Worker(bootstrap, prefix, folder, name="undisturbed") as worker:
        await worker.ready()
        await publish(bootstrap, prefix + "readings", readings)
        await quiet(bootstrap, prefix)
        assert worker.stop() == 0, worker.tail()
    return await outcome(bootstrap, prefix)


class Differences(NamedTuple):
    """From an undisturbed run: the events, devices and open alerts that are wrong, each by its key;
    and the alerts whose events have holes."""

    missing: list[Key]
    spurious: list[Key]
    different: list[Key]
    rows: list[str]
    open: list[str]
    holes: list[str]


def differences(disturbed: Outcome, clean: Outcome) -> Differences:
    there, here = disturbed.events, clean.events
    return Differences(
        missing=[key for key in here if key not in there],
        spurious=[key for key in there if key not in here],
        different=[key for key, event in here.items() if there.get(key, event) != event],
        rows=_unequal(disturbed.states, clean.states),
        open=_unequal(disturbed.open, clean.open),
        holes=_with_holes(disturbed),
    )


def assert_same(disturbed: Outcome, clean: Outcome) -> None:
    found = differences(disturbed, clean)
    counts = {name: len(keys) for name, keys in found._asdict().items()}
    told = [
        (key, clean.events.get(key), disturbed.events.get(key))
        for key in (*found.missing[:1], *found.spurious[:1], *found.different[:1])
    ]
    keys = (found.rows[:3], found.open[:3], found.holes[:3])
    assert not any(found), f"{counts}; {told}; {keys}"


def assert_seq_without_holes(outcome: Outcome) -> None:
    assert _with_holes(outcome) == []


def _unequal(some: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    return [key for key in some.keys() | others.keys() if some.get(key) != others.get(key)]


def _with_holes(outcome: Outcome) -> list[str]:
    highest: dict[str, int] = {}
    count: Counter[str] = Counter()
    for alert_id, seq in outcome.events:
        highest[alert_id] = max(seq, highest.get(alert_id, 0))
        count[alert_id] += 1
    return [alert_id for alert_id, seq in highest.items() if seq != count[alert_id]]


def of_rule(outcome: Outcome, rule: str) -> list[tuple[str, str]]:
    """(device, kind of event) of a rule, in order of time."""
    events = [event for event in outcome.events.values() if event["rule"] == rule]
    events.sort(key=lambda event: (event["timestamp"], event["seq"]))
    return [(event["device_id"], event["event"]) for event in events]

"""What a run left behind, and its comparison with an undisturbed one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.proof.kafka import Sent, alerts, open_alerts, publish, quiet, states
from tests.proof.worker import Worker

Key = tuple[str, int]


class Outcome(NamedTuple):
    """Events by (alert_id, seq), repeats folded; device states; what `alerts-open` says."""

    events: dict[Key, dict[str, Any]]
    states: dict[str, Any]
    open: dict[str, dict[str, Any]]
    published: int


async def outcome(bootstrap: str, prefix: str) -> Outcome:
    """Read it from the topics. A repeat that says something else than the first is an error."""
    events: dict[Key, dict[str, Any]] = {}
    published = await alerts(bootstrap, prefix)
    for event in published:
        key = (event["alert_id"], event["seq"])
        assert events.setdefault(key, event) == event, f"two versions of {key}"
    return Outcome(
        events,
        await states(bootstrap, prefix),
        await open_alerts(bootstrap, prefix),
        len(published),
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


def assert_same(disturbed: Outcome, clean: Outcome) -> None:
    missing = clean.events.keys() - disturbed.events.keys()
    spurious = disturbed.events.keys() - clean.events.keys()
    assert not missing, f"{len(missing)} events are missing, as {clean.events[next(iter(missing))]}"
    assert not spurious, f"{len(spurious)} are spurious: {disturbed.events[next(iter(spurious))]}"
    different = [key for key, event in clean.events.items() if disturbed.events[key] != event]
    assert not different, f"{len(different)} events differ, as {different[0]}"
    assert disturbed.states == clean.states
    assert disturbed.open == clean.open
    assert_seq_without_holes(disturbed)


def assert_seq_without_holes(outcome: Outcome) -> None:
    highest: dict[str, int] = {}
    count: dict[str, int] = {}
    for alert_id, seq in outcome.events:
        highest[alert_id] = max(seq, highest.get(alert_id, 0))
        count[alert_id] = count.get(alert_id, 0) + 1
    assert highest == count


def of_rule(outcome: Outcome, rule: str) -> list[tuple[str, str]]:
    """(device, kind of event) of a rule, in order of time."""
    events = [event for event in outcome.events.values() if event["rule"] == rule]
    events.sort(key=lambda event: (event["timestamp"], event["seq"]))
    return [(event["device_id"], event["event"]) for event in events]

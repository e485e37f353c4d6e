"""Any history under rules of every kind in; what must hold of its events and of the device.

What is applied twice after a crash is the caller's to see: it stores the applied offset with the
device (`pipeline/rows.py`). The model of it here is `Caller`; `tests/agents/test_again.py`
has the real one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules import Device, Engine, Event, Reading
from pipeline.rules.rulefile import parse
from pipeline.words import event_json
from tests.pipeline.rules.history import NO_GRACE, START

RULES = """
[rules.heat]
metric = "temperature"
for = "10s"
repeat = 2
keep_firing_for = "30s"
remind_every = "1h"
levels = [{ severity = "warning", above = 30, clear = 28 }, { severity = "danger", above = 35 }]

[rules.rise]
metric = "temperature"
of = "change"
over = "5m"
levels = [{ severity = "info", above = 10 }]

[rules.few]
metric = "humidity"
of = "count"
over = "1m"
levels = [{ severity = "info", below = 3 }]

[rules.impossible]
kind = "range"
bounds = { temperature = [-40, 85] }
remind_every = "1d"

[rules.stuck]
kind = "flatline"
metrics = ["humidity"]
for = "20s"
repeat = 3

[rules.offline]
kind = "offline"
after = "auto"
danger_after = "1h"
min_readings = 2
remind_every = "2h"
"""
BOOK = parse(RULES)
OTHER = parse(
    RULES.replace("above = 30, clear = 28", "above = 25").replace('over = "1m"', 'over = "2m"')
)


class Message(NamedTuple):
    """A reading; a check where there are no values; `ack` acknowledges whatever is open first."""

    device: str
    pause: float
    skew: float | None
    values: dict[str, float]
    sequence: int | None
    ack: bool
    other: bool  # the rules have changed before it comes


MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from(["a", "b", "c"]),
        st.one_of(st.sampled_from([0.0, 0.5, 10.0, 61.0, 3_600.0, 700_000.0]), st.floats(0, 1e5)),
        st.one_of(st.none(), st.sampled_from([0.0, -100.0, -4_000.0, 9e8])),
        st.dictionaries(
            st.sampled_from(["temperature", "humidity"]),
            st.sampled_from([-127.0, 20.0, 29.0, 31.0, 36.0, 50.0]),
        ),
        st.one_of(st.none(), st.integers(0, 3)),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=50,
)


class Caller:
    """Devices, and the offset that is applied to each."""

    def __init__(self) -> None:
        self.engines = {
            other: Engine(OTHER if other else BOOK, window=60.0) for other in (False, True)
        }
        self.devices: dict[str, Device] = {}
        self.applied: dict[str, int] = {}
        self.events: dict[str, list[Event]] = defaultdict(list)

    def take(self, offset: int, message: Message, at: float) -> None:
        if offset <= self.applied.get(message.device, -1):
            return
        device = self.devices.setdefault(message.device, Device(message.device))
        self.applied[message.device] = offset
        self.events[message.device] += apply(self.engines[message.other], device, message, at)

    def restart(self) -> None:
        """Everything that isn't stored is gone."""
        for device_id, device in self.devices.items():
            row = msgspec.msgpack.decode(msgspec.msgpack.encode(device.pack()))
            self.devices[device_id] = Device.unpack(device_id, row)

    def told(self) -> dict[str, list[bytes]]:
        return {device: [event_json(e) for e in told] for device, told in self.events.items()}


def apply(engine: Engine, device: Device, message: Message, at: float) -> list[Event]:
    events: list[Event] = []
    if message.ack:
        events += engine.settle(device, at, NO_GRACE)
        for alert in device.open_alerts():
            events += engine.acknowledge(device, alert.alert_id, "ann", None, at)
    if not message.values:
        return events + engine.settle(device, at, NO_GRACE)
    time = None if message.skew is None else at + message.skew
    reading = Reading(device.id, time, at, dict(message.values), message.sequence)
    return events + engine.reading(device, reading, at, NO_GRACE)[1]


def timed(messages: list[Message]) -> list[tuple[int, Message, float]]:
    at, result = START, []
    for offset, message in enumerate(messages):
        at += message.pause
        result.append((offset, message, at))
    return result


def play(messages: list[tuple[int, Message, float]]) -> Caller:
    caller = Caller()
    for offset, message, at in messages:
        caller.take(offset, message, at)
    return caller


@given(MESSAGES)
def test_never_two_open_alerts_of_a_rule_and_every_fired_is_resolved_at_most_once(
    messages: list[Message],
) -> None:
    caller = play(timed(messages))
    for device, told in caller.events.items():
        open_now: dict[str, str] = {}
        for event in told:
            if event.event == "fired":
                assert event.rule not in open_now
                open_now[event.rule] = event.alert_id
            assert open_now[event.rule] == event.alert_id
            if event.event == "resolved":
                del open_now[event.rule]
        still = {alert.rule: alert.alert_id for alert in caller.devices[device].open_alerts()}
        assert open_now == still


@given(MESSAGES)
def test_seq_has_no_hole(messages: list[Message]) -> None:
    for told in play(timed(messages)).events.values():
        seen: dict[str, int] = defaultdict(int)
        for event in told:
            assert event.seq == seen[event.alert_id] + 1
            seen[event.alert_id] = event.seq


@given(MESSAGES)
def test_a_resolution_is_never_suppressed_and_only_silence_makes_stale(
    messages: list[Message],
) -> None:
    for told in play(timed(messages)).events.values():
        for event in told:
            if event.event == "resolved":
                assert (event.suppressed_by, event.stale) == (None, False)
            if event.suppressed_by is not None:
                assert event.stale
                assert event.kind != "offline"


@given(MESSAGES, st.integers(0, 50), st.integers(0, 50))
def test_replaying_any_prefix_changes_nothing(
    messages: list[Message], crash: int, back: int
) -> None:
    whole = timed(messages)
    caller = play(whole[:crash])
    caller.restart()
    for offset, message, at in whole[min(crash, back) :]:
        caller.take(offset, message, at)
    straight = play(whole)
    assert caller.told() == straight.told()
    assert caller.devices == straight.devices


@given(MESSAGES)
def test_any_interleaving_of_devices_gives_each_its_own_history(messages: list[Message]) -> None:
    together = play(timed(messages)).told()
    for device, told in together.items():
        alone = [one for one in timed(messages) if one[1].device == device]
        assert play(alone).told() == {device: told}


@given(MESSAGES)
def test_what_is_named_as_due_is_and_nothing_sooner(messages: list[Message]) -> None:
    engine, device, at = Engine(BOOK), Device("a"), START
    for message in messages:
        at += message.pause
        apply(engine, device, message, at)
        due = engine.due(device, NO_GRACE)
        assert due > at
        packed = device.pack()
        assert engine.settle(device, min(due - 0.001, 1e15), NO_GRACE) == []
        assert device.pack() == packed


@given(MESSAGES, st.lists(st.floats(0, 1e5), max_size=4))
def test_checks_in_between_change_no_event(messages: list[Message], checks: list[float]) -> None:
    expected = play(
        [(i, one._replace(device="a", other=False), at) for i, one, at in timed(messages)]
    )
    engine, device, at, told = Engine(BOOK, window=60.0), Device("a"), START, []
    for message in messages:
        for check in sorted(checks):
            if check < message.pause:
                told += engine.settle(device, at + check, NO_GRACE)
        at += message.pause
        told += apply(engine, device, message._replace(device="a"), at)
    assert [event_json(event) for event in told] == expected.told().get("a", [])

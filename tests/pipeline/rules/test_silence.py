"""Histories of silences and alerts in; what each event is under, and what an end lets out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules import Event, Level, Rulebook, Threshold
from pipeline.rules.engine import Device
from pipeline.rules.silence import AT_MOST, LONGEST, NEVER, Full, Silence, Silences
from pipeline.words import event_json
from tests.pipeline.rules.history import LADDER, NO_GRACE, START, History, after
from tests.pipeline.rules.test_properties import BOOK


def silence(name: str = "s1", start: float = 0, end: float = 100, **matcher: Any) -> Silence:
    matcher = matcher or {"device": "*"}
    wanted = [matcher.get(field) for field in ("device", "rule", "severity")]
    return Silence(name, *wanted, "ada", None, after(start), after(start), after(end))


class Quiet(History):
    """A history under silences, told as a partition's task tells it."""

    def __init__(self, *silences: Silence, **more: Any) -> None:
        super().__init__(**more)
        self.silences = Silences()
        for one in silences:
            self.silences.add(one)

    def hears(self, at: float, **values: float) -> None:
        self.events += self.silences.settle(self.engine, self.device, after(at), NO_GRACE)
        told = len(self.events)
        self.reading(at, **values)
        self.silences.mark(self.device, self.events[told:])

    def checks(self, at: float) -> None:
        self.events += self.silences.settle(self.engine, self.device, after(at), NO_GRACE)

    @property
    def told(self) -> list[tuple[str, str, str | None]]:
        return [(event.event, event.reason, event.suppressed_by) for event in self.events]


FIRED, BACK = ("fired", "threshold", "s1"), ("resolved", "value_normal", None)
OUT = ("updated", "unsuppressed", None)


@pytest.mark.parametrize(
    ("matcher", "hit"),
    [
        ({"device": "greenhouse-*"}, True),
        ({"device": "cellar-*"}, False),
        ({"rule": "load"}, True),
        ({"rule": "offline"}, False),
        ({"severity": "info"}, True),
        ({"severity": "danger"}, False),
        ({"device": "greenhouse-7", "rule": "l*", "severity": "info"}, True),
        ({"device": "greenhouse-7", "severity": "danger"}, False),
    ],
)
def test_all_that_a_matcher_names_must_match(matcher: dict[str, str], hit: bool) -> None:
    told = Quiet(silence(**matcher), rulebook=LADDER)
    told.hears(1, load=61)
    assert told.told == [("fired", "threshold", "s1" if hit else None)]


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ([(-1, 61)], [("fired", "threshold", None)]),  # before it starts
        ([(0, 61)], [FIRED]),
        ([(99, 61)], [FIRED]),
        ([(100, 61)], [("fired", "threshold", None)]),  # its end is not in it
        ([(1, 61), (2, 20)], [FIRED, BACK]),  # a resolution is never suppressed
        ([(1, 61), (2, 71)], [FIRED, ("updated", "severity_changed", "s1")]),
        ([(1, 61), (120, 62)], [FIRED, OUT]),  # still open when it ends
        ([(1, 61), (120, 20)], [FIRED, OUT, BACK]),  # first what fell due, then the reading
        ([(1, 61), (2, 20), (120, 20)], [FIRED, BACK]),
        # what it was before the silence stays told, and isn't told again
        ([(-1, 61), (120, 62)], [("fired", "threshold", None)]),
    ],
)
def test_what_is_told_under_a_silence_from_0_to_100(
    history: list[tuple[float, float]], told: list[tuple[str, str, str | None]]
) -> None:
    heard = Quiet(silence(), rulebook=LADDER)
    for at, load in history:
        heard.hears(at, load=load)
    assert heard.told == told


def test_an_end_is_stamped_with_its_due_time_however_late_it_is_seen() -> None:
    heard = Quiet(silence(), rulebook=LADDER)
    heard.hears(1, load=61)
    heard.hears(5_000, load=62)
    last = heard.events[-1]
    assert (last.reason, last.timestamp, last.detected_at) == (
        "unsuppressed",
        after(100),
        after(100),
    )
    assert (last.seq, last.value, last.severity, last.status) == (2, 61.0, "info", "active")


def test_a_check_and_the_next_reading_tell_of_an_end_in_the_same_words() -> None:
    found = []
    for with_check in (True, False):
        heard = Quiet(silence())
        for at in range(5):
            heard.hears(at, temperature=36)
        if with_check:
            heard.checks(400)
        heard.hears(400, temperature=20)
        found.append([(e.event, e.reason, e.rule, e.seq, e.timestamp) for e in heard.events])
    assert found[0] == found[1]
    # fired; offline while it was silenced, which suppresses the first; it alone is let out at 100
    assert [reason for _, reason, *_ in found[0]] == [
        "threshold", "offline", "stale", "unsuppressed", "device_returned", "value_normal",
    ]  # fmt: skip


REMINDING = Rulebook([Threshold("load", "load", "above", [Level("info", 60, 50)], remind=60)])


def test_an_alert_that_ends_in_the_message_that_fires_it_is_under_its_silence() -> None:
    heard = Quiet(silence(end=500))
    for at in (0, 1, 2, 3, 400):
        heard.hears(at, temperature=20)
    assert heard.told == [("fired", "offline", "s1"), ("resolved", "device_returned", None)]


def test_events_marked_at_once_are_each_under_what_held_then() -> None:
    heard = Quiet(silence(start=5), rulebook=LADDER)
    for at, load in ((1, 61), (10, 71), (20, 20)):
        heard.reading(at, load=load)
    heard.silences.mark(heard.device, heard.events)
    assert [event.suppressed_by for event in heard.events] == [None, "s1", None]


def test_of_two_reminders_each_is_under_what_holds_when_it_is_due() -> None:
    heard = Quiet(silence(start=10), rulebook=REMINDING)
    heard.hears(1, load=61)
    heard.hears(130, load=62)
    assert heard.told == [
        ("fired", "threshold", None),
        ("reminder", "reminder", "s1"),  # at 61
        OUT,  # at 100
        ("reminder", "reminder", None),  # at 121
    ]


def test_nothing_is_let_out_before_it_started() -> None:
    heard = Quiet(silence(), rulebook=LADDER)
    heard.events += heard.silences.settle(heard.engine, heard.device, after(50), NO_GRACE)
    heard.reading(50, 120, load=61)  # its clock is 70 s ahead
    heard.silences.mark(heard.device, heard.events)
    heard.checks(110)
    assert heard.told == [FIRED, OUT]
    assert heard.events[-1].timestamp == heard.events[-1].started_at == after(120)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.5, 10.0, 61.0, 200.0, 3_600.0, 20_000.0]),
            st.sampled_from([-127.0, 20.0, 31.0, 36.0]),
        ),
        max_size=30,
    ),
    st.lists(
        st.tuples(
            st.floats(0, 30_000),
            st.floats(1, 20_000),
            st.sampled_from([{"device": "*"}, {"rule": "[h-o]*"}, {"severity": "danger"}]),
        ),
        max_size=4,
    ),
    st.lists(st.floats(0, 20_000), max_size=5),
)
def test_checks_in_between_change_no_event_under_silences(
    history: list[tuple[float, float]],
    silences: list[tuple[float, float, dict[str, str]]],
    checks: list[float],
) -> None:
    told = []
    for pauses in ([], sorted(checks)):
        heard = Quiet(
            *(silence(f"s{n}", a, a + b, **m) for n, (a, b, m) in enumerate(silences)),
            rulebook=BOOK,
        )
        at = 0.0
        for pause, temperature in history:
            for check in pauses:
                if check < pause:
                    heard.checks(at + check)
            at += pause
            heard.hears(at, temperature=temperature, humidity=50)
        told.append([event_json(event) for event in heard.events])
    assert told[0] == told[1]


def test_the_alert_stays_under_the_next_silence_when_one_of_two_ends() -> None:
    heard = Quiet(silence(), silence("s2", 50, 200), rulebook=LADDER)
    heard.hears(1, load=61)
    heard.hears(150, load=62)
    assert heard.told == [FIRED]
    heard.hears(250, load=62)
    assert heard.told == [FIRED, OUT]
    assert heard.events[-1].timestamp == after(200)


def test_an_alert_that_leaves_the_matched_severity_is_told_and_not_let_out_again() -> None:
    heard = Quiet(silence(severity="info"), rulebook=LADDER)
    for at, load in ((1, 61), (2, 71), (120, 72)):
        heard.hears(at, load=load)
    assert heard.told == [FIRED, ("updated", "severity_changed", None)]


def test_an_end_is_due_for_marked_devices_alone_and_survives_a_restart() -> None:
    heard = Quiet(silence(), rulebook=LADDER)
    assert heard.silences.due(heard.device) == NEVER
    heard.hears(1, load=61)
    again, device = Silences(), Device.unpack(heard.device.id, heard.device.pack())
    again.unpack(heard.silences.pack())
    again.note(device)
    assert again.due(device) == after(100)
    events: list[Event] = again.settle(heard.engine, device, after(150), NO_GRACE)
    assert [(event.reason, event.seq) for event in events] == [("unsuppressed", 2)]
    assert again.due(device) == NEVER


def test_an_alert_under_a_silence_that_nobody_knows_is_let_out_when_that_was_to_end() -> None:
    heard = Quiet(silence(), rulebook=LADDER)
    heard.hears(1, load=61)
    heard.silences.remove("s1")
    heard.hears(2, load=62)
    assert heard.told == [FIRED]
    heard.hears(101, load=62)
    assert heard.told == [FIRED, OUT]


def test_the_same_silence_twice_is_one_and_there_is_room_for_so_many() -> None:
    silences = Silences()
    assert silences.add(silence())
    assert not silences.add(silence())
    for number in range(AT_MOST - 1):
        silences.add(silence(f"more-{number}"))
    assert not silences.add(silence())
    with pytest.raises(Full):
        silences.add(silence("one-more"))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"device": None}, "needs a device, a rule or a severity"),
        ({"device": ""}, "needs a device, a rule or a severity"),
        ({"device": "x" * 257}, "device is longer than 256"),
        ({"severity": "awful"}, "'awful' is none of info, warning, danger"),
        ({"ends_at": START}, "must end after it starts"),
        ({"ends_at": START + LONGEST + 1}, "within a year"),
        ({"starts_at": START + LONGEST, "ends_at": START + LONGEST + 1}, "within a year"),
    ],
)
def test_a_silence_that_cannot_be_meant_is_refused_in_words(
    wrong: dict[str, Any], why: str
) -> None:
    right = {
        "id": "s1", "device": "a", "rule": None, "severity": None, "by": "ada", "comment": None,
        "created_at": START, "starts_at": START, "ends_at": START + 60,
    }  # fmt: skip
    Silence(**right)
    with pytest.raises(ValueError, match=why):
        Silence(**right | wrong)


def test_an_acknowledgement_is_said_once_and_undone_by_a_rise_of_severity_alone() -> None:
    told = History(LADDER)
    told.reading(0, load=71)
    (fired,) = told.events
    ack = (told.device, fired.alert_id, "ada", "on my way")
    (acked,) = told.engine.acknowledge(*ack, after(5))
    assert (acked.event, acked.reason, acked.seq) == ("acked", "manual", 2)
    assert (acked.acked, acked.acked_by, acked.note) == (True, "ada", "on my way")
    assert (acked.severity, acked.value, acked.timestamp) == ("warning", 71.0, after(5))
    assert told.engine.acknowledge(*ack, after(6)) == []
    told.device = Device.unpack(told.device.id, told.device.pack())
    assert told.engine.acknowledge(told.device, *ack[1:], after(7)) == []
    for at, load, still in ((10, 59, True), (20, 75, False)):
        told.reading(at, load=load)
        assert (told.events[-1].event, told.events[-1].acked) == ("updated", still)
    assert (told.events[-1].acked_by, told.events[-1].note) == (None, None)
    assert len(told.engine.acknowledge(told.device, *ack[1:], after(21))) == 1
    told.reading(30, load=10)
    assert told.events[-1].event == "resolved"
    assert told.engine.acknowledge(told.device, *ack[1:], after(31)) == []


def test_an_acknowledgement_under_a_silence_is_under_it_too() -> None:
    heard = Quiet(silence(), rulebook=LADDER)
    heard.hears(1, load=61)
    events = heard.engine.acknowledge(heard.device, heard.events[0].alert_id, "ada", None, after(2))
    heard.silences.mark(heard.device, events)
    assert events[0].suppressed_by == "s1"
    assert heard.silences.due(heard.device) == after(100)

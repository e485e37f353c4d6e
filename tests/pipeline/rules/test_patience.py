"""Rules that wait, hold on, remind or look back in; tables of histories."""

from __future__ import annotations

import pytest

from pipeline.rules import Device, Engine, Flatline, Level, Offline, Range, Rulebook, Threshold
from pipeline.rules.lifecycle import REMINDERS
from pipeline.rules.rulebook import Bounds
from pipeline.rules.trend import MOST
from tests.pipeline.rules.history import History, after, play

HOT = [Level("danger", 80, 70)]
LADDER = [Level("info", 60, 50), Level("warning", 70, 60), Level("danger", 80, 70)]
Told = list[tuple[float, float]]


def book(levels: list[Level] = HOT, **patience: float | str) -> Rulebook:
    return Rulebook([Threshold("load", "load", "above", levels, **patience)])  # type: ignore[arg-type]


def lives(history: Told, rulebook: Rulebook) -> list[str]:
    return [event.event for event in play("load", history, rulebook)]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(0, 81), (10, 60), (20, 81), (30, 60)], []),  # glitches of one row
        ([(0, 81), (10, 81)], ["fired"]),
        ([(0, 81), (10, 79), (20, 81)], []),  # in a row
        ([(0, 81), (10, 81), (20, 69)], ["fired", "resolved"]),  # it ends at once
        ([(0, 81), (10, 81), (20, 69), (30, 81), (40, 60)], ["fired", "resolved"]),
    ],
)
def test_repeat_readings_in_a_row_must_be_beyond_the_line(
    history: Told, expected: list[str]
) -> None:
    assert lives(history, book(repeat=2)) == expected


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(0, 81), (59, 81)], []),
        ([(0, 81), (60, 81)], ["fired"]),
        ([(0, 81), (30, 79), (60, 81), (119, 81)], []),  # it began anew at 60
        ([(0, 81), (30, 79), (60, 81), (120, 81)], ["fired"]),
    ],
)
def test_readings_must_be_beyond_the_line_for_so_long(history: Told, expected: list[str]) -> None:
    assert lives(history, book(hold=60)) == expected


def test_a_pending_alert_counts_its_readings_and_starts_when_it_fires() -> None:
    (fired,) = play("load", [(0, 81), (40, 82), (60, 83)], book(hold=60, repeat=2))
    assert (fired.count, fired.value, fired.started_at) == (3, 83, after(60))


def test_a_silent_device_never_turns_pending_into_firing() -> None:
    told = History(book(hold=60))
    told.reading(0, load=81)
    assert told.settle(86_400) == []
    assert told.steps == []


def test_a_reading_without_the_metric_neither_ends_nor_advances_what_is_pending() -> None:
    told = History(book(repeat=2))
    for values in ({"load": 81.0}, {"other": 1.0}, {"load": 81.0}):
        told.reading(0, values=values)
    assert told.steps == ["load fired"]


def test_pending_survives_being_stored() -> None:
    told = History(book(repeat=2))
    told.reading(0, load=81)
    told.device = Device.unpack(told.device.id, told.device.pack())
    told.reading(10, load=81)
    assert told.steps == ["load fired"]


@pytest.mark.parametrize(
    ("values", "severities"),
    [
        ([61, 85, 85, 61, 85, 61], ["info", "danger", "warning"]),
        ([85, 61], ["info"]),  # danger was a glitch
        ([85, 85], ["danger"]),
    ],
)
def test_a_ladder_that_waits_takes_the_level_that_has_been_held(
    values: list[float], severities: list[str]
) -> None:
    events = play("load", list(enumerate(values)), book(LADDER, repeat=2))
    assert [event.severity for event in events] == severities


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(0, 81), (10, 60), (20, 81), (30, 60), (89, 60)], ["fired"]),  # three peaks are one
        ([(0, 81), (10, 60), (20, 81), (30, 60), (90, 60)], ["fired", "resolved"]),
        ([(0, 81), (10, 60), (20, 75), (70, 60), (130, 60)], ["fired", "resolved"]),
        ([(0, 81), (10, 60), (69, 60)], ["fired"]),
    ],
)
def test_an_alert_is_kept_until_the_value_has_been_normal_for_so_long(
    history: Told, expected: list[str]
) -> None:
    assert lives(history, book(keep=60)) == expected


def test_reminders_come_when_they_are_due_whoever_finds_out() -> None:
    told = History(book(remind=100))
    told.reading(0, load=81)
    told.reading(30, load=82)
    assert told.due() == 100
    told.reading(250, load=83)
    assert [(e.event, e.reason, e.timestamp, e.detected_at, e.value) for e in told.events[1:]] == [
        ("reminder", "reminder", after(100), after(100), 82),
        ("reminder", "reminder", after(200), after(200), 82),
    ]
    told.reading(290, load=60)
    assert told.steps[3:] == ["load resolved"]
    assert told.settle(1_000) == []


def test_reminders_of_two_rules_are_settled_in_the_order_they_fell_due() -> None:
    rules = [
        Threshold("a", "load", "above", HOT, remind=100),
        Threshold("b", "load", "above", HOT, remind=70),
    ]
    told = History(Rulebook(rules))
    told.reading(0, load=81)
    told.settle(215)
    assert [(e.rule, e.timestamp) for e in told.events[2:]] == [
        ("b", after(70)),
        ("a", after(100)),
        ("b", after(140)),
        ("a", after(200)),
        ("b", after(210)),
    ]


@pytest.mark.parametrize(
    ("of", "history", "expected"),
    [
        ("mean", [(0, 90), (60, 60), (120, 60)], ["fired", "resolved"]),  # 90, 75, 70: 69 below
        ("max", [(0, 81), (60, 10), (290, 10), (330, 10)], ["fired", "resolved"]),
        ("min", [(0, 10), (60, 90), (290, 90), (330, 90)], ["fired"]),
        ("last", [(0, 81), (60, 10)], ["fired", "resolved"]),
        ("change", [(0, 10), (60, 50), (120, 91), (420, 91)], ["fired", "resolved"]),
        ("change", [(0, 91), (60, 10)], []),  # it falls
    ],
)
def test_a_rule_can_be_of_what_the_last_while_comes_to(
    of: str, history: Told, expected: list[str]
) -> None:
    levels = [Level("danger", 80, 71)] if of == "mean" else HOT
    assert lives(history, book(levels, of=of, over=300)) == expected


def test_a_count_is_judged_once_the_while_has_passed() -> None:
    few = Threshold("few", "load", "below", [Level("info", 5, 5)], of="count", over=60)
    often = [(at, 1.0) for at in range(0, 70, 10)]
    assert play("load", often, Rulebook([few])) == []
    rarely = [(0, 1.0), (30, 1.0), (60, 1.0), (65, 1.0), (70, 1.0), (75, 1.0), (80, 1.0)]
    assert [(e.event, e.value) for e in play("load", rarely, Rulebook([few]))] == [
        ("fired", 2), ("resolved", 6),
    ]  # fmt: skip


def test_a_late_reading_enters_the_while_and_is_not_judged() -> None:
    told = History(book(of="max", over=300))
    told.reading(100, 100, load=10)
    assert told.reading(101, 50, load=90) == "late"
    assert told.steps == []
    told.reading(110, 110, load=10)
    assert told.steps == ["load fired"]


STUCK = Rulebook(
    [Threshold("load", "load", "above", HOT)],
    flatlines=[Flatline("stuck", "warning", ["load", "wind"], hold=100, repeat=3)],
)


def frozen(history: list[tuple[float, float, float]]) -> History:
    told = History(STUCK)
    for at, load, wind in history:
        told.reading(at, load=load, wind=wind)
    return told


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(0, 1, 1), (50, 1, 1), (100, 1, 1)], ["stuck fired"]),
        ([(0, 1, 1), (100, 1, 1)], []),  # too few
        ([(0, 1, 1), (50, 1, 1), (99, 1, 1)], []),  # too short
        ([(0, 1, 1), (50, 1, 2), (100, 1, 1), (150, 1, 1)], []),  # one of the two moves
        ([(0, 1, 1), (50, 1, 1), (100, 1, 1), (110, 1, 2)], ["stuck fired", "stuck resolved"]),
    ],
)
def test_a_sensor_is_stuck_when_all_of_its_metrics_are(
    history: list[tuple[float, float, float]], expected: list[str]
) -> None:
    assert frozen(history).steps == expected


def test_what_is_stuck_is_not_judged_as_weather() -> None:
    told = frozen([(0, 81, 1), (50, 81, 1), (100, 81, 1), (110, 60, 1)])
    assert told.steps == ["load fired", "stuck fired", "stuck resolved", "load resolved"]
    told = frozen([(0, 60, 1), (50, 60, 1), (100, 60, 1)])
    told.reading(105, load=90)  # no evidence that it isn't stuck
    assert told.steps == ["stuck fired"]


def test_a_reading_without_one_of_the_metrics_says_nothing_of_a_flatline() -> None:
    told = frozen([(0, 1, 1), (50, 1, 1)])
    told.reading(70, load=2)
    told.reading(100, load=1, wind=1)
    assert told.steps == ["stuck fired"]


def test_a_fault_can_remind() -> None:
    told = History(Rulebook(ranges=[Range("r", "info", [Bounds("load", 0, 100)], remind=60)]))
    told.reading(0, load=101)
    told.settle(60)
    assert told.steps == ["r fired", "r reminder"]


@pytest.mark.parametrize("with_checks", [True, False])
def test_a_silent_device_is_reminded_of_so_often_and_again_once_it_is_heard(
    with_checks: bool,
) -> None:
    told = History(book(remind=100))
    told.reading(0, load=81)
    for at in range(50, 86_400, 70) if with_checks else ():
        told.settle(at)
        told.device = Device.unpack(told.device.id, told.device.pack())
    told.reading(86_450, load=82)
    assert [e.timestamp for e in told.events[1:]] == [
        after(100 * n) for n in range(1, REMINDERS + 1)
    ]
    assert told.due() == 86_550
    for at in range(86_500, 90_000, 50):  # it is heard: there is no end to them
        told.reading(at, load=82)
    assert len(told.events) == 1 + REMINDERS + 35


def test_a_device_that_is_heard_in_time_is_reminded_of_when_it_was_due_anyway() -> None:
    told = History(book(remind=100))
    told.reading(0, load=81)
    told.reading(2_350, load=81)
    told.reading(4_720, load=81)
    assert [e.timestamp for e in told.events[1:]] == [after(100 * n) for n in range(1, 48)]


def test_an_acknowledged_alert_is_not_reminded_of_though_it_gets_milder() -> None:
    told = History(book(LADDER, remind=100))
    told.reading(0, load=85)
    told.engine.acknowledge(told.device, told.events[0].alert_id, "ann", None, after(10))
    told.reading(20, load=65)
    assert told.settle(1_000) == []
    told.reading(1_010, load=85)  # worse again: somebody has to know
    assert [event.event for event in told.settle(1_110)] == ["reminder"]


def test_a_stale_alert_is_not_reminded_of_by_its_rule_nor_by_a_changed_one() -> None:
    told = History()
    for remind, at in ((100, 0), (50, 1_000)):
        heat = Threshold("load", "load", "above", HOT, remind=remind)
        told.engine = Engine(Rulebook([heat], offline=Offline("silent", "warning", 60, 1)))
        if not at:
            told.reading(0, load=81)
        told.settle(at + 500)
        told.settle(at + 900)
        assert told.steps == ["load fired", "silent fired", "load updated"]


def test_what_a_wrong_clock_stamped_ahead_leaves_the_while_too() -> None:
    told = History(book(of="max", over=300))
    told.reading(10_000, load=90)
    told.reading(0, load=10)  # it has been put back
    assert told.steps == ["load fired", "load resolved"]


def test_a_late_reading_with_an_impossible_value_enters_no_while() -> None:
    heat = Threshold("load", "load", "above", HOT, of="max", over=300)
    told = History(Rulebook([heat], [Range("r", "info", [Bounds("wind", 0, 100)])]))
    told.reading(100, 100, load=10)
    assert told.reading(101, 50, load=90, wind=999) == "late"
    told.reading(110, 110, load=10)
    assert told.steps == []


@pytest.mark.parametrize("over", [1e-12, 0.001, 60.0, 1e300, float("inf")])
def test_a_while_has_no_more_than_its_slices(over: float) -> None:
    told = History(book(of="mean", over=over))
    for at in range(200):
        told.reading(at * 1.7, load=1)
        assert told.device.slices is not None
        assert len(told.device.slices["load"]) <= MOST

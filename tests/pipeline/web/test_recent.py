"""What a viewer missed, from histories of events and cursors: no broker needed."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.web.alerts import Alert
from pipeline.web.cursor import LARGEST_OFFSET, LONGEST, Cursor
from pipeline.web.recent import Recent, Told, onward
from tests.pipeline.web.alert_log import event

History = list[tuple[float, int, int]]  # time, partition, offset


def told(at: float, partition: int, offset: int) -> Told:
    one = Alert.of(json.dumps(event(f"{partition}/{offset}")).encode())
    return Told(at, partition, offset, one)


def after(
    *history: tuple[float, int, int], most: int = 100, age: float = 100.0, begin: int = 0
) -> Recent:
    recent = Recent(most, age)
    for partition in range(2):
        recent.begin(partition, begin)
    for one in history:
        recent.add(told(*one))
    return recent


TWO = [(1.0, 0, 0), (2.0, 1, 0), (3.0, 0, 1), (4.0, 1, 3)]  # of partition 1, 1 and 2 are no events


@pytest.mark.parametrize(
    ("cursor", "missed"),
    [
        ([0, 0], ["0/0", "1/0", "0/1", "1/3"]),  # by time across partitions
        ([1, 0], ["1/0", "0/1", "1/3"]),
        ([2, 1], ["1/3"]),
        ([2, 3], ["1/3"]),
        ([2, 4], []),
        ([2, 5], None),  # further than we are
        ([3, 4], None),
        ([2], ["1/0", "1/3"]),  # a partition that was added since, from its start
        ([2, 4, 0], None),  # more partitions than there are: of another log
    ],
)
def test_what_was_missed_is_what_came_after_the_cursor(
    cursor: list[int], missed: list[str] | None
) -> None:
    found = after(*TWO).since(Cursor("log", tuple(cursor)), {0: 2, 1: 4})
    assert (found and [one.alert.alert_id for one in found]) == missed


@pytest.mark.parametrize(
    ("history", "most", "cursor", "missed"),
    [
        (TWO, 4, [0, 0], 4),
        (TWO, 3, [0, 0], None),  # the oldest is gone, of whichever partition
        (TWO, 3, [1, 0], 3),
        (TWO, 2, [1, 0], None),
        (TWO, 2, [1, 1], 2),
        # read one partition after the other, as at a start
        ([(1.0, 0, 0), (3.0, 0, 1), (2.0, 1, 0), (4.0, 1, 3)], 2, [1, 1], 2),
        (TWO, 0, [2, 3], None),
        (TWO, 0, [2, 4], 0),
    ],
)
def test_the_oldest_go_first_and_what_they_were_is_not_proven_any_more(
    history: History, most: int, cursor: list[int], missed: int | None
) -> None:
    recent = after(*history, most=most)
    assert len(recent) == most
    found = recent.since(Cursor("log", tuple(cursor)), {0: 2, 1: 4})
    assert (None if found is None else len(found)) == missed


def test_what_is_too_old_is_forgotten() -> None:
    recent = after(*TWO, age=10.0)
    recent.forget(12.5)  # those of 1.0 and 2.0
    assert recent.since(Cursor("log", (0, 1)), {0: 2, 1: 4}) is None
    found = recent.since(Cursor("log", (1, 1)), {0: 2, 1: 4})
    assert found is not None
    assert [one.alert.alert_id for one in found] == ["0/1", "1/3"]


def test_what_was_before_it_began_is_not_proven() -> None:
    recent = after((1.0, 0, 7), begin=5)
    assert recent.since(Cursor("log", (4, 5)), {0: 8, 1: 5}) is None
    assert recent.since(Cursor("log", (5, 5)), {0: 8, 1: 5}) == [told(1.0, 0, 7)]


@given(
    st.lists(st.tuples(st.floats(0, 9), st.integers(0, 2)), max_size=30),
    st.integers(0, 30),
    st.data(),
)
def test_each_cursor_on_the_way_leads_to_exactly_the_rest(
    events: list[tuple[float, int]], most: int, data: st.DataObject
) -> None:
    """Whatever was dropped, and however often the viewer comes back: proven is complete."""
    recent, ends = Recent(most, 100.0), {0: 0, 1: 0, 2: 0}
    for partition in ends:
        recent.begin(partition, 0)
    for at, partition in events:
        recent.add(told(at, partition, ends[partition]))
        ends[partition] += 1
    cursor = Cursor("log", tuple(data.draw(st.integers(0, end)) for end in ends.values()))
    wanted = {
        f"{partition}/{offset}"
        for partition, end in ends.items()
        for offset in range(cursor.offsets[partition], end)
    }
    seen: list[str] = []
    while (missed := recent.since(cursor, ends)) is not None:
        for text, alert in list(onward(cursor, 3, missed))[: data.draw(st.integers(1, 9))]:
            seen.append(alert.alert_id)
            read = Cursor.read(text)
            assert read is not None
            cursor = read
        if not missed:
            assert sorted(seen) == sorted(wanted)
            return
    assert not seen  # refused at once, or never
    assert len(recent) < len(events)


@given(st.text(max_size=30), st.lists(st.integers(0, LARGEST_OFFSET - 1), max_size=20))
def test_a_cursor_is_read_as_it_was_written(log: str, offsets: list[int]) -> None:
    cursor = Cursor(log, tuple(offsets))
    assert Cursor.read(cursor.text()) == cursor
    assert "=" not in cursor.text()


def _encoded(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "", "é", "W10", "x" * (LONGEST + 1), "\x00", "====", "[" * 5_000,
        _encoded(None), _encoded([1, []]), _encoded(["log"]), _encoded(["log", [], 1]),
        _encoded(["log", {}]), _encoded(["log", [-1]]), _encoded(["log", [True]]),
        _encoded(["log", [1.0]]), _encoded(["log", ["1"]]), _encoded(["log", [1 << 63]]),
    ],
)  # fmt: skip
def test_what_is_no_cursor_of_ours_is_none(text: str) -> None:
    assert Cursor.read(text) is None


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda b: base64.b64encode(b).decode()))
def test_no_text_raises(text: str) -> None:
    read = Cursor.read(text)
    assert read is None or Cursor.read(read.text()) == read

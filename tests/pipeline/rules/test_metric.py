"""Which metric has which place; the numbers of a window are in test_window."""

from __future__ import annotations

from pipeline.rules.metric import Layout


def test_devices_that_meet_the_same_metrics_in_the_same_order_share_their_layout() -> None:
    none = Layout({}, [10])
    one, other = (none.with_another("temperature").with_another("humidity") for _ in range(2))
    assert one is other
    assert one.places == {"temperature": 0, "humidity": 1}
    assert none.with_another("humidity").with_another("temperature").places == {
        "humidity": 0, "temperature": 1,
    }  # fmt: skip


def test_no_more_layouts_are_kept_than_there_is_room_for() -> None:
    none = Layout({}, [1])
    assert none.with_another("a") is none.with_another("a")
    assert none.with_another("b") is not none.with_another("b")
    assert none.with_another("b").with_another("c").places == {"b": 0, "c": 1}

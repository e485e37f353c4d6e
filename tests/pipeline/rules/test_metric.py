"""Which metric has which place, and which of its values are nothing new; the numbers of a window
are in test_window."""

from __future__ import annotations

import random

from pipeline.rules.metric import Layout, Metric
from pipeline.rules.rulebook import ANY, Band


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


def test_nothing_new_is_a_value_within_the_band_and_between_the_extremes_of_the_open_window() -> (
    None
):
    draw = random.Random(3)
    metric, band = Metric(0.0), ANY
    for time in range(2_000):
        step = draw.random()
        if step < 0.05:
            metric.drop(band)
        elif step < 0.1:
            band = Band()
            band.narrow(draw.uniform(0, 20), draw.uniform(20, 40))
            metric.heed(band)
        elif step < 0.15:
            metric.unpack(metric.pack(), band)
        else:
            metric.count_in(draw.uniform(-5, 45), time - draw.choice([0, 0, 5]), band)
        extremes = (metric.min, metric.max) if metric.count else (ANY.low, ANY.high)
        assert metric.low == max(band.low, extremes[0])
        assert metric.high == min(band.high, extremes[1])

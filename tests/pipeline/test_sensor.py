"""What Faust measures in milliseconds in; the same in seconds out."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from pipeline.sensor import UNUSED, BaseUnits, monitored


class App:
    monitor: Any
    rebalancing_count = 1


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


@pytest.fixture
def monitor(registry: CollectorRegistry) -> Any:
    app = App()
    monitored(app, registry)
    return app.monitor


def test_a_histogram_of_milliseconds_is_shown_in_seconds() -> None:
    milliseconds, shown = CollectorRegistry(), CollectorRegistry(auto_describe=True)
    runtime = Histogram("runtime_ms", "Runtime in ms", registry=milliseconds, buckets=(5, 2500))
    runtime.observe(4)
    runtime.observe(2000)
    shown.register(BaseUnits(milliseconds))
    assert generate_latest(shown).decode().splitlines() == [
        "# HELP runtime_seconds Runtime, in seconds",
        "# TYPE runtime_seconds histogram",
        'runtime_seconds_bucket{le="0.005"} 1.0',
        'runtime_seconds_bucket{le="2.5"} 2.0',
        'runtime_seconds_bucket{le="+Inf"} 2.0',
        "runtime_seconds_count 2.0",
        "runtime_seconds_sum 2.004",
    ]


def test_a_rebalance_takes_as_long_as_it_took(registry: CollectorRegistry, monitor: Any) -> None:
    """Faust's own sensor counts both from when they have ended."""
    clock = iter([10.0, 13.0, 17.0])
    monitor.time = lambda: next(clock)
    state = monitor.on_rebalance_start(App())
    assert registry.get_sample_value("faust_total_rebalances") == 1
    monitor.on_rebalance_return(App(), state)
    assert registry.get_sample_value("faust_total_rebalances") == 0
    assert registry.get_sample_value("faust_total_rebalances_recovering") == 1
    monitor.on_rebalance_end(App(), state)
    assert registry.get_sample_value("faust_total_rebalances_recovering") == 0
    for name, seconds in (("rebalance_done_consumer_latency", 3), ("rebalance_done_latency", 7)):
        assert registry.get_sample_value(f"faust_{name}_seconds_sum") == seconds


def test_one_that_begins_before_the_last_one_has_ended_leaves_none_behind(
    registry: CollectorRegistry, monitor: Any
) -> None:
    for _ in range(2):
        state = monitor.on_rebalance_start(App())
        monitor.on_rebalance_return(App(), state)
    monitor.on_rebalance_end(App(), state)
    assert registry.get_sample_value("faust_total_rebalances_recovering") == 0


def test_what_would_only_mislead_is_left_out_and_is_still_called_so(
    registry: CollectorRegistry, monitor: Any
) -> None:
    own = {field.describe()[0].name for field in monitor._metrics}
    assert own > UNUSED
    assert not UNUSED & {metric.name for metric in registry.collect()}

"""Faust's own Prometheus sensor in; its metrics in base units, under names that say so, out.

Faust counts in milliseconds. They are made seconds when somebody asks, so that whatever an upgrade
brings comes along. Left out is what would only mislead: of parts of Faust that we don't use (its
web server, its way to write tables and to send) nothing ever moves, and since we acknowledge chunks
outside of their stream Faust never sees one end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from faust.sensors.monitor import Monitor
from faust.sensors.prometheus import FaustMetrics, PrometheusMonitor
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.utils import floatToGoString

PREFIX: Final = "faust"
UNUSED: Final = frozenset(
    f"{PREFIX}_{name}"
    for name in (
        *("http_status_codes", "http_latency", "table_operations", "metrics_by_name"),
        *("topic_messages_sent", "total_sent_messages", "producer_send_latency"),
        *("total_error_messages_sent", "producer_error_send_latency"),
        *("active_messages", "total_active_events", "events_runtime_ms"),
    )
)


class Sensor(PrometheusMonitor):
    """Faust's, whose two latencies of a rebalance would count from their own end."""

    def on_rebalance_return(self, app: Any, state: dict[str, Any]) -> None:
        Monitor.on_rebalance_return(self, app, state)
        self._metrics.total_rebalances.dec()
        self._metrics.total_rebalances_recovering.inc()
        self._metrics.rebalance_done_consumer_latency.observe(1000 * state["latency_return"])

    def on_rebalance_end(self, app: Any, state: dict[str, Any]) -> None:
        Monitor.on_rebalance_end(self, app, state)
        self._clear_partition_related_metrics()
        self._metrics.total_rebalances_recovering.set(0)  # one can begin before the last one ends
        self._metrics.rebalance_done_latency.observe(1000 * state["latency_end"])


class BaseUnits:
    """A collector of what another registry holds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            if metric.name not in UNUSED:
                yield in_seconds(metric) if metric.type == "histogram" else metric


def in_seconds(metric: Metric) -> Metric:
    """A histogram of milliseconds, as Faust's all are."""
    name = metric.name.removesuffix("_ms") + "_seconds"
    seconds = Metric(name, metric.documentation.replace(" in ms", ", in seconds"), "histogram")
    for sample in metric.samples:
        suffix, labels, value = sample.name.removeprefix(metric.name), sample.labels, sample.value
        if suffix == "_bucket":
            labels = {**labels, "le": _edge(float(labels["le"]) / 1000)}
        elif suffix == "_sum":
            value /= 1000
        seconds.add_sample(name + suffix, labels, value)
    return seconds


def _edge(seconds: float) -> str:
    """As Prometheus' client writes it."""
    return str(floatToGoString(seconds))  # type: ignore[no-untyped-call]


def monitored(app: Any, registry: CollectorRegistry) -> None:
    """Have Faust's sensor watch the app, before it starts, and the registry tell what it sees."""
    its_own = CollectorRegistry(auto_describe=True)
    app.monitor = Sensor(metrics=FaustMetrics.create(its_own, PREFIX))
    registry.register(BaseUnits(its_own))

"""The private names of Faust and aiokafka that we stand on. A failure here means: an upgrade moved
something; read the module that is named and adapt it before the pin in setup.cfg is changed."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import aiokafka
import pytest
from aiokafka.consumer import subscription_state
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from faust.app.base import App, BootStrategy
from faust.cli.base import cli
from faust.cli.worker import worker as Command
from faust.sensors.prometheus import PrometheusMonitor
from faust.stores.rocksdb import Store
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver

ROOT = Path(__file__).parents[2]
OTHERS = {"_asdict", "_exit", "_make", "_replace"}  # the standard library's own
MADE = {"_abc_impl", "_click", "_tasks"}  # of a class, by who makes it
# what we override or call, by the module of ours that does
TOUCHED = {
    "pipeline.transport": [
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"]),
        (
            driver.AIOKafkaConsumerThread,
            "_fetch_records",
            ["self", "consumer", "active_partitions", "timeout", "max_records"],
        ),
        (driver.AIOKafkaConsumerThread, "seek_wait", ["self", "partitions"]),
        (driver.AIOKafkaConsumerThread, "seek_to_beginning", ["self", "partitions"]),
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (driver.Consumer, "_to_message", ["self", "tp", "record"]),
        (driver.Consumer, "verify_event_path", ["self", "now", "tp"]),
        (driver.Producer, "_settings_extra", ["self"]),
        (Consumer, "_getmany", ["self", "active_partitions", "timeout"]),
        (Consumer, "_wait_next_records", ["self", "timeout"]),
        (Consumer, "getmany", ["self", "timeout"]),
        (Consumer, "ack", ["self", "message"]),
        (Consumer, "_filter_tps_with_pending_acks", ["self", "topics"]),
        (Consumer, "_get_active_partitions", ["self"]),
        (Consumer, "on_buffer_drop", ["self", "tp"]),
        (Consumer, "_new_offset", ["self", "tp"]),
        (Consumer, "_add_gap", ["self", "tp", "offset_from", "offset_to"]),
        (Consumer, "perform_seek", ["self"]),
        (Consumer, "wait_empty", ["self"]),
        (Consumer, "on_partitions_revoked", ["self", "revoked"]),
        (Consumer, "close", ["self"]),
        (Consumer, "_is_changelog_tp", ["self", "tp"]),
        (Consumer, "commit_and_end_transactions", ["self"]),
        (Recovery, "need_recovery", ["self"]),
        (Recovery, "_build_highwaters", ["self", "consumer", "tps", "destination", "title"]),
        (Recovery, "_build_offsets", ["self", "consumer", "tps", "destination", "title"]),
        (Recovery, "_seek_offsets", ["self", "consumer", "tps", "offsets", "title"]),
        (Recovery, "on_recovery_completed", ["self", "generation_id"]),
        (Recovery, "_resume_streams", ["self", "generation_id"]),
        (Recovery, "_set_recovery_ended", ["self"]),
        (Recovery, "_wait", ["self", "coro", "timeout"]),
        (Recovery, "_is_changelog_tp", ["self", "tp"]),
    ],
    "pipeline.streams": [
        (App, "_create_directories", ["self"]),
        (BootStrategy, "server", ["self"]),
        (BootStrategy, "web_server", ["self"]),
        (BootStrategy, "_should_enable_web", ["self"]),
        (BootStrategy, "_chain", ["self", "arguments"]),
        (Command, "run_using_worker", ["self", "args", "kwargs"]),
        (Command, "worker_for_service", ["self", "service", "loop"]),
        (Command, "say", ["self", "message", "file", "err", "kwargs"]),
    ],
    "tables.devices": [
        (Collection, "_new_store_by_url", ["self", "url"]),
        (Store, "_db_for_partition", ["self", "partition"]),
        (Store, "_open_for_partition", ["self", "partition"]),
        (Store, "_visible_items", ["self", "db"]),
        (Store, "partition_path", ["self", "partition"]),
        (Store, "persisted_offset", ["self", "tp"]),
    ],
    "pipeline.sensor": [
        (PrometheusMonitor, "on_rebalance_return", ["self", "app", "state"]),
        (PrometheusMonitor, "on_rebalance_end", ["self", "app", "state"]),
        (PrometheusMonitor, "_clear_partition_related_metrics", ["self"]),
    ],
}
# attributes that we read or set
KEPT = {
    "pipeline.transport": [
        (Consumer, "_active_partitions"),
        (Consumer, "_buffered_partitions"),
        (Consumer, "_committed_offset"),
        (Consumer, "_paused_partitions"),
        (Consumer, "_read_offset"),
        (Consumer, "_unacked_messages"),
        (driver.Consumer, "_thread"),
        (App, "_fetcher"),
        (TableManager, "_recovery"),
        (aiokafka.AIOKafkaConsumer, "_fetch_max_wait_ms"),
        (aiokafka.AIOKafkaConsumer, "_fetcher"),
        (aiokafka.AIOKafkaConsumer, "_subscription"),
        (Fetcher, "_records"),
        (FetchResult, "_partition_records"),
        (PartitionRecords, "_records_iterator"),
        (subscription_state.TopicPartitionState, "_position"),
    ],
    "pipeline.sensor": [(PrometheusMonitor, "_metrics")],
    "pipeline.exchange.place": [(aiokafka.AIOKafkaConsumer, "_client")],
    "pipeline.web.lookout": [(aiokafka.AIOKafkaConsumer, "_client")],
    "tables.devices": [(Store, "_dbs")],
}
NAMES = [(ours, *entry) for ours, entries in TOUCHED.items() for entry in entries]


def test_the_versions_are_the_ones_that_were_read():
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka") == "0.14.0"


@pytest.mark.parametrize(("ours", "owner", "name", "parameters"), NAMES)
def test_what_we_touch_has_the_form_that_was_read(ours, owner, name, parameters):
    found = list(inspect.signature(getattr(owner, name)).parameters)
    assert found == parameters, f"{ours} builds on {owner.__module__}.{owner.__name__}.{name}"


@pytest.mark.parametrize(
    ("ours", "owner", "name"),
    [(ours, *entry) for ours, entries in KEPT.items() for entry in entries],
)
def test_the_attributes_that_we_read_or_set_are_still_there(ours, owner, name):
    where = f"{ours} reads or sets it of {owner.__module__}.{owner.__name__}"
    assert f"self.{name}" in inspect.getsource(owner), where


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in OTHERS | MADE


def read_by(module: Path) -> set[str]:
    """Private names that it reads of whatever object, but for those that it defines itself."""
    nodes = list(ast.walk(ast.parse(module.read_text())))
    own = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    own |= {node.value for node in nodes if isinstance(node, ast.Constant)}  # those in __slots__
    read = set()
    for node in nodes:
        if isinstance(node, ast.Attribute):
            is_set = isinstance(node.ctx, ast.Store)
            (own if is_set and ast.unparse(node.value) == "self" else read).add(node.attr)
    return set(filter(private, read - own))


def overridden_in(module: str) -> Iterator[str]:
    """Private names of Faust's and aiokafka's classes that a class of it has too."""
    for made in vars(importlib.import_module(module)).values():
        if inspect.isclass(made) and made.__module__ == module:
            lines = made.__mro__
            theirs = [one for one in lines if one.__module__.startswith(("faust", "aiokafka"))]
            known = {name for one in theirs for name in vars(one)}
            yield from filter(private, known & vars(made).keys())


def test_whatever_is_private_and_touched_is_named_here():
    touched = {}
    for folder in ("pipeline", "agents", "tables"):
        for path in (ROOT / folder).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            text = path.read_text()
            if "faust" in text or "aiokafka" in text:
                touched[module] = read_by(path)
    for module in TOUCHED:
        touched[module].update(overridden_in(module))
    for module, names in touched.items():
        named = {entry[1] for entry in (*TOUCHED.get(module, ()), *KEPT.get(module, ()))}
        assert names <= named, f"{module} touches what no test here would miss"


async def test_how_far_aiokafka_has_read_is_found_on_the_way_that_was_read():
    subscriptions = subscription_state.SubscriptionState()
    subscriptions.subscribe({"readings"})
    tp = aiokafka.TopicPartition("readings", 0)
    subscriptions.assign_from_subscribed({tp})
    state = subscriptions.subscription.assignment.state_value(tp)
    assert not state.has_valid_position
    state.seek(7)
    assert state.has_valid_position
    assert state._position == 7


def test_other_things_that_we_rely_on_are_still_so():
    assert "self._delivered" not in inspect.getsource(Consumer), "our name for what is delivered"
    assert "fetch_max_wait_ms=1500" in inspect.getsource(driver.AIOKafkaConsumerThread)
    assert Store.offset_key == b"__faust\0offset__"
    assert isinstance(TableManager.recovery, property)


def test_a_command_of_ours_takes_the_place_of_one_of_the_same_name():
    from pipeline.streams import worker

    assert cli.commands["worker"] is worker._click
    assert "if not self.quiet" in inspect.getsource(Command.say)


def test_why_the_flow_is_stopped_before_positions_are_set():
    recovering = inspect.getsource(Recovery._restart_recovery.fun)
    assert recovering.rindex("resume_flow") < recovering.rindex("self.on_recovery_completed")


def test_why_an_empty_set_of_partitions_must_not_reach_aiokafka():
    assert "if partitions and tp not in partitions" in inspect.getsource(Fetcher.fetched_records)


def test_why_a_gap_must_not_be_noted():
    assert "acked.extend(stuff_to_add)" in inspect.getsource(Consumer._new_offset)


def test_why_a_rebalance_that_meets_a_stop_must_not_close_the_consumer():
    source = inspect.getsource(App._on_partitions_revoked)
    assert source.index("if self.should_stop") < source.index("session_timeout")
    assert "self.consumer.close()" in inspect.getsource(App._on_rebalance_when_stopped)
    assert "_client.close()" in inspect.getsource(driver.AIOKafkaConsumerThread.close)


def test_the_order_in_which_partitions_are_given_away():
    source = inspect.getsource(App._on_partitions_revoked)
    steps = ["stop_flow", "pause_partitions", "flow_control.clear", "_consumer_wait_empty"]
    places = [source.index(step) for step in steps]
    assert places == sorted(places)
    assert "await consumer.wait_empty()" in inspect.getsource(App._consumer_wait_empty)
    assert "_consumer_wait_empty" in inspect.getsource(App._stop_consumer)

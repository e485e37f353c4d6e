"""What every test may ask for: one real Apache Kafka for the session, and a prefix of its own."""

from __future__ import annotations

import functools
import secrets
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from pipeline.kafka import Missing, jars
from pipeline.kafka.broker import RunningKafka, running

# A machine that has much else to do is no reason for a property not to hold
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure() -> None:
    """A shell has what it runs in the background ignore Ctrl-C, and so all that we start would."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """Shared, so nobody stops it: a test that does runs one of its own with `running`."""
    with running(tmp_path_factory.mktemp("kafka"), say=print) as kafka:
        yield kafka


@pytest.fixture
def prefix() -> str:
    """Before the names of topics and groups: tests that share a broker don't meet."""
    return f"t{secrets.token_hex(4)}-"


@functools.cache
def missing() -> str:
    """Why there is no Apache Kafka here; empty if it can be had. Fetches it, the first time."""
    try:
        jars.java()
        jars.fetched(print)
    except Missing as error:
        return str(error)
    return ""


@pytest.hookimpl(tryfirst=True)  # before its fixtures, which may need Kafka or hide it
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kafka") and missing():
        pytest.skip(f"needs Apache Kafka: {missing()}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
    if hasattr(config, "workerinput"):  # one of several processes: each takes a file at a time
        longest_first(items)


def longest_first(items: list[pytest.Item]) -> None:
    """Files with slow tests before the others, so that no process has one left to do alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)

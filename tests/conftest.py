"""What every test may ask for: one real Apache Kafka for the session, and a prefix of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from pipeline.kafka.broker import RunningKafka, running


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """Shared, so nobody stops it: a test that does runs one of its own with `running`."""
    with running(tmp_path_factory.mktemp("kafka"), say=print) as kafka:
        yield kafka


@pytest.fixture
def prefix() -> str:
    """Before the names of topics and groups: tests that share a broker don't meet."""
    return f"t{secrets.token_hex(4)}-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)

"""One server of each kind for the session; each test starts with an empty database in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores import MariaDB, Mongo, Redis, mysql_at, running


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    server = mysql_at(tmp_path_factory.mktemp("mariadb"))
    with running(server):
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    with running(server):
        yield server


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongo]:
    server = Mongo(tmp_path_factory.mktemp("mongo"))
    with running(server):
        yield server

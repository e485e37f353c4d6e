"""Databases for tests: real servers on free ports, in folders of their own, started, stopped and
killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pymysql

from pipeline.kafka.broker import free_port
from pipeline.stores import DATABASE, LocalMariaDB, LocalMongoDB, LocalRedis, Store
from pipeline.supervisor import tied_to_this_process

PATIENCE = 90.0


class Server(Store):
    """What it keeps survives `stop` and `kill`."""

    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, free_port())
        self.prepare()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=tied_to_this_process(),
            )
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Redis(Server, LocalRedis):
    """Has everything on its disk before it answers, so that it knows it again."""

    def command(self) -> list[str]:
        return [*super().command(), "--appendfsync", "always"]


def redis_cli(server: Redis, *words: str) -> str:
    command = ["redis-cli", "-p", str(server.port), "--raw", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class MariaDB(Server, LocalMariaDB):
    def command(self) -> list[str]:
        return [*super().command(), "--innodb-flush-method=nosync"]  # nobody cuts the power

    def empty(self) -> None:
        for statement in (f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}"):
            self.execute(statement, database="")

    def execute(
        self, statement: str, *values: object, database: str = DATABASE
    ) -> list[tuple[Any, ...]]:
        link = pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            database=database or None,
            charset="utf8mb4",
            autocommit=True,
        )
        with link, link.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())


class MySQL(MariaDB):
    """MySQL itself, whose `mysqld` a variable names: Debian has none."""

    mysqld = os.environ.get("MYSQLD", "")

    def _install(self) -> None:
        command = [*self.command(), "--initialize-insecure"]
        subprocess.run(command, check=True, capture_output=True)

    def command(self) -> list[str]:
        return [self.mysqld, *super().command()[1:], "--mysqlx=OFF"]


def mysql_at(folder: Path) -> MariaDB:
    """MariaDB; with `make test-mysql` MySQL."""
    return MySQL(folder) if MySQL.mysqld else MariaDB(folder)


class Mongo(Server, LocalMongoDB):
    """What speaks MongoDB's protocol here; Debian has no server of MongoDB's own."""

    def command(self) -> list[str]:
        speaks = str(Path(sys.executable).parent / "secantusd-py")
        where = ["--port", str(self.port), "--storage-path", str(self.folder / "data")]
        return [speaks, *where, "--standalone", "--enable-test-commands"]


S = TypeVar("S", bound=Server)


@contextmanager
def running(server: S) -> Iterator[S]:
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()

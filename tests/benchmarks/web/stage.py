"""A Kafka in; for one turn the brokers, topics and ports that a contestant needs, out."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from subprocess import Popen
from time import monotonic, sleep
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from pipeline.kafka.broker import RunningKafka, free_port
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.topics import declare_topics
from tests.benchmarks.process import Failed, said, started
from tests.benchmarks.web.lineup import Contestant

READY_WITHIN = 60.0  # seconds
NUMBERS = itertools.count(1)


class Place(NamedTuple):
    port: int
    environment: Mapping[str, str]
    broker: int  # its process id; 0: there is none


@contextmanager
def place(contestant: Contestant, kafka: RunningKafka, folder: Path) -> Iterator[Place]:
    """Nothing in it is left of an earlier turn."""
    port = free_port()
    common = {"BENCH_PORT": str(port), **contestant.environment}
    if contestant.broker == "kafka":
        with _topics(kafka) as prefix:
            settings = _settings(kafka, prefix, port)
            data = {"SMART_IOT_DATA_DIR": str(folder / "data")}
            yield Place(port, {**common, **settings, **data}, kafka.process.pid)
    elif contestant.broker == "redis":
        with _redis(folder) as (redis, process):
            yield Place(port, {**common, "BENCH_REDIS": str(redis)}, process.pid)
    else:
        # its sender makes the same events as ours, which has settings
        settings = _settings(kafka, "", port)
        yield Place(port, {**common, **settings, "BENCH_CONTROL": str(free_port())}, 0)


def _settings(kafka: RunningKafka, prefix: str, port: int) -> dict[str, str]:
    return {
        "SMART_IOT_BOOTSTRAP": kafka.bootstrap,
        "SMART_IOT_TOPIC_PREFIX": prefix,
        "SMART_IOT_WEB_PORT": str(port),
        "SMART_IOT_VIEWERS": "20000",
    }


@contextmanager
def _topics(kafka: RunningKafka) -> Iterator[str]:
    """Their prefix."""
    prefix = f"web{next(NUMBERS)}-"
    names = Names(prefix)
    settings = replace(Settings(), bootstrap=kafka.bootstrap, topic_prefix=prefix)
    asyncio.run(declare_topics(settings, names))
    try:
        yield prefix
    finally:
        asyncio.run(_delete(kafka, names))


async def _delete(kafka: RunningKafka, names: Names) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(list(names.policies()))
    finally:
        await admin.close()


@contextmanager
def _redis(folder: Path) -> Iterator[tuple[int, Popen[bytes]]]:
    port = free_port()
    limits = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", ".")
    command = ("redis-server", "--port", str(port), *limits)
    there = folder / "redis"
    there.mkdir(parents=True)
    with started(command, there / "log", there, os.environ) as process:
        yield port, process


def until_ready(contestant: Contestant, port: int, server: Popen[bytes], folder: Path) -> None:
    deadline = monotonic() + READY_WITHIN
    while not answers(port, contestant.ready):
        if server.poll() is not None or monotonic() > deadline:
            raise Failed(f"{contestant.name} isn't ready:\n{said(folder)}")
        sleep(0.05)


def answers(port: int, path: str) -> bool:
    """404 is an answer of whoever has no path that says so."""
    link = HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        link.request("GET", path)
        return link.getresponse().status in (200, 404)
    except OSError:
        return False
    finally:
        link.close()

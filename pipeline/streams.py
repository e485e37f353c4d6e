"""Settings in; the faust.App and the topics that it reads out, each topic fit for its use."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    NotControllerError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    for_code,
)
from faust.app.base import BootStrategy
from faust.types import TP
from mode import Service
from yarl import URL

from pipeline.names import FALLBACK_CLUSTER, LARGEST_RECORD, Names
from pipeline.settings import Settings, SettingsError, from_environment
from pipeline.transport import Chunks, TableManager

log = logging.getLogger(__name__)

BROKER_PATIENCE = 60.0  # seconds to wait for a broker at start


def end_process(reason: str) -> NoReturn:
    """End without committing: the one crash after which nothing is lost. Whoever supervises us
    starts the process again, and it goes on from what is committed."""
    log.critical("ending this process: %s", reason)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(70)


class UnusableBroker(Exception):
    """The broker isn't the kind that the settings say; the text says what to change."""


class UnusableTopic(Exception):
    """A topic of the contract exists in a form that can't work; the text says what to change."""


async def declare_topics(settings: Settings, names: Names) -> tuple[str, int]:
    """Create what is missing and check the rest; the cluster's id and the partition count.

    UnusableBroker where it is of another kind than the settings say; UnusableTopic where a topic
    exists with other partitions or a policy that loses data; KafkaError where it can't be asked.
    """
    admin = AIOKafkaAdminClient(**settings.kafka())
    try:
        await admin.start()
        cluster = (await admin.describe_cluster())["cluster_id"]
        _refuse_other_broker(settings, cluster)
        found = {
            topic["topic"]: topic
            for topic in await admin.describe_topics(await admin.list_topics())
            if topic["topic"] in names.policies()
        }
        known = found.get(names.readings)
        partitions = len(known["partitions"]) if known else settings.partitions
        for name, policy in names.policies().items():
            if name not in found:
                await _create(admin, name, partitions, settings.replication, policy)
            elif len(found[name]["partitions"]) != partitions:
                raise UnusableTopic(
                    f"topic {name} has {len(found[name]['partitions'])} partitions and "
                    f"{names.readings} has {partitions}: a device's state, alerts and readings "
                    f"must share one number; recreate {name} with {partitions}"
                )
        await _refuse_lossy(admin, names, [name for name in names.policies() if name in found])
        return cluster, partitions
    finally:
        await admin.close()


def _refuse_other_broker(settings: Settings, cluster: str) -> None:
    """What the fallback broker lacks is done without on that broker only, and never unasked."""
    if settings.fallback and cluster != FALLBACK_CLUSTER:
        raise UnusableBroker(
            f"SMART_IOT_BROKER=FALLBACK, but {settings.bootstrap} is another broker: "
            "leave that setting to `smart-iot up`"
        )
    if cluster == FALLBACK_CLUSTER and not settings.fallback:
        raise UnusableBroker(
            f"{settings.bootstrap} is the fallback broker of `smart-iot up`, which carries the "
            "worker of that command and no other"
        )


async def _create(
    admin: AIOKafkaAdminClient, name: str, partitions: int, replication: int, policy: dict[str, str]
) -> None:
    topic = NewTopic(name, partitions, replication, topic_configs=policy)
    for _topic, code, *text in (await admin.create_topics([topic])).topic_errors:
        error = for_code(code)
        if code == 0:
            log.info("created topic %s with %d partitions", name, partitions)
        elif issubclass(error, (RequestTimedOutError, NotControllerError)):
            raise error
        elif error is not TopicAlreadyExistsError:  # that one: two workers start at once
            why = next(filter(None, text), error.__name__)
            raise UnusableTopic(f"topic {name} can't be created: {why}")


async def _refuse_lossy(admin: AIOKafkaAdminClient, names: Names, existing: Iterable[str]) -> None:
    wanted = dict.fromkeys((names.changelog, names.alerts_open), "compact")
    wanted |= dict.fromkeys((names.readings, names.alerts, names.rejected), "delete")
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name) for name in existing if name in wanted
    ]
    if not resources:
        return
    for response in await admin.describe_configs(resources):
        for error, text, _kind, name, entries in response.resources:
            if error:
                log.warning("the policy of topic %s can't be seen: %s", name, text)
                continue
            policy = next((entry[1] for entry in entries if entry[0] == "cleanup.policy"), "")
            if wanted[name] != policy:
                raise UnusableTopic(
                    f"topic {name} has cleanup.policy={policy}; it must be {wanted[name]}, "
                    "otherwise records that we rely on are deleted"
                )


class Setup(Service):
    """Starts before everything that talks to Kafka: topics, data folder, partition count."""

    def __init__(self, app: App, **kwargs: Any) -> None:
        self.app = app
        super().__init__(**kwargs)

    async def on_start(self) -> None:
        self.app.on_setup()
        cluster, partitions = await self._declare()
        self.app.settled(cluster, partitions)

    async def _declare(self) -> tuple[str, int]:
        deadline = asyncio.get_running_loop().time() + BROKER_PATIENCE
        while True:
            try:
                return await declare_topics(self.app.settings, self.app.names)
            except (UnusableBroker, UnusableTopic) as error:
                end_process(str(error))
            except (KafkaError, OSError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    end_process(f"no Kafka at {self.app.settings.bootstrap}: {error}")
                log.warning("waiting for Kafka at %s: %s", self.app.settings.bootstrap, error)
                await asyncio.sleep(2.0)


class Boot(BootStrategy):
    """The web view first (alive from the first second), then topics, then Faust's own order."""

    def server(self) -> Iterable[Any]:
        return self._chain(self.early_services(), super().server())

    def early_services(self) -> list[Any]:
        app = cast(App, self.app)
        web = app.web_service if self._should_enable_web() else None
        return [service for service in (web, app.setup) if service is not None]

    def web_server(self) -> Iterable[Any]:
        return []  # Faust's own would listen on 0.0.0.0:6066 and serve table data


class App(faust.App):
    """Faust's App with our settings; what a rebalance does to the state is wired in by `app.py`."""

    BootStrategy = Boot
    web_service: Service | None = None
    on_setup: Callable[[], None]
    on_release: Callable[[], Awaitable[None]]
    on_restore: Callable[[frozenset[TP]], Awaitable[None]]
    on_positioned: Callable[[Mapping[TP, int]], None]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.names = Names(settings.topic_prefix)
        self.folder = settings.state_dir
        self.partition_count = settings.partitions  # of the readings, once the broker was asked
        self._lock_file: int | None = None  # held as long as the process lives
        super().__init__(self.names.app, **_conf(settings))
        self.setup = Setup(self)

    async def release(self) -> None:
        await self.on_release()

    async def restore(self, assigned: frozenset[TP]) -> None:
        await self.on_restore(assigned)

    def positioned(self, positions: Mapping[TP, int]) -> None:
        self.on_positioned(positions)

    def settled(self, cluster: str, partitions: int) -> None:
        """The cluster is known: keep state apart by it, so wiping a broker never meets old rows."""
        self.partition_count = partitions
        for table in self.tables.values():
            table.partitions = partitions
        self.folder, self._lock_file = claim_folder(self.settings.state_dir / cluster)
        log.info("state is kept in %s", self.folder)


def claim_folder(parent: Path) -> tuple[Path, int]:
    """The first folder below `parent` that no other worker holds, and its lock's descriptor."""
    for number in range(1000):
        folder = parent / f"worker-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return folder, lock
    raise RuntimeError(f"1,000 workers already hold folders in {parent}")


def _conf(settings: Settings) -> dict[str, Any]:
    return {
        "broker": [URL(f"batch://{address}") for address in settings.bootstrap.split(",")],
        "broker_credentials": _credentials(settings),
        "broker_session_timeout": settings.session_timeout,
        "broker_heartbeat_interval": settings.session_timeout / 3,
        "broker_commit_interval": 1.0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 1 << 20,
        "producer_acks": -1,
        "producer_request_timeout": 40.0,
        "producer_max_request_size": LARGEST_RECORD,
        "stream_wait_empty": True,
        "stream_buffer_maxsize": 16,  # chunks, not records
        "store": "rocksdb://",
        "table_standby_replicas": 0,
        "topic_disable_leader": True,
        "topic_replication_factor": settings.replication,
        "recovery_consistency_check": False,  # `restore` looks, and repairs
        "web_port": settings.web_port or 8000,  # for Faust's banner; the server is ours
        "worker_redirect_stdouts": False,
        "datadir": settings.state_dir,
        "TableManager": TableManager,
        "autodiscover": False,
        "logging_config": logging_config(settings.log_level),
    }


def _credentials(settings: Settings) -> faust.auth.Credentials | None:
    context = settings.ssl_context() if settings.security_protocol.endswith("SSL") else None
    if settings.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=settings.sasl_mechanism,
            username=settings.sasl_username,
            password=settings.sasl_password,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def logging_config(level: str) -> dict[str, Any]:
    """One line an event on standard error; libraries from WARNING on, and each repeat once."""
    handler = {"class": "logging.StreamHandler", "formatter": "line"}
    levels = dict.fromkeys(("pipeline", "agents", "tables"), level)
    # Faust logs the life of its services under the modules of their classes
    levels |= dict.fromkeys(("pipeline.transport", "pipeline.app", "tables.devices"), "WARNING")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"repeats": {"()": RepeatFilter}},
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {
            # two, since Faust's command line lowers the first one of the root logger
            "libraries": {**handler, "filters": ["repeats"]},
            "ours": handler,
        },
        "root": {"level": "WARNING", "handlers": ["libraries"]},
        "loggers": {
            name: {"level": level, "handlers": ["ours"], "propagate": False}
            for name, level in levels.items()
        },
    }


class RepeatFilter(logging.Filter):
    """Lets a line of one origin through once in 10 seconds: a broker that is away for 15 seconds
    makes aiokafka write a thousand. What is printed has no origin of its own, and passes."""

    SECONDS = 10.0
    ORIGINS = 1_000

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        origin = (record.pathname, record.lineno)
        if record.levelno >= logging.CRITICAL or record.name == "mode.redirect":
            return True
        if record.created - self._written.get(origin, -self.SECONDS) < self.SECONDS:
            return False
        if len(self._written) >= self.ORIGINS:
            self._written.clear()
        self._written[origin] = record.created
        return True


def consumer(settings: Settings, **arguments: Any) -> AIOKafkaConsumer:
    """A consumer without a group, for looking things up; start it, and stop it."""
    return AIOKafkaConsumer(
        **settings.kafka(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        **arguments,
    )


try:
    app = App(from_environment())
except SettingsError as error:
    sys.exit(str(error))

sources = app.topic(
    app.names.readings,
    app.names.checks,
    app.names.forwarded,
    schema=Chunks(),
    key_type=bytes,
    value_type=bytes,
    allow_empty=True,
)

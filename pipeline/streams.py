"""Settings in; the faust.App and what it reads out, its topics fit for their use."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import faust
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from faust.cli.worker import worker as FaustWorkerCommand
from faust.types import TP
from mode import Service
from yarl import URL

from pipeline.about import CORE, VERSION
from pipeline.eventloop import Loop
from pipeline.logs import is_json, logging_config
from pipeline.names import LARGEST_RECORD, Names
from pipeline.settings import Settings, SettingsError, from_environment
from pipeline.topics import UnusableBroker, UnusableTopic, declare_topics
from pipeline.transport import Chunks, TableManager

# not this module's: there Faust tells the life of the services whose classes are here
log = logging.getLogger("pipeline.worker")

BROKER_PATIENCE = 60.0  # seconds to wait for a broker at start


def end_process(reason: str) -> NoReturn:
    """End without committing: the one crash after which nothing is lost. Whoever supervises us
    starts the process again, and it goes on from what is committed."""
    log.critical("ending this process: %s", reason)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(70)


async def supervised(task: Coroutine[None, None, None]) -> None:
    """A background task that fails ends the process: it is of no use without it."""
    try:
        await task
    except Exception:
        log.exception("a background task failed")
        end_process("a background task failed")


class Setup(Service):
    """Starts before everything that talks to Kafka: topics, data folder, partition count."""

    def __init__(self, app: App, **kwargs: Any) -> None:
        self.app = app
        super().__init__(**kwargs)

    async def on_start(self) -> None:
        self.app.on_setup()
        cluster, partitions, changelog = await self._declare()
        self.app.settled(cluster, partitions)
        if changelog:
            keep_apart(self.app.folder, changelog)

    async def on_stop(self) -> None:
        log.info("ended, as it was asked to")  # last but for the web view

    async def _declare(self) -> tuple[str, int, str]:
        """The cluster's id, the partition count, and the changelog's id if anybody can tell."""
        app = self.app
        deadline = asyncio.get_running_loop().time() + BROKER_PATIENCE
        while True:
            try:
                found = await declare_topics(app.settings, app.names)
                return *found, await app.identify(app.names.changelog)
            except (UnusableBroker, UnusableTopic) as error:
                end_process(str(error))
            except (KafkaError, OSError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    end_process(f"no Kafka at {app.settings.bootstrap}: {error}")
                log.warning("waiting for Kafka at %s: %s", app.settings.bootstrap, error)
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
    on_identify: Callable[[str], Awaitable[str]] | None = None
    on_release: Callable[[], Awaitable[None]]
    on_restore: Callable[[frozenset[TP]], Awaitable[None]]
    on_positioned: Callable[[Mapping[TP, int]], None]

    def __init__(self, settings: Settings, group: str = "", **conf: Any) -> None:
        """`group` is its id, the worker's unless it is said; `conf` goes before our own."""
        self.settings = settings
        self.names = Names(settings.topic_prefix)
        self.folder = settings.state_dir
        self.partition_count = settings.partitions  # of the readings, once the broker was asked
        self._lock_file: int | None = None  # held as long as the process lives
        super().__init__(group or self.names.app, **{**_conf(settings), **conf})
        self.setup = Setup(self)

    async def identify(self, topic: str) -> str:
        """What it is, beside its name: one that is created anew is another. Empty if unknown."""
        return "" if self.on_identify is None else await self.on_identify(topic)

    async def release(self) -> None:
        await self.on_release()

    async def restore(self, assigned: frozenset[TP]) -> None:
        await self.on_restore(assigned)

    def positioned(self, positions: Mapping[TP, int]) -> None:
        self.on_positioned(positions)

    def _create_directories(self) -> None:
        """Faust makes no parents, and a new machine has no ~/.local/share."""
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        super()._create_directories()

    def settled(self, cluster: str, partitions: int) -> None:
        """The cluster is known: keep state apart by it, so wiping a broker never meets old rows."""
        self.partition_count = partitions
        for table in self.tables.values():
            table.partitions = partitions
        self.folder, self._lock_file = claim_folder(self.settings.state_dir / cluster)
        log.info("version %s, %s core; state is kept in %s", VERSION, CORE, self.folder)


class worker(FaustWorkerCommand):
    """Takes the place of Faust's command of that name, as every command does that is defined
    beside an app. Banner and spinner are for a terminal: machines are told log lines alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_read_by_machines = is_json(cast(App, self.app).settings)
        self.quiet = self.quiet or self.is_read_by_machines
        logging.captureWarnings(True)

    def run_using_worker(self, *args: Any, **kwargs: Any) -> NoReturn:
        if self.state.loop == "aio":  # what else was asked for has been put there already
            asyncio.set_event_loop(Loop())
        super().run_using_worker(*args, **kwargs)

    def worker_for_service(self, *args: Any, **kwargs: Any) -> Any:
        made: Any = super().worker_for_service(*args, **kwargs)
        if self.is_read_by_machines:
            made.spinner = None
        return made


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


def keep_apart(folder: Path, changelog: str) -> None:
    """The folder is for this changelog: stores of another one, deleted since or of another prefix,
    are dropped. Where offsets mean something else, nobody would notice what is missing."""
    mark = folder / "changelog"
    if not mark.exists() or mark.read_text() != changelog:
        for store in folder.glob("*.db"):
            log.warning("%s is of another changelog and is dropped: it is read anew", store)
            shutil.rmtree(store)
        mark.write_text(changelog)


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
        "logging_config": logging_config(settings),
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


try:
    app = App(from_environment())
except SettingsError as error:
    sys.exit(str(error))

sources = app.topic(
    app.names.readings,
    app.names.checks,
    app.names.commands,
    app.names.forwarded,
    schema=Chunks(),
    key_type=bytes,
    value_type=bytes,
    allow_empty=True,
)

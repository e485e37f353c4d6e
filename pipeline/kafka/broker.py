"""A data folder in; out come an Apache Kafka in it (one node, KRaft), its command and its address.

The folder survives: formatted once, the same port again where it is free. Loopback only.
"""

from __future__ import annotations

import base64
import secrets
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.kafka import jars
from pipeline.kafka.jars import Unusable
from pipeline.kafka.lock import locked
from pipeline.supervisor import tied_to_this_process

HOST = "127.0.0.1"
STOP_WITHIN = 10.0  # seconds; it needs 0.4
START_WITHIN = 60.0  # seconds; it needs 2.5 to 5
LARGEST_RECORD = 16 << 20
PROPERTIES_FILE, LOGGING_FILE = "server.properties", "log4j2.properties"
# Below the ports that Linux gives to clients (32768 and up): a client that keeps asking for a
# broker that is down could otherwise be given the broker's own port, and connect to itself.
PORTS = range(20_000, 32_000)

# C1 alone starts 0.8 s faster than both compilers, and the serial collector takes the least memory.
JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)

# Paths below are relative to the folder, which the broker runs in: no name of a folder can break
# them, and a folder that is moved still works.
PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{{controller}}
listeners=PLAINTEXT://{HOST}:{{port}},CONTROLLER://{HOST}:{{controller}}
advertised.listeners=PLAINTEXT://{HOST}:{{port}}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=data
# After kill -9 the controller refuses the broker until the old session is over: 9 s by default.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes={LARGEST_RECORD}
replica.fetch.max.bytes={LARGEST_RECORD}
replica.fetch.response.max.bytes={LARGEST_RECORD}
fetch.max.bytes={4 * LARGEST_RECORD}
# What isn't flushed is read again after kill -9, at most one segment a partition.
log.segment.bytes={64 << 20}
log.cleaner.dedupe.buffer.size={32 << 20}
# A machine that was off for a week goes on where it was: the default is 7 days.
offsets.retention.minutes={365 * 24 * 60}
"""

LOGGING = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = kafka.log
appender.file.filePattern = kafka.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %c{1}: %m%n
appender.file.policies.type = SizeBasedTriggeringPolicy
appender.file.policies.size = 8 MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""


class Kafka:
    """One broker's folder. `prepare()` first; whoever calls it holds the lock of the folder."""

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        """`port` is the first choice for a new folder, taken where it is free."""
        self.data_dir = data_dir.absolute()
        self.log = self.data_dir / "kafka.log"
        self.port = 0
        self._wish = port
        self._command: list[str] = []

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    def command(self) -> list[str]:
        """What runs the broker, in the foreground, in `data_dir`."""
        return [*self._command, "kafka.Kafka", PROPERTIES_FILE]

    def prepare(self, say: Callable[[str], None]) -> None:
        """Jars, ports, configuration; formats a new folder. Unusable where that can't be had."""
        java = jars.java()
        libraries = jars.fetched(say)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._configure()
        self._command = [
            java,
            *JVM,
            "-XX:ErrorFile=jvm-crash.log",
            f"-Dlog4j2.configurationFile={LOGGING_FILE}",
            "-cp",
            f"{libraries}/*",
        ]
        if not (self.data_dir / "data/meta.properties").exists():  # written last by a format
            self._format()

    def answers(self) -> bool:
        """Whether the broker answers requests: it opens its port some time before it does."""
        return answers(self.port)

    def _configure(self) -> None:
        remembered = self.data_dir / "port"
        with suppress(OSError, ValueError):
            self._wish = int(remembered.read_text())
        self.port = free_port(self._wish)
        remembered.write_text(f"{self.port}\n")
        ports = {"port": self.port, "controller": free_port()}
        (self.data_dir / PROPERTIES_FILE).write_text(PROPERTIES.format(**ports))
        (self.data_dir / LOGGING_FILE).write_text(LOGGING)

    def _format(self) -> None:
        cluster = _cluster_id()
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config"]
        done = subprocess.run(
            [*self._command, *tool, PROPERTIES_FILE],
            cwd=self.data_dir,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            preexec_fn=tied_to_this_process(),
        )
        if done.returncode != 0:
            why = " ".join((done.stderr or done.stdout).split())[-500:]
            raise Unusable(f"Kafka can't format {self.data_dir}: {why}")


def _cluster_id() -> str:
    """A random UUID as Kafka writes it; one with a dash in front would be taken for an option."""
    while True:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster.startswith("-"):
            return cluster


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    request = struct.pack(">hhih", 18, 0, 1, -1)  # ApiVersions 0, correlation 1, no client id
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1.0) as link:
        link.sendall(struct.pack(">i", len(request)) + request)
        answer = link.recv(8, socket.MSG_WAITALL)
        return len(answer) == 8 and struct.unpack(">i", answer[4:])[0] == 1
    return False


def free_port(wish: int | None = None) -> int:
    """`wish` where it is free, else any."""
    if wish and is_free(wish):
        return wish
    for _ in range(1_000):
        port = secrets.choice(PORTS)
        if is_free(port):
            return port
    raise Unusable(f"no port of {PORTS.start} to {PORTS.stop} is free on {HOST}")


class RunningKafka(Kafka):
    """A Kafka with its process, for whoever needs no supervisor: the tests and the benchmarks."""

    process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.data_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=tied_to_this_process(),
        )
        try:
            self._until_it_answers()
        except BaseException:
            self.kill()
            raise

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + START_WITHIN
        while not self.answers():
            if self.process.poll() is not None:
                raise Unusable(f"Kafka ended with code {self.process.returncode}: see {self.log}")
            if time.monotonic() > deadline:
                raise Unusable(f"Kafka doesn't answer after {START_WITHIN:g} s: see {self.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running(
    data_dir: Path, *, port: int | None = None, say: Callable[[str], None] = lambda _: None
) -> Iterator[RunningKafka]:
    """A Kafka that answers, in `data_dir`; ended with the block. Call it from the main thread."""
    kafka = RunningKafka(data_dir, port=port)
    with locked(kafka.data_dir / "lock"):
        kafka.prepare(say)
        kafka.start()
        try:
            yield kafka
        finally:
            kafka.stop()

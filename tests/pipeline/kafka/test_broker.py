from __future__ import annotations

import signal
import socket
import time
import uuid
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient

from pipeline.kafka import FolderInUse, Kafka, broker, running
from pipeline.kafka.broker import HOST, LARGEST_RECORD, PORTS, RunningKafka, free_port
from tests.lab import consume, create, produce, python, runs, started, until

OWNER = """
import sys, time
from pathlib import Path
from pipeline.kafka import running
with running(Path(sys.argv[1])) as kafka:
    print("pid", kafka.process.pid, flush=True)
    time.sleep(1000)
"""


@pytest.mark.kafka
@pytest.mark.slow
async def test_what_was_sent_and_the_address_survive_kill_9_and_a_stop(tmp_path: Path) -> None:
    with running(tmp_path / "a folder, named ü") as kafka:
        bootstrap = kafka.bootstrap
        await create(bootstrap, "readings")
        await produce(bootstrap, "readings", b"before kill -9")
        kafka.kill()
        _start_again(kafka, "kill -9")
        await produce(bootstrap, "readings", b"before a stop")
        kafka.stop()
        _start_again(kafka, "a stop")
        assert await consume(bootstrap, "readings", 2) == [b"before kill -9", b"before a stop"]
    assert not runs(kafka.process.pid)
    with running(kafka.data_dir) as again:
        assert again.bootstrap == bootstrap
        assert await consume(bootstrap, "readings", 2) == [b"before kill -9", b"before a stop"]


def _start_again(kafka: RunningKafka, after: str) -> None:
    began = time.monotonic()
    kafka.start()
    print(f"Kafka answers {time.monotonic() - began:.1f} s after {after}")


@pytest.mark.kafka
def test_a_folder_has_one_broker_and_the_broker_ends_with_its_killed_owner(tmp_path: Path) -> None:
    with started(*python(OWNER, str(tmp_path))) as owner:
        broker = int(owner.lines.until("pid").split()[-1])
        with pytest.raises(FolderInUse, match=r"is in use by another process"), running(tmp_path):
            pass
        assert runs(broker)
        owner.signal(signal.SIGKILL)
        until(lambda: not runs(broker), "the broker is gone")


async def test_a_record_of_almost_16_mib_passes(kafka: RunningKafka, prefix: str) -> None:
    large = bytes(LARGEST_RECORD - 1024)
    await create(kafka.bootstrap, f"{prefix}large")
    await produce(kafka.bootstrap, f"{prefix}large", large, max_request_size=LARGEST_RECORD)
    assert await consume(
        kafka.bootstrap, f"{prefix}large", 1, max_partition_fetch_bytes=LARGEST_RECORD
    ) == [large]


async def test_a_topic_is_never_created_by_asking_for_it(kafka: RunningKafka, prefix: str) -> None:
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap)
    await client.bootstrap()
    try:
        client.add_topic(f"{prefix}typo")
        await client.force_metadata_update()
    finally:
        await client.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        assert f"{prefix}typo" not in await admin.list_topics()
    finally:
        await admin.close()


def test_the_broker_listens_on_loopback_alone(kafka: RunningKafka) -> None:
    everywhere = {"00000000", "0" * 32}
    for table in ("tcp", "tcp6"):
        rows = Path(f"/proc/{kafka.process.pid}/net/{table}").read_text().splitlines()[1:]
        for row in rows:
            address, _, port = row.split()[1].rpartition(":")
            assert int(port, 16) != kafka.port or address not in everywhere


def test_the_broker_says_in_its_log_that_it_started(kafka: RunningKafka) -> None:
    assert "Kafka Server started" in kafka.log.read_text()


@pytest.mark.kafka
def test_another_port_is_taken_where_the_old_one_is_in_use(tmp_path: Path) -> None:
    first = Kafka(tmp_path)
    first.prepare(print)
    with _listening(first.port):
        second = Kafka(tmp_path)
        second.prepare(print)
    assert second.port != first.port
    third = Kafka(tmp_path)
    third.prepare(print)
    assert third.port == second.port


@pytest.mark.kafka
def test_a_new_folder_takes_the_wished_port_where_it_is_free(tmp_path: Path) -> None:
    wish = free_port()
    wished, taken = Kafka(tmp_path / "wished", port=wish), Kafka(tmp_path / "taken", port=wish)
    wished.prepare(print)
    with _listening(wish):
        taken.prepare(print)
    assert wished.port == wish
    assert taken.port != wish


def test_a_broker_that_accepts_and_says_nothing_does_not_answer() -> None:
    kafka = Kafka(Path("unused"))
    kafka.port = free_port()
    assert not kafka.answers()
    with _listening(kafka.port):
        assert not kafka.answers()


def test_ports_are_below_those_that_linux_gives_to_clients() -> None:
    lowest = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
    assert max(PORTS) < int(lowest)


def _listening(port: int) -> socket.socket:
    return socket.create_server((HOST, port))


def test_the_id_of_a_cluster_is_never_taken_for_an_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = iter([uuid.UUID(bytes=b"\xfb" * 16), uuid.UUID(bytes=b"\x01" * 16)])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(drawn))  # the first begins with a dash
    assert broker._cluster_id() == "AQEBAQEBAQEBAQEBAQEBAQ"

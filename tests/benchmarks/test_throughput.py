"""The parts of the throughput benchmark that need no Kafka: generator, job, statistics, figure."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from xml.etree import ElementTree

import pytest

from pipeline.home import home_of
from pipeline.kafka import jars
from pipeline.kafka.broker import free_port
from pipeline.records import decode
from pipeline.rules import DEFAULT
from tests.benchmarks.lateness import ANSWER_WITHIN, Health
from tests.benchmarks.throughput import lineup
from tests.benchmarks.throughput.__main__ import rounds
from tests.benchmarks.throughput.figure import drawn
from tests.benchmarks.throughput.generator import START, Job, records
from tests.benchmarks.throughput.job import RULES, Device, Reading, Window, judge
from tests.benchmarks.throughput.lineup import CONTESTANTS
from tests.benchmarks.throughput.measure import Seen, Turn, stretch
from tests.benchmarks.throughput.report import quick_line, result, table

JOB = Job(devices=50, readings=20_000)
OURS, NAIVE, BARE = (
    next(one for one in CONTESTANTS if one.name == name)
    for name in ("ours-plain", "naive-faust", "bare-loop")
)


# --- what is sent -------------------------------------------------------------------------------


def test_a_seed_always_gives_the_same_bytes() -> None:
    sent = b"".join(record.value for record in records(JOB, 4))
    assert hashlib.sha256(sent).hexdigest() == (
        "cb77c357de35985482429c78b630582398c043d48d9d425b03c775379ebdf648"
    )
    assert sent != b"".join(record.value for record in records(JOB._replace(seed=8), 4))


def test_a_reading_is_one_of_the_contract_and_at_home() -> None:
    before = START - 1
    for record in islice(records(JOB, 4), 1_000):
        at = record.timestamp / 1000
        reading, refused = decode(record.value, at, named=frozenset(), naive_timezone=UTC)
        assert (reading.device_id.encode(), reading.time) == (record.key, at)
        assert reading.values.keys() == {"temperature", "humidity", "battery"}
        assert record.partition == home_of(reading.device_id, 4)
        assert not refused
        assert at >= before
        before = at


def test_one_reading_in_a_hundred_is_hot() -> None:
    assert sum(b":36.5," in record.value for record in records(JOB, 4)) == JOB.readings // 100


# --- the job of the others ----------------------------------------------------------------------


def reading(**values: float) -> Reading:
    ordinary = {"temperature": 21.0, "humidity": 50.0, "battery": 90.0}
    return Reading("d", timestamp=datetime.fromtimestamp(START, UTC), **(ordinary | values))


HISTORIES = [
    ("temperature", [35, 35.1, 36, 33, 32.9], ["fired danger", "resolved danger"]),
    ("temperature", [10, 9.9, 12, 12.1], ["fired warning", "resolved warning"]),
    ("humidity", [80.1, 90, 74], ["fired warning", "resolved warning"]),
    ("humidity", [19, 25, 26], ["fired warning", "resolved warning"]),
    (
        "battery",
        [19, 4, 7, 9, 26],
        ["fired warning", "updated danger", "updated warning", "resolved warning"],
    ),
    ("battery", [4, 90], ["fired danger", "resolved danger"]),
]


@pytest.mark.parametrize(("metric", "values", "told"), HISTORIES)
def test_it_fires_and_resolves_by_the_same_lines(
    metric: str, values: list[float], told: list[str]
) -> None:
    device = Device()
    alerts = [one for value in values for one in judge(device, reading(**{metric: value}))]
    assert [f"{one['event']} {one['severity']}" for one in alerts] == told
    assert not device.alerts


def test_its_thresholds_are_the_default_ones() -> None:
    ours = {
        rule.name: [(level.severity, level.line, level.clear) for level in rule.levels]
        for rule in DEFAULT.thresholds
    }
    assert {rule.name: [tuple(line) for line in rule.lines] for rule in RULES} == ours


def test_a_window_starts_anew_every_five_minutes() -> None:
    window = Window()
    for start, value in [(0.0, 3.0), (0.0, 1.0), (0.0, 2.0), (300.0, 7.0)]:
        window.add(start, value)
        if start == 0.0:
            first = (window.count, window.total, window.low, window.high, window.last)
    assert first == (3, 6.0, 1.0, 3.0, 2.0)
    assert window == Window(300.0, 1, 7.0, 7.0, 7.0, 7.0)


# --- what is made of turns ----------------------------------------------------------------------

TURNS = [
    Turn(1_000, 2.0, 1.0, 50_000_000),
    Turn(1_000, 1.0, 0.9, 70_000_000),
    Turn(1_000, 4.0, 1.1, 60_000_000),
]


def test_a_result_is_the_median_with_its_spread() -> None:
    found = result(BARE, TURNS)
    assert (found["lowest"], found["readings_per_second"], found["highest"]) == (250, 500, 1_000)
    assert found["cpu_us_per_reading"] == 1_000.0
    assert found["peak_rss_mb"] == 70
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("committed", "ends"),
    [
        ([10, 20, 30], (10, 30)),
        ([10, 20, 40], (10, 20)),  # all there is: perhaps it waited for its time
        ([10, 40], (10, 40)),  # better than nothing
    ],
)
def test_the_clock_stops_at_a_commit_that_more_was_to_follow(
    committed: list[int], ends: tuple[int, int]
) -> None:
    seen = [Seen(float(number), count, 0.0) for number, count in enumerate(committed)]
    assert tuple(one.committed for one in stretch(seen, total=40)) == ends


class Slow(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(0.1)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_how_soon_it_is_said_to_be_alive_is_the_slowest_answer_after_the_first() -> None:
    nobody = free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Health([server.server_port]) as health, Health([nobody]) as none:
            time.sleep(0.4)
        server.shutdown()
    assert 0.1 <= health.slowest < ANSWER_WITHIN
    assert none.slowest == 0.0


@pytest.mark.parametrize(("within", "numbers"), [(0.0, [0]), (1e9, [0, 1, 2])])
def test_there_is_one_round_and_then_as_many_as_there_is_time_for(
    within: float, numbers: list[int]
) -> None:
    assert list(rounds(3, within)) == numbers


def test_the_table_has_a_line_for_each() -> None:
    lines = table([result(BARE, TURNS), result(NAIVE, TURNS)]).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {7}
    assert lines[2] == (
        "| bare confluent-kafka loop | 500 | 250 to 1,000 | 1000.00 | 70 | nothing |"
    )


def test_the_quick_run_ends_with_three_numbers() -> None:
    results = [result(one, TURNS) for one in (OURS, NAIVE, BARE)]
    assert quick_line(results) == {"ours": 500, "naive_faust": 500, "bare_loop": 500}


def test_the_figure_has_a_bar_for_each_as_long_as_it_is_fast() -> None:
    found = {
        "job": {"devices": 1_000},
        "machine": {"cores": 2, "processor": "a <fast> one"},
        "versions": {"kafka": "4", "python": "3"},
        "results": [
            result(NAIVE, [Turn(10, 1.0, 1.0, 1)]),
            result(OURS, [Turn(1_000, 1.0, 1.0, 1)]),
            result(BARE, [Turn(500, 1.0, 1.0, 1)]),
        ],
    }
    bars = ElementTree.fromstring(drawn(found)).findall("{*}rect")  # noqa: S314  (our own)
    assert [int(bar.attrib["width"]) for bar in bars] == [360, 180, 4]
    assert [bar.get("class") for bar in bars] == ["ours", None, None]


def test_kafka_streams_is_of_the_version_of_the_broker() -> None:
    pom = lineup.ROOT / "tests/benchmarks/throughput/contestants/kafka_streams/pom.xml"
    assert f"<kafka.version>{jars.version()}</kafka.version>" in pom.read_text()

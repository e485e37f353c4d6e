"""The benchmark of the web view: its parts by themselves, and a turn with 20 real viewers."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from pipeline.kafka.broker import RunningKafka
from tests.benchmarks.lateness import held_at_most
from tests.benchmarks.process import Failed
from tests.benchmarks.web.figures import figures
from tests.benchmarks.web.frames import CLOSE, PING, TEXT, pong, split
from tests.benchmarks.web.lineup import CONTESTANTS, FLOOR, OURS, WORKER, Contestant
from tests.benchmarks.web.marks import name_of, number_in
from tests.benchmarks.web.pace import paced
from tests.benchmarks.web.report import ratio, result, stream_table, table, worker_table
from tests.benchmarks.web.turn import Scene, Turn, turn
from tests.benchmarks.web.viewer import Given, Log, Polling, Watching

SHORT, LONG, LONGEST = b"x" * 125, b"y" * 126, b"z" * 70_000
STREAM = (
    b"\x81\x7d"
    + SHORT
    + b"\x81\x7e\x00\x7e"
    + LONG
    + b"\x89\x02hi"
    + b"\x81\x7f"
    + len(LONGEST).to_bytes(8)
    + LONGEST
    + b"\x88\x02\x03\xf5"
)
FRAMES = [(TEXT, SHORT), (TEXT, LONG), (PING, b"hi"), (TEXT, LONGEST), (CLOSE, b"\x03\xf5")]


# --- what the client reads -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 127, 4_096, len(STREAM)])
def test_frames_are_whole_however_their_bytes_come(size: int) -> None:
    found, rest = [], b""
    for start in range(0, len(STREAM), size):
        whole, rest = split(rest + STREAM[start : start + size])
        found += whole
    assert (found, rest) == (FRAMES, b"")


def test_a_pong_is_masked_and_carries_what_the_ping_did() -> None:
    assert pong(b"hi") == b"\x8a\x82\0\0\0\0hi"


def test_the_numbers_of_events_are_found_wherever_they_are() -> None:
    body = json.dumps(
        [{"id": name_of(7)}, {"id": "greenhouse-1"}, {"id": name_of(12_345)}]
    ).encode()
    first, at = number_in(body)
    second, at = number_in(body, at)
    assert (first, second, number_in(body, at)) == (7, 12_345, (-1, -1))


ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
GIVEN = Given(port=8000, path="/there/", viewers=1, events=2)


def text(number: int) -> bytes:
    return b"\x81\x0d" + name_of(number).encode()


def test_a_viewer_notes_each_event_answers_pings_and_tells_how_it_was_ended() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        log = Log(GIVEN)
        viewer = Watching(log, ours)
        assert theirs.recv(4_096).startswith(b"GET /there/ HTTP/1.1\r\n")
        assert viewer.take(ANSWER + text(1)[:5], 1.0) is None
        assert viewer.take(text(1)[5:] + text(1) + b"\x89\x02hi", 2.0) is None
        assert theirs.recv(4_096) == pong(b"hi")
        assert viewer.take(text(2) + b"\x88\x02\x03\xf5", 3.0) == "1013"
    assert [list(log.arrivals[number]) for number in (0, 1, 2)] == [[], [2.0], [3.0]]
    assert (log.inside, log.left, log.repeated) == (1, 1, 1)


def test_who_is_not_let_in_says_what_it_was_told() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        refused = Watching(Log(GIVEN), ours).take(b"HTTP/1.1 503 No room\r\n\r\n", 1.0)
    assert refused == "refused: HTTP/1.1 503 No room"


def test_a_poll_that_finds_what_was_there_before_finds_nothing_new() -> None:
    body = f"[{name_of(1)}, {name_of(2)}]".encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        log = Log(GIVEN._replace(polling=5.0))
        viewer = Polling(log, ours)
        viewer.ask(1.0)  # while the first is still to be answered
        for at, data in [(2.0, answer + body[:15]), (3.0, body[15:]), (4.0, answer + body)]:
            assert viewer.take(data, at) is None
    assert (list(log.arrivals[1]), list(log.arrivals[2])) == ([3.0], [3.0])
    assert (log.requests, log.inside, log.left, log.repeated) == (1, 1, 1, 0)


# --- what is made of it --------------------------------------------------------------------------


def test_who_comes_too_late_has_missed_it() -> None:
    arrivals = {1: [10.1, 10.3, 10.2], 2: [20.4, 31.0]}
    found = figures(arrivals, {1: 10.0, 2: 20.0}, viewers=3, patience=10.0)
    assert (found["delivered"], found["missed"]) == (4, 2)
    assert [found[name] for name in ("first", "median", "last", "worst")] == [250, 300, 350, 400]
    assert (found["p50"], found["p99"], found["first_worst"]) == (300, 400, 400)


def test_an_event_that_nobody_got_is_missed_by_all() -> None:
    found = figures({}, {1: 10.0}, viewers=3, patience=10.0)
    assert (found["missed"], found["last"], found["p99"]) == (3, None, None)


async def test_events_keep_their_pace_when_one_takes_long() -> None:
    async def send(number: int) -> None:
        await asyncio.sleep(0.3 if number == 1 else 0.0)

    times = await paced(send, 4, 0.1)
    starts = [times[number][0] - times[1][0] for number in (1, 2, 3, 4)]
    assert starts == pytest.approx([0.0, 0.1, 0.2, 0.3], abs=0.08)
    assert times[1][1] - times[1][0] >= 0.3


def turned(last: float, missed: int) -> Turn:
    """Of 1,000 viewers and 3 events; of all that came each took as long."""
    scene = Scene(1_000, 3, 2.0)
    seen = figures({1: [last / 1000]}, {1: 0.0}, 1, 10.0) | {"missed": missed}
    both = {"from_sent": seen, "from_acked": seen, "repeated": 0, "ended": {"1013": missed}}
    both |= {"arrived": 4_000}
    held = (0.05, last / 1000, last / 500)
    return Turn(scene, 6.0, 0.3, 0.4, 0.06, 20_000_000, 30_000_000, both, *held)


def test_a_result_is_the_median_of_the_turns_and_all_that_was_missed() -> None:
    found = result(OURS, [turned(10, 0), turned(30, 2), turned(20, 1)])
    assert (found["from_sent"]["last"], found["from_sent"]["worst"]) == (20, 30)
    assert (found["from_sent"]["missed"], found["due"], found["ended"]) == (3, 9_000, 3)
    assert (found["cpu_percent"], found["broker_percent"]) == (5.0, 1.0)
    assert found["cpu_us_a_delivery"] == 100.0
    assert (found["memory_mb"], found["kb_a_viewer"]) == (30.0, 10.0)
    held = [found[f"loop_held_at_most{when}"] for when in ("", "_as_they_came", "_as_they_left")]
    assert held == [0.03, 0.05, 0.06]
    assert json.loads(json.dumps(found))["name"] == "ours"


def test_the_tables_have_a_line_for_each_and_the_ratio_is_of_the_last_viewer() -> None:
    channels = next(one for one in CONTESTANTS if one.name == "channels")
    results = [result(OURS, [turned(10, 0)]), result(channels, [turned(300, 7)])]
    for lines in (table(results, "from_sent"), stream_table(results), worker_table(results)):
        columns = {line.count("|") for line in lines.splitlines()}
        assert len(lines.splitlines()) == 4
        assert len(columns) == 1
    assert "| 7 of 3,000 |" in table(results, "from_sent")
    assert ratio(results).endswith("30.0 times sooner than of Channels")
    assert ratio(results[:1]) == ""


def test_a_loop_was_held_for_as_long_as_the_last_bucket_that_got_any() -> None:
    before = {0.01: 5.0, 0.05: 7.0, 0.1: 8.0, float("inf"): 8.0}
    after = {0.01: 6.0, 0.05: 9.0, 0.1: 10.0, float("inf"): 10.0}
    assert held_at_most(before) == held_at_most(after) == 0.1
    assert held_at_most(after, before) == 0.05


# --- a whole turn --------------------------------------------------------------------------------


POLLING = next(one for one in CONTESTANTS if one.name == "polling-ours")


@pytest.mark.parametrize(
    "contestant", [FLOOR, OURS, WORKER, POLLING._replace(polling=0.2)], ids=lambda one: one.name
)
def test_twenty_viewers_get_every_event_once(
    contestant: Contestant, kafka: RunningKafka, tmp_path: Path
) -> None:
    took = turn(contestant, kafka, tmp_path / "turn", Scene(20, 5, 0.1))
    for since in ("from_sent", "from_acked"):
        assert (took.seen[since]["delivered"], took.seen[since]["missed"]) == (100, 0)
    assert (took.seen["repeated"], took.seen["ended"]) == (0, {})
    assert took.before > 1_000_000
    for held in (took.held, took.held_coming, took.held_leaving):
        assert ((held or 0.0) > 0.0) is contestant.tells_lateness
    assert took.seconds >= 0.5


def test_a_server_that_does_not_start_says_why(kafka: RunningKafka, tmp_path: Path) -> None:
    broken = OURS._replace(environment={"SMART_IOT_VIEWER": "1"})
    with pytest.raises(Failed, match="SMART_IOT_VIEWER is no setting"):
        turn(broken, kafka, tmp_path / "turn", Scene(1, 1, 0.1))

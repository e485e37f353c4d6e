"""Records on a real broker in, messages at real WebSocket viewers out."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from pipeline.settings import Settings
from pipeline.web.alerts import Alert, Wanted
from pipeline.web.door import connection
from pipeline.web.live import SLICE
from tests.pipeline.web.alert_log import PARTITIONS, AlertLog, event, long_ago, resolved
from tests.pipeline.web.conftest import PATIENCE, Site, Socket, metric, narrow, running, until

SEEDS_VIEWER = """
import asyncio
import websockets
import json

async def test_alerts():
    uri = "{uri}"

    async with websockets.connect(uri) as websocket:
        print("✅ Connected to WebSocket")

        # Listen for messages
        while True:
            message = await websocket.recv()
            data = json.loads(message)
            print(f"📨 Received: {{data}}")

if __name__ == "__main__":
    asyncio.run(test_alerts())
"""


def offsets(cursor: str) -> tuple[str, list[int]]:
    cluster, offsets = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return cluster, offsets


async def test_a_viewer_is_welcomed_in_the_seeds_words(site: Site) -> None:
    async with site.viewer() as viewer:
        assert viewer.welcome["type"] == "connection"
        assert viewer.welcome["message"] == "Connected to alerts stream"
        assert viewer.welcome["timestamp"].endswith("Z")
        assert viewer.welcome["recovered"] is None


async def test_the_stream_is_also_there_without_the_last_slash(site: Site) -> None:
    site.ws = site.ws.rstrip("/")
    async with site.viewer() as viewer:
        assert viewer.welcome["type"] == "connection"


async def test_a_viewer_gets_the_open_alerts_marked_and_oldest_first(
    log: AlertLog, site: Site
) -> None:
    first = event("old", started_at="2026-11-21T00:00:00.000Z")
    second = event("new", device_id="hall/1", started_at="2026-11-22T00:00:00.000Z")
    await log.tell(second, first)
    await site.until_open("new", "old")
    async with site.viewer() as viewer:
        assert await viewer.next() == {**first, "backlog": True}
        assert await viewer.next() == {**second, "backlog": True}


async def test_a_live_event_is_the_one_on_the_topic_with_a_cursor(
    log: AlertLog, site: Site
) -> None:
    async with site.viewer() as viewer:
        await log.tell(event())
        told = await viewer.next()
        before, after = offsets(viewer.welcome["cursor"]), offsets(told.pop("cursor"))
        assert told == event()
        assert before[0] == after[0] != ""
        assert len(after[1]) == PARTITIONS
        assert sum(after[1]) == sum(before[1]) + 1


async def test_all_viewers_get_the_same_cursor(log: AlertLog, site: Site) -> None:
    async with site.viewer() as one, site.viewer() as other:
        await log.tell(event())
        assert await one.next() == await other.next()


async def test_one_who_comes_with_a_cursor_is_told_that_nothing_is_proven_and_gets_what_is_open(
    log: AlertLog, site: Site
) -> None:
    await log.tell(event())
    await site.until_open("a1")
    async with site.viewer("?cursor=whatever") as viewer:
        assert viewer.welcome["recovered"] is False
        assert (await viewer.next())["backlog"] is True


async def test_many_open_alerts_are_told_in_parts_between_which_the_event_loop_turns(
    log: AlertLog, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5_000):
        one = event(f"{number}", device_id="hall" if number % 5 else "barn")
        site.view._feed._open.apply(Alert.of(json.dumps(one).encode()))
    steps = most = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def count(*given: Any) -> Any:
            nonlocal steps
            steps += 1
            return method(*given)

        return count

    monkeypatch.setattr(Wanted, "has", counted(Wanted.has))
    monkeypatch.setattr(Alert, "backlog", counted(Alert.backlog))

    async def watch_turns() -> None:
        nonlocal steps, most
        while True:
            most, steps = max(most, steps), 0
            await asyncio.sleep(0)

    turning = asyncio.create_task(watch_turns())
    async with site.viewer("?device=hall") as viewer, site.viewer() as other:
        assert (viewer.welcome["backlog"], other.welcome["backlog"]) == (4_000, 5_000)
        await log.to_alerts(event("live", device_id="hall"))
        ids = [(await viewer.event())[0] for _ in range(4_001)]
        assert ids == [*sorted(str(n) for n in range(5_000) if n % 5), "live"]
    turning.cancel()
    assert 0 < most <= 2 * SLICE


async def test_an_event_that_is_on_the_topic_again_is_not_relayed_again(
    log: AlertLog, site: Site
) -> None:
    async with site.viewer() as viewer:
        for one in (event(), event(seq=2), event(), event(seq=2), event(seq=3)):
            await log.to_alerts(one)
        assert [await viewer.event() for _ in range(3)] == [("a1", 1), ("a1", 2), ("a1", 3)]


async def test_an_event_of_the_backlog_is_not_sent_again_when_it_comes_live(
    log: AlertLog, site: Site
) -> None:
    async with site.viewer() as early:
        await log.to_open(event(seq=2))  # here `alerts-open` is ahead of `alerts`
        await site.until_open("a1")
        async with site.viewer() as late:
            assert await late.event() == ("a1", 2)
            for seq in (1, 2, 3):
                await log.to_alerts(event(seq=seq))
            assert await late.event() == ("a1", 3)
        assert [await early.event() for _ in range(3)] == [("a1", 1), ("a1", 2), ("a1", 3)]


async def test_a_repeat_of_what_was_open_at_the_start_goes_to_no_one(
    log: AlertLog, settings: Settings
) -> None:
    await log.to_alerts(event(), at=long_ago())
    await log.to_open(event(), at=long_ago())
    repeated = metric("smart_iot_web_events_repeated_total")
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            assert await viewer.event() == ("a1", 1)
            await log.tell(event(), resolved())  # a worker that crashed says it again
            assert await viewer.event() == ("a1", 2)
    assert metric("smart_iot_web_events_repeated_total") == repeated + 1


async def test_a_resolved_alert_is_gone_and_its_resolution_was_told(
    log: AlertLog, site: Site
) -> None:
    async with site.viewer() as viewer:
        await log.tell(event(), resolved())
        assert [await viewer.event() for _ in range(2)] == [("a1", 1), ("a1", 2)]
    assert await site.open() == []


async def test_a_record_that_lags_does_not_open_a_resolved_alert_again(
    log: AlertLog, site: Site
) -> None:
    await log.to_alerts(event())
    await log.to_alerts(resolved())
    await log.to_open(event())
    # the same partition as the record that lags, so this one is read after it
    await log.to_open(event("a2"))
    await site.until_open("a2")


async def test_resolved_just_before_the_start_is_resolved_though_the_open_topic_lags(
    log: AlertLog, settings: Settings
) -> None:
    await log.tell(event())
    await log.to_alerts(resolved())
    async with running(settings) as site:
        await site.until_ready()
        assert await site.open() == []


@pytest.mark.parametrize("named", [True, False])
async def test_a_tombstone_closes_an_alert(log: AlertLog, site: Site, named: bool) -> None:
    await log.tell(event())
    await site.until_open("a1")
    await log.tombstone(resolved(), named=named)
    await site.until_open()


async def test_tombstones_from_before_the_start_are_heeded(
    log: AlertLog, settings: Settings
) -> None:
    for one in (event("a1"), event("a2", device_id="hall/1")):
        await log.to_open(one)
    await log.tombstone(resolved("a1"))
    async with running(settings) as site:
        await site.until_ready()
        assert await site.open() == ["a2"]


async def test_events_from_before_the_start_are_not_relayed_but_what_is_open_is_known(
    log: AlertLog, settings: Settings
) -> None:
    await log.tell(event("past"), resolved("past"), event("open"))
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            assert await viewer.event() == ("open", 1)
            await log.tell(event("live"))
            assert await viewer.event() == ("live", 1)


async def test_records_that_are_no_events_are_counted_and_skipped(
    log: AlertLog, site: Site
) -> None:
    before = metric("smart_iot_web_events_unreadable_total")
    async with site.viewer() as viewer:
        for topic in (log.alerts, log.open):
            for value in (b"nonsense", b"[1]", b'{"alert_id":"x"}'):
                await log.raw(topic, value, b"greenhouse-7")
        await log.raw(log.alerts, None, b"greenhouse-7")
        await log.tell(event())
        assert await viewer.event() == ("a1", 1)

    async def counted() -> bool:
        return metric("smart_iot_web_events_unreadable_total") == before + 7

    await until(counted)


async def test_filters_hold_for_the_backlog_and_for_live_events(log: AlertLog, site: Site) -> None:
    def told(number: int) -> list[dict[str, Any]]:
        return [
            event(f"{number}-other", device_id="hall/1"),
            event(f"{number}-mild", severity="warning"),
            event(f"{number}-suppressed", suppressed_by="a0"),
            event(f"{number}-wanted"),
        ]

    await log.tell(*told(1))
    await site.until_open("1-wanted", "1-suppressed", "1-other", "1-mild")
    async with site.viewer("?device=green*&severity=danger,info") as viewer:
        assert await viewer.event() == ("1-wanted", 1)
        await log.tell(*told(2))
        assert await viewer.event() == ("2-wanted", 1)
    async with site.viewer("?device=green*&severity=danger&suppressed=1") as viewer:
        seen = {(await viewer.event())[0] for _ in range(4)}
        assert seen == {"1-suppressed", "1-wanted", "2-suppressed", "2-wanted"}


@pytest.mark.parametrize("query", ["?severity=grave", f"?device={'x' * 300}"])
async def test_a_filter_that_cannot_be_meant_is_refused(site: Site, query: str) -> None:
    assert await site.refused(query) == 400


async def test_the_ping_is_a_message_that_the_seeds_client_does_not_show(
    log: AlertLog, settings: Settings
) -> None:
    async with running(settings, ping_every=0.05) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            ping = await viewer.said()
            assert ping.pop("timestamp")
            assert ping == {
                "type": "connection",
                "event": "ping",
                "cursor": viewer.welcome["cursor"],
            }


@pytest.mark.parametrize("ending", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_task_that_fails_or_ends_as_cancelled_begins_again(
    log: AlertLog,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    ending: type[BaseException],
) -> None:
    faults = iter([ending()])

    def failing_once(**fields: Any) -> bytes:
        if "event" in fields and (fault := next(faults, None)):
            raise fault
        return connection(**fields)

    monkeypatch.setattr("pipeline.web.live.connection", failing_once)
    monkeypatch.setattr("pipeline.web.tasks.AGAIN", 0.05)
    async with running(settings, ping_every=0.05) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            assert (await viewer.said())["event"] == "ping"
    assert not list(faults)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:{port}", True),
        ("http://localhost:3000", True),
        ("http://127.0.0.1:3000", True),
        ("http://127.0.0.1:1", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
async def test_only_our_own_pages_may_watch(site: Site, origin: str, allowed: bool) -> None:
    headers = {"Origin": origin.format(port=site.view.port)}
    if allowed:
        async with site.viewer(headers=headers) as viewer:
            assert viewer.welcome["type"] == "connection"
    else:
        assert await site.refused(headers=headers) == 403


async def test_a_page_under_development_may_not_watch_where_we_listen_to_the_network(
    log: AlertLog, settings: Settings
) -> None:
    async with running(replace(settings, web_host="0.0.0.0")) as site:
        await site.until_ready()
        assert await site.refused(headers={"Origin": "http://localhost:3000"}) == 403


async def test_there_are_no_more_viewers_than_may_be(log: AlertLog, settings: Settings) -> None:
    async with running(replace(settings, viewers=2)) as site:
        await site.until_ready()
        async with site.viewer(), site.viewer():
            assert await site.refused() == 503
        await site.until_viewers(0)
        async with site.viewer():
            pass


async def test_a_message_larger_than_we_listen_to_ends_the_viewer(site: Site) -> None:
    async with site.viewer() as viewer:
        await viewer.socket.send_str("x" * 5000)
        assert await viewer.code() == 1009


async def test_what_a_viewer_says_is_ignored(log: AlertLog, site: Site) -> None:
    async with site.viewer() as viewer:
        await viewer.socket.send_str("hello?")
        await viewer.socket.send_bytes(b"\x00")
        await log.tell(event())
        assert await viewer.event() == ("a1", 1)


async def test_a_slow_viewer_is_told_to_try_again_later_and_the_others_miss_nothing(
    log: AlertLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # here it takes its close once all are sent, which a busy machine may need longer for than 5 s
    monkeypatch.setattr("pipeline.web.viewer.CLOSE_GRACE", PATIENCE)
    overflows = metric("smart_iot_web_queue_overflows_total")
    number, size = 80, 200_000  # 16 MB: more than the buffers between us take
    async with (
        running(replace(settings, viewer_queue=5)) as site,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=narrow)) as client,
    ):
        await site.until_ready()
        async with site.viewer() as fast, client.ws_connect(site.ws) as slow:
            for seq in range(1, number + 1):
                await log.to_alerts(event(seq=seq, note="x" * size))
                assert await fast.event() == ("a1", seq)
            assert metric("smart_iot_web_queue_overflows_total") == overflows + 1
            received = 0
            while (message := await slow.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
                received += 1
            assert received < number
            assert (message.type, slow.close_code) == (aiohttp.WSMsgType.CLOSE, 1013)


async def test_a_viewer_that_never_reads_again_is_cut_off(
    log: AlertLog, settings: Settings
) -> None:
    async with (
        running(replace(settings, viewer_queue=5)) as site,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=narrow)) as client,
    ):
        await site.until_ready()
        async with client.ws_connect(site.ws) as stuck:
            for seq in range(1, 81):
                await log.to_alerts(event(seq=seq, note="x" * 200_000))
            await site.until_viewers(0)
            # what was still to be sent to it is not kept: not even the close frame arrives
            assert await Socket(stuck).code() == 1006


async def test_a_stop_tells_every_viewer_that_we_go_away(log: AlertLog, settings: Settings) -> None:
    async with aiohttp.ClientSession() as client:
        async with running(settings) as site:
            await site.until_ready()
            sockets = [await client.ws_connect(site.ws) for _ in range(20)]
        for one in sockets:
            assert (await one.receive()).type is aiohttp.WSMsgType.TEXT  # the welcome
            closed = await one.receive()
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_the_seeds_viewer_works_unchanged_but_for_its_address(
    log: AlertLog, site: Site
) -> None:
    viewer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        "-c",
        SEEDS_VIEWER.format(uri=site.ws),
        stdout=asyncio.subprocess.PIPE,
    )
    assert viewer.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            assert "Connected" in (await viewer.stdout.readline()).decode()
            assert "Connected to alerts stream" in (await viewer.stdout.readline()).decode()
            await log.tell(event())
            assert "🔥 High Temperature Alert!" in (await viewer.stdout.readline()).decode()
    finally:
        viewer.terminate()
        await viewer.wait()

"""What Redis knows: the newest of every device, and what is wrong now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from pipeline.settings import Settings
from pipeline.sinks.redis import Redis
from pipeline.sinks.sink import OPEN, READING, Displaced, SinkUnavailable
from pipeline.web.alerts import Alert
from pipeline.web.newest import Known, Newest
from tests.pipeline.sinks.shell import CLUSTER, T0, Writing, event_of, reading, record
from tests.stores import Redis as Server
from tests.stores import redis_cli

DAY = 86_400.0


class Filling(Writing):
    """An archive's part, and who asks for what it has written."""

    def __init__(self, server: Server) -> None:
        settings = Settings(redis_url=server.url)
        super().__init__(Redis(settings))
        self._settings = settings

    async def asked(self) -> tuple[dict[str, Known], Sequence[Alert]]:
        """What is known of each device, and the open alerts."""
        await self.sink.current(CLUSTER, {("readings", 0): 0})
        newest = Newest(self._settings)
        try:
            opened = await newest.open_alerts()
            return {one.device_id: one async for some in newest.all() for one in some}, opened
        finally:
            await newest.stop()


@pytest.fixture
async def writing(redis_server: Server) -> AsyncIterator[Filling]:
    redis_cli(redis_server, "flushall")
    writing = Filling(redis_server)
    yield writing
    await writing.sink.close()


async def latest(writing: Filling) -> dict[str, Known]:
    return (await writing.asked())[0]


async def opened(writing: Filling) -> list[str]:
    return sorted(alert.device_id for alert in (await writing.asked())[1])


async def values(writing: Filling, device_id: str = "attic") -> dict[str, float]:
    return (await latest(writing))[device_id].values


async def test_the_newest_reading_of_a_device_is_known_with_its_time(writing):
    await writing.write(reading(0, temperature=20.5, humidity=60, room="attic"))
    (one,) = (await latest(writing)).values()
    assert one.values == {"temperature": 20.5, "humidity": 60.0}
    assert (one.time, one.at, one.offline) == (T0, T0, False)


@pytest.mark.parametrize(
    ("history", "newest"),
    [
        ([(0, 20), (10, 21)], 21),
        ([(10, 21), (0, 20)], 21),
        ([(10, 20), (10, 21)], 21),  # by offset then
        ([(10, 21), (9.999, 20), (5, 19)], 21),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_the_newest_is_by_record_time_then_offset(writing, history, newest, together):
    records = [reading(n, at=T0 + at, temperature=t) for n, (at, t) in enumerate(history)]
    for some in [records] if together else [[one] for one in records]:
        await writing.write(*some)
    assert await values(writing) == {"temperature": newest}


async def test_a_devices_own_clock_never_decides_and_is_shown_where_it_may_be_true(writing):
    await writing.write(reading(0, temperature=20, timestamp="2038-01-01T00:00:00Z"))
    assert (await latest(writing))["attic"].time == T0
    await writing.write(reading(1, at=T0 + 60, temperature=21, timestamp=T0 + 58))
    assert (await latest(writing))["attic"].time == T0 + 58
    assert await values(writing) == {"temperature": 21}


async def test_a_metric_that_the_newest_reading_lacks_is_kept_from_an_older_one(writing):
    await writing.write(reading(0, temperature=20), reading(1, at=T0 + 1, humidity=60))
    await writing.write(reading(2, at=T0 + 2, battery=90))
    assert await values(writing) == {"temperature": 20, "humidity": 60, "battery": 90}


async def test_a_device_that_names_its_metrics_anew_every_time_fills_no_memory(writing):
    for start in range(0, 300, 100):
        some = range(start, start + 100)
        await writing.write(*(reading(n, at=T0 + n, **{f"m{n}": n}) for n in some))
    found = await values(writing)
    assert found["m299"] == 299
    assert len(found) <= 130


async def test_an_open_alert_is_known_until_it_is_resolved_and_tells_who_is_offline(writing):
    offline = event_of(rule="offline", metric=None)
    await writing.write(reading(0, temperature=20), record(OPEN, 0, offline, key="attic|offline"))
    assert await opened(writing) == ["attic"]
    assert (await latest(writing))["attic"].offline
    await writing.write(record(OPEN, 1, None, key="attic|offline"))
    assert await opened(writing) == []
    assert not (await latest(writing))["attic"].offline


async def test_the_fleets_alert_makes_no_device_offline(writing):
    fleet = event_of("*fleet", rule="fleet-offline", metric=None)
    await writing.write(reading(0, temperature=20), record(OPEN, 0, fleet, key="*fleet|fleet"))
    assert not (await latest(writing))["attic"].offline


async def test_a_batch_that_comes_again_is_known_and_changes_nothing(writing):
    first = writing.batch(record(OPEN, 0, event_of(), key="attic|hot"))
    await writing.put(first)
    await writing.put(first)
    await writing.write(record(OPEN, 1, None, key="attic|hot"))
    with pytest.raises(Displaced, match="stands at 2"):
        await writing.put(first)
    assert await opened(writing) == []


async def test_a_redis_that_was_emptied_is_told_from_one_that_is_written(writing, redis_server):
    await writing.write(reading(0, temperature=20))
    redis_cli(redis_server, "flushall")
    with pytest.raises(Displaced, match="stands at ,"):
        await writing.write(reading(1, temperature=21))
    assert await writing.progress([READING]) == {}


async def test_a_redis_that_was_emptied_is_not_said_to_be_current(writing, redis_server):
    await writing.write(reading(0, temperature=20))
    await writing.sink.current(CLUSTER, writing.stands)
    redis_cli(redis_server, "flushall")
    with pytest.raises(Displaced, match="is not written as far as it was"):
        await writing.sink.current(CLUSTER, writing.stands)
    assert redis_cli(redis_server, "keys", "*") == ""


async def test_a_partition_that_is_read_anew_forgets_what_was_open_in_it(writing):
    other = record(OPEN, 0, event_of("barn"), key="barn|hot", partition=1)
    await writing.write(record(OPEN, 8, event_of(), key="attic|hot"), other)
    await writing.write(record(OPEN, 2, event_of("cellar"), key="cellar|hot"), anew=True)
    assert await opened(writing) == ["barn", "cellar"]


async def test_a_device_goes_when_nothing_was_heard_of_it_for_its_days(writing, redis_server):
    await writing.write(reading(0, "old", temperature=20))
    seconds = int(redis_cli(redis_server, "ttl", "{smart-iot}:device:old"))
    assert 6.9 * DAY < seconds <= 7 * DAY
    await writing.write(reading(1, "new", temperature=20), at=T0 + 8 * DAY)
    assert redis_cli(redis_server, "zrange", "{smart-iot}:devices", "0", "-1") == "new"


async def test_a_key_of_another_program_is_refused_and_the_rest_is_written(writing, redis_server):
    redis_cli(redis_server, "set", "{smart-iot}:device:theirs", "x")
    names = [f"d{n}" for n in range(20)]
    names[7] = "theirs"
    why = await writing.write(*(reading(n, name, temperature=n) for n, name in enumerate(names)))
    assert [one.entry.offset for one in writing.refused] == [7]
    assert "WRONGTYPE" in why[0]
    redis_cli(redis_server, "del", "{smart-iot}:device:theirs")
    assert len(await latest(writing)) == 19
    assert await writing.progress([READING]) == {"readings": 20}


@pytest.mark.parametrize("key", ["progress", "devices", "open"])
async def test_what_all_entries_share_is_no_fault_of_theirs(writing, redis_server, key):
    redis_cli(redis_server, "set", f"{{smart-iot}}:{key}", "x")
    batch = writing.batch(reading(0, temperature=20), record(OPEN, 0, event_of(), key="attic|hot"))
    with pytest.raises(SinkUnavailable, match="WRONGTYPE"):
        await writing.put(batch)
    assert writing.refused == []
    redis_cli(redis_server, "del", f"{{smart-iot}}:{key}")
    assert await writing.put(batch) == []
    assert await opened(writing) == ["attic"]


async def test_what_is_unusable_is_left_to_the_worker_that_rejects_it(writing):
    bad = [record(READING, n, value) for n, value in enumerate([b"?", {"device_id": "x"}, None])]
    assert await writing.write(*bad, reading(3, temperature=20)) == []
    assert set(await latest(writing)) == {"attic"}


async def test_a_redis_that_is_full_or_away_is_tried_again_later(writing, redis_server, tmp_path):
    redis_cli(redis_server, "config", "set", "maxmemory", "1")
    try:
        with pytest.raises(SinkUnavailable, match="maxmemory"):
            await writing.write(reading(0, temperature=20))
    finally:
        redis_cli(redis_server, "config", "set", "maxmemory", "0")
    nowhere = Writing(Redis(Settings(redis_url=f"redis://127.0.0.1:{Server(tmp_path).port}")))
    with pytest.raises(SinkUnavailable, match=r"refused|connect"):
        await nowhere.write(reading(0, temperature=20))
    await nowhere.sink.close()

"""What MongoDB keeps: every reading once, as it came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from pipeline.settings import Settings
from pipeline.sinks.mongo import Mongo
from pipeline.sinks.sink import READING, Displaced, SinkUnavailable
from pipeline.stores import DATABASE
from tests.pipeline.sinks.shell import CLUSTER, T0, Writing, reading, record
from tests.stores import Mongo as Server

MOMENT = datetime.fromtimestamp(T0, UTC)


@pytest.fixture
async def database(mongo_server: Server) -> AsyncIterator[Any]:
    client: AsyncMongoClient[Any] = AsyncMongoClient(mongo_server.url, tz_aware=True)
    await client.drop_database(DATABASE)
    yield client.get_default_database()
    await client.close()


@pytest.fixture
async def writing(database: Any, mongo_server: Server) -> AsyncIterator[Writing]:
    sink = Mongo(Settings(mongo_url=mongo_server.url, mongo_days=3))
    await sink.migrate()
    yield Writing(sink)
    await sink.close()


async def ids(database: Any) -> list[str]:
    return sorted([one["_id"] async for one in database.readings.find()])


async def test_a_reading_is_kept_as_it_came_with_where_and_when(writing, database):
    sent = {"device_id": 5, "temperature": 36.2, "room": {"floor": 1}, "timestamp": "2038-01-01"}
    await writing.write(record(READING, 7, sent, key="k"), at=T0 + 1)
    (kept,) = [one async for one in database.readings.find()]
    assert kept == {
        "_id": "readings-0-7",
        "device_id": "5",
        "at": MOMENT,
        "stored_at": MOMENT + timedelta(seconds=1),
        "reading": sent,
        "key": "k",
    }


async def test_the_same_device_and_time_with_other_values_are_two_readings(writing, database):
    same = "2026-11-22T10:00:00Z"
    await writing.write(
        reading(0, temperature=20, timestamp=same), reading(1, temperature=21, timestamp=same)
    )
    assert await ids(database) == ["readings-0-0", "readings-0-1"]


async def test_a_batch_that_comes_again_is_known_and_changes_nothing(writing, database):
    batch = writing.batch(*(reading(n, temperature=n) for n in range(50)))
    await writing.put(batch)
    await writing.put(batch, at=T0 + 60)
    assert len(await ids(database)) == 50
    assert await database.readings.distinct("stored_at") == [MOMENT]


async def test_a_batch_of_which_a_part_was_written_is_completed(writing, database):
    batch = writing.batch(*(reading(n, temperature=n) for n in range(50)))
    await writing.put(batch)
    await database.progress.delete_many({})
    await database.readings.delete_many({"reading.temperature": {"$gte": 25}})
    assert await writing.put(batch) == []
    assert len(await ids(database)) == 50
    assert await writing.progress([READING]) == {"readings": 50}


async def test_a_topic_that_was_made_anew_covers_nothing_of_the_old_one(writing, database):
    await writing.write(reading(0, temperature=20))
    await database.progress.delete_many({})
    anew = Writing(writing.sink)
    await anew.write(reading(0, temperature=30, at=T0 + 60), reading(1, temperature=31))
    assert await ids(database) == [
        "readings-0-0",
        f"readings-0-0-{round((T0 + 60) * 1000)}",
        "readings-0-1",
    ]


async def test_what_bson_cant_hold_or_a_validator_forbids_is_refused_alone(writing, database):
    await database.command("collMod", "readings", validator={"reading.temperature": {"$lt": 100}})
    why = await writing.write(
        reading(0, temperature=20),
        reading(1, temperature=21, serial=1 << 70),
        reading(2, temperature=22, **{"a\x00b": "x"}),
        record(READING, 3, b'{"device_id": "d", "temperature": 1, "note": "\\ud800"}'),
        reading(4, temperature=150),
        reading(5, temperature=25),
    )
    assert [one.entry.offset for one in writing.refused] == [1, 2, 3, 4]
    assert "8-byte ints" in why[0]
    assert "failed validation" in why[3]
    assert await ids(database) == ["readings-0-0", "readings-0-5"]
    assert await writing.progress([READING]) == {"readings": 6}


async def test_a_writer_whose_partition_stands_elsewhere_is_displaced(writing, database):
    await writing.write(reading(0, temperature=20))
    with pytest.raises(Displaced, match="stands at 1, and not at None"):
        await Writing(writing.sink).write(reading(5, temperature=20))
    await database.progress.delete_many({})
    with pytest.raises(Displaced, match="stands at None, and not at 1"):
        await writing.write(reading(1, temperature=20))


@pytest.mark.parametrize(("lost", "kept"), [("insert", 0), ("update", 50)])
async def test_a_connection_that_is_lost_in_the_middle_of_a_batch_costs_nothing(
    writing, database, lost, kept
):
    batch = writing.batch(*(reading(n, temperature=n) for n in range(50)))
    closing = {"failCommands": [lost], "closeConnection": True}
    admin = database.client.admin
    await admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=closing)
    try:
        with pytest.raises(SinkUnavailable, match=r"closed|reset"):
            await writing.put(batch)
    finally:
        await admin.command("configureFailPoint", "failCommand", mode="off")
    assert len(await ids(database)) == kept
    assert await writing.progress([READING]) == {}
    await writing.put(batch)
    assert len(await ids(database)) == 50


async def test_readings_go_after_their_days_by_an_index_that_follows_the_setting(
    writing, database, mongo_server
):
    for days, seconds in [(3, 3 * 86_400), (9, 9 * 86_400), (0, 2**31 - 1)]:
        sink = Mongo(Settings(mongo_url=mongo_server.url, mongo_days=days))
        await sink.migrate()
        indexes = await database.readings.index_information()
        assert indexes["keep"]["expireAfterSeconds"] == seconds
        await sink.close()


async def test_a_database_that_isnt_migrated_says_what_to_run(database, mongo_server):
    sink = Mongo(Settings(mongo_url=mongo_server.url))
    with pytest.raises(SinkUnavailable, match="archive migrate"):
        await sink.progress(CLUSTER, [("readings", 0)])
    await database["schema"].insert_one({"_id": "version", "version": 99})
    with pytest.raises(SinkUnavailable, match="newer smart-iot"):
        await sink.progress(CLUSTER, [("readings", 0)])
    await sink.close()


async def test_a_mongodb_that_is_away_is_tried_again_later(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.sinks.mongo.TIMEOUT_MS", 1_000)
    sink = Mongo(Settings(mongo_url=Server(tmp_path).url))
    with pytest.raises(SinkUnavailable):
        await Writing(sink).write(reading(0, temperature=20))
    await sink.close()


async def test_a_url_without_a_database_means_ours_and_no_url_of_mongodb_is_refused():
    sink = Mongo(Settings(mongo_url="mongodb://127.0.0.1:1"))
    assert sink._readings.database.name == DATABASE
    await sink.close()
    with pytest.raises(ValueError, match="mongodb://"):
        Mongo(Settings(mongo_url="redis://127.0.0.1:1"))

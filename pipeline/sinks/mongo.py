"""Readings in; in MongoDB every one of them as it came, with where it came from and when.

    {"_id": "readings-3-1041", "device_id": "attic", "at": <record time>, "stored_at": <now>,
     "reading": {"device_id": "attic", "temperature": 36.2, "timestamp": …}, "key": <the record's>}

`_id` is the place in Kafka, never device and time: recorded nodes repeat those with other values.
So a reading that comes again is there already. Where another one stands under that name (the topic
was made anew), the record time is added to it.

Documents are encoded one by one: one that BSON can't hold (whole numbers beyond 64 bits) is refused
alone. A document goes `mongo_days` after it was stored, by an index of MongoDB's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from pipeline.settings import Settings
from pipeline.sinks.sink import (
    LONGEST_WHY,
    READING,
    Batch,
    Entry,
    Refuse,
    Refused,
    SinkUnavailable,
    Source,
    Span,
    name_of,
    named,
    stands,
)

TIMEOUT_MS: Final = 20_000  # for one answer
DAY: Final = 86_400
DATABASE: Final = "smart_iot"  # where the URL names none

DUPLICATE: Final = 11_000
# What a document is refused for: a validator, its size or depth, a name that can't be.
REFUSED: Final = frozenset({2, 15, 52, 55, 57, 121, 10_334, 17_280, 17_419, 17_420})
NEVER: Final = 2**31 - 1  # seconds; TTL can't be taken out of an index, but put off
KEEP: Final = "keep"
VERSION: Final = 1

Document = dict[str, Any]


class Mongo:
    takes = (READING,)

    def __init__(self, settings: Settings) -> None:
        """ValueError where the URL is none of MongoDB's."""
        self._keep = settings.mongo_days * DAY or NEVER
        try:
            self._client: AsyncMongoClient[Any] = AsyncMongoClient(
                settings.mongo_url,
                serverSelectionTimeoutMS=TIMEOUT_MS // 4,
                connectTimeoutMS=TIMEOUT_MS // 4,
                socketTimeoutMS=TIMEOUT_MS,
                tz_aware=True,
                appname="smart-iot",
            )
        except PyMongoError as error:
            raise ValueError(str(error)) from None
        database = self._client.get_default_database(DATABASE)
        self._database = database
        self._readings = database["readings"]
        self._progress = database["progress"]

    async def migrate(self) -> str:
        with _told():
            await self._readings.create_index([("device_id", 1), ("at", -1)], name="by_device")
            await self._keep_for(self._keep)
            await self._database["schema"].update_one(
                {"_id": "version"}, {"$set": {"version": VERSION}}, upsert=True
            )
        return f"MongoDB has version {VERSION} of the indexes"

    async def _keep_for(self, seconds: int) -> None:
        known = await self._readings.index_information()
        if KEEP not in known:
            await self._readings.create_index("stored_at", name=KEEP, expireAfterSeconds=seconds)
        elif known[KEEP].get("expireAfterSeconds") != seconds:
            index = {"name": KEEP, "expireAfterSeconds": seconds}
            await self._database.command("collMod", self._readings.name, index=index)

    async def progress(self, cluster: str, sources: Collection[Source]) -> Mapping[Source, int]:
        names = {name_of(cluster, source): source for source in sources}
        with _told():
            schema = await self._database["schema"].find_one({"_id": "version"})
            if schema is None:
                raise SinkUnavailable("its indexes are missing: run `smart-iot archive migrate`")
            if schema["version"] > VERSION:
                raise SinkUnavailable(f"a newer smart-iot made it ({schema['version']})")
            stored = await self._stored(names)
        return {names[name]: offset for name, offset in stored.items()}

    async def write(self, cluster: str, batch: Batch, refuse: Refuse, at: float) -> None:
        spans = named(cluster, batch.spans)
        with _told():
            if stands(spans, await self._stored(spans)):
                return
            refused = batch.refused + await self._insert(batch.entries, at)
        if refused:
            await refuse(refused)
        with _told():
            await self._advance(spans)

    async def current(self, cluster: str, stands: Mapping[Source, int]) -> None:
        pass  # nobody asks

    async def tidy(self, at: float) -> int:
        return 0  # MongoDB does it by itself

    async def close(self) -> None:
        await self._client.close()

    async def _stored(self, names: Collection[str]) -> dict[str, int]:
        found = self._progress.find({"_id": {"$in": list(names)}})
        return {one["_id"]: one["next"] async for one in found}

    async def _advance(self, spans: Mapping[str, Span]) -> None:
        """After the readings: what is written again in between is there already."""
        changes = [
            UpdateOne({"_id": name}, {"$set": {"next": span.end}}, upsert=True)
            for name, span in spans.items()
        ]
        await self._progress.bulk_write(changes, ordered=False)

    async def _insert(self, entries: Sequence[Entry], at: float) -> list[Refused]:
        """All but those that MongoDB refuses."""
        documents: list[tuple[Entry, RawBSONDocument]] = []
        refused: list[Refused] = []
        for entry in entries:
            try:
                raw = bson.encode(document_of(entry, at))
            except (BSONError, OverflowError, ValueError) as error:
                refused.append(Refused(entry, f"BSON can't hold it: {error}"[:LONGEST_WHY]))
            else:
                documents.append((entry, RawBSONDocument(raw)))
        again, more = await self._put(documents)
        others = [entry for entry in again if entry.content is not None]
        if others:
            others = await self._are_others(others)
        if others:
            renamed = [(one, _renamed(one, at)) for one in others]
            more += (await self._put(renamed))[1]
        return refused + more

    async def _put(
        self, documents: Sequence[tuple[Entry, RawBSONDocument]]
    ) -> tuple[list[Entry], list[Refused]]:
        """Those whose names are taken, and those that are refused."""
        if not documents:
            return [], []
        try:
            await self._readings.insert_many([raw for _, raw in documents], ordered=False)
        except BulkWriteError as error:
            return _sorted_out(documents, error)
        return [], []

    async def _are_others(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that aren't what is stored under their names."""
        names = {_id(entry): entry for entry in entries}
        found = self._readings.find({"_id": {"$in": list(names)}}, {"at": 1})
        stored = {one["_id"]: one["at"] async for one in found}
        return [
            entry
            for name, entry in names.items()
            if name in stored and stored[name] != _moment(entry.timestamp / 1000)
        ]


def document_of(entry: Entry, at: float) -> Document:
    key = entry.key
    return {
        "_id": _id(entry),
        "device_id": entry.content.reading.device_id,
        "at": _moment(entry.timestamp / 1000),
        "stored_at": _moment(at),
        "reading": entry.content.fields,
        "key": None if key is None else key.decode(errors="replace"),
    }


def _id(entry: Entry) -> str:
    return f"{entry.topic}-{entry.partition}-{entry.offset}"


def _renamed(entry: Entry, at: float) -> RawBSONDocument:
    document = document_of(entry, at)
    return RawBSONDocument(bson.encode({**document, "_id": f"{_id(entry)}-{entry.timestamp}"}))


def _moment(at: float) -> datetime:
    """As MongoDB keeps it: to the millisecond."""
    return datetime.fromtimestamp(round(at * 1000) // 1000, UTC).replace(
        microsecond=round(at * 1000) % 1000 * 1000
    )


def _sorted_out(
    documents: Sequence[tuple[Entry, RawBSONDocument]], error: BulkWriteError
) -> tuple[list[Entry], list[Refused]]:
    if error.details["writeConcernErrors"]:
        raise SinkUnavailable(str(error.details["writeConcernErrors"][0].get("errmsg")))
    again: list[Entry] = []
    refused: list[Refused] = []
    for one in error.details["writeErrors"]:
        entry = documents[one["index"]][0]
        if one["code"] == DUPLICATE:
            again.append(entry)
        elif one["code"] in REFUSED:
            info = one.get("errInfo") or ""
            refused.append(Refused(entry, f"{one['errmsg']} {info}".strip()[:LONGEST_WHY]))
        else:
            raise SinkUnavailable(f"{one['errmsg']} (code {one['code']})")
    return again, refused


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        raise SinkUnavailable(f"{error} (code {error.code})"[:LONGEST_WHY]) from None
    except (PyMongoError, OSError) as error:
        raise SinkUnavailable(str(error)[:LONGEST_WHY] or type(error).__name__) from None

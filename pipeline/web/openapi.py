"""What the views take and answer in, the OpenAPI document out (`/api/openapi.json`).

The shapes are those of the structs that the views encode and decode; what is said of them in words,
and which answers there are, stands here, a line each. That neither has more paths, parameters or
answers than the other is what the tests see to.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec
from aiohttp import web

from pipeline.about import VERSION
from pipeline.access import RIGHTS
from pipeline.commands import AckBody, SilenceBody
from pipeline.schemas import DEVICE_ID, METRIC_NAME, text
from pipeline.shapes import AlertEvent
from pipeline.web.alerts import LONGEST_GLOB, SEVERITIES
from pipeline.web.changes import ShownSilence
from pipeline.web.episodes import AT_MOST, BY_DEFAULT, STATUSES
from pipeline.web.fleet import Card
from pipeline.web.gate import OPEN, STATIC
from pipeline.web.history import AlertPage, AlertStory
from pipeline.web.requests import HEADER
from pipeline.web.stats import LONGEST_ID, RANGES, Stats

Schema = dict[str, Any]
REFS: Final = "#/components/schemas/{name}"
ABOUT: Final = """\
Readings go in on Kafka; which device is too hot, too humid, out of battery, broken or silent comes
out. `/api/asyncapi.json` describes the streams (`/ws/…`) and the topics.

A last slash can be left out. Times are ISO 8601, UTC, with milliseconds. What isn't known yet, as
long as something is being read, is answered with 503 and the reason."""


def ref(name: str) -> Schema:
    return {"$ref": REFS.format(name=name)}


def many(name: str) -> Schema:
    return {"type": "array", "items": ref(name)}


# -- parameters


def query(name: str, words: str, schema: Schema, *, required: bool = False) -> Schema:
    more = {"required": True} if required else {}
    return {"name": name, "in": "query", "description": words, **more, "schema": schema}


def listed(name: str, words: str, items: Schema) -> Schema:
    """Several, parted by commas."""
    return {**query(name, words, {"type": "array", "items": items}), "explode": False}


def glob(name: str) -> Schema:
    return query(name, f"glob of the {name}", {"type": "string", "maxLength": LONGEST_GLOB})


def moment(name: str, words: str) -> Schema:
    return query(name, f"{words}: ISO 8601, or seconds or milliseconds since 1970", TIME)


def in_path(name: str, words: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "description": words, "required": True, "schema": schema}


TEXT: Final = {"type": "string"}
TIME: Final = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}
NAME: Final = {"type": "string", "minLength": 1, "maxLength": 128}
THE_ALERT: Final = in_path("alert_id", "the alert", {"type": "string", "minLength": 1})
THE_DEVICE: Final = in_path("device_id", "percent-encoded (`hall%2F1`)", DEVICE_ID)


# -- answers

IDENTIFIED: Final = {
    HEADER: {"schema": TEXT, "description": "of the request; the one that it brought, if any"}
}


def answer(words: str, schema: Schema | None = None, kind: str = "application/json") -> Schema:
    content = {} if schema is None else {"content": {kind: {"schema": schema}}}
    return {"description": words, "headers": IDENTIFIED, **content}


def refused(words: str) -> Schema:
    return answer(words, ref("Refusal"))


def told(words: str, name: str) -> Schema:
    return answer(words, ref(name))


def sourced(response: Schema) -> Schema:
    """With a header that says where it is from: a list has no other place for it."""
    source = {"schema": {"enum": ["topic", "redis"]}, "description": "where this is from"}
    return {**response, "headers": {"X-Source": source}}


NOT_YET: Final = {
    **refused("not known yet"),
    "headers": {
        **IDENTIFIED,
        "Retry-After": {"schema": {"type": "integer"}, "description": "seconds"},
    },
}
SLOWER: Final = {**NOT_YET, "description": "too many changes a second"}
NO_TOKEN: Final = {
    **refused("no token that is known here, where tokens are asked for"),
    "headers": {**IDENTIFIED, "WWW-Authenticate": {"schema": TEXT}},
}
NOT_ALLOWED: Final = refused("a page of a foreign origin, or a token that may not do or see this")
MEANT: Final = refused("can't be meant; the text says why")
NO_JSON: Final = refused("not sent as application/json")
TOO_LARGE: Final = refused("a body of more than 8 kB")
ACCEPTED: Final = answer("on its way to the worker", ref("Accepted"))
CHANGING: Final = {"429": SLOWER, "503": NOT_YET}


def operation(
    summary: str, answers: Schema, *parameters: Schema, body: str | None = None
) -> Schema:
    made: Schema = {"summary": summary}
    if parameters:
        made["parameters"] = list(parameters)
    if body is not None:
        content = {"application/json": {"schema": ref(body)}}
        made["requestBody"] = {"required": True, "content": content}
    return {**made, "responses": answers}


def page(kind: str, summary: str, *parameters: Schema, **refusals: Schema) -> Schema:
    files = {"200": answer("", {"type": "string"}, kind), **refusals}
    return {"get": operation(summary, files, *parameters)}


PATHS: Final[dict[str, Schema]] = {
    "/api/alerts/active/": {
        "get": operation(
            "What is wrong now: the last event of each open alert, newest first, however old",
            {"200": sourced(answer("the open alerts", many("AlertEvent"))), "503": NOT_YET},
        )
    },
    "/api/alerts/": {
        "get": operation(
            "What happened: alerts, open or not, the one that began last first",
            {"200": told("a page of them", "AlertPage"), "400": MEANT, "503": NOT_YET},
            glob("device"),
            glob("rule"),
            listed("severity", "which they have had", {"enum": sorted(SEVERITIES)}),
            query("status", "whether they are resolved", {"enum": sorted(STATUSES)}),
            moment("since", "open at some time from then on"),
            moment("until", "open at some time before"),
            query(
                "limit",
                "alerts of a page",
                {"type": "integer", "minimum": 1, "maximum": AT_MOST, "default": BY_DEFAULT},
            ),
            query("cursor", "the `next` of the page before", TEXT),
        )
    },
    "/api/alerts/{alert_id}/": {
        "get": operation(
            "One alert with its events",
            {
                "200": told("the alert", "AlertStory"),
                "404": refused("no such alert is known"),
                "503": NOT_YET,
            },
            THE_ALERT,
        )
    },
    "/api/alerts/{alert_id}/ack": {
        "post": operation(
            "Say that somebody knows of an alert; the same twice changes nothing",
            {
                "202": ACCEPTED,
                "400": MEANT,
                "404": refused("no such alert is known"),
                "409": refused("it is resolved"),
                "413": TOO_LARGE,
                "415": NO_JSON,
                **CHANGING,
            },
            THE_ALERT,
            body="AckBody",
        )
    },
    "/api/silences/": {
        "get": operation(
            "What is kept quiet; what ends first comes first",
            {"200": answer("the silences", many("ShownSilence")), "503": NOT_YET},
        ),
        "post": operation(
            "Keep alerts quiet, by device, rule (globs) or severity, until an end within a year",
            {
                "202": ACCEPTED,
                "400": MEANT,
                "409": refused("there are as many as there may be"),
                "413": TOO_LARGE,
                "415": NO_JSON,
                **CHANGING,
            },
            body="SilenceBody",
        ),
        "delete": operation(
            "End a silence",
            {
                "202": ACCEPTED,
                "400": MEANT,
                "404": refused("no such silence is known"),
                **CHANGING,
            },
            query("id", "its silence_id", {"type": "string", "minLength": 1}, required=True),
            query("by", "who ends it", NAME, required=True),
        ),
    },
    "/api/readings/latest_all/": {
        "get": operation(
            "The newest reading of every device",
            {"200": sourced(answer("the readings", many("LatestReading"))), "503": NOT_YET},
        )
    },
    "/api/readings/latest/{device_id}/": {
        "get": operation(
            "The newest reading of one device",
            {
                "200": sourced(told("the reading", "LatestReading")),
                "400": refused("no device can have such an id"),
                "404": refused("no such device is known"),
                "503": NOT_YET,
            },
            THE_DEVICE,
        )
    },
    "/api/devices/": {
        "get": operation(
            "Every device: its status, when it was seen, what it measures, how wrong its clock is",
            {"200": sourced(answer("the devices", many("Card"))), "503": NOT_YET},
        )
    },
    "/api/me/": {
        "get": operation("Who asks, and what they may see and do", {"200": told("who", "Me")})
    },
    "/api/stats/": {
        "get": operation(
            "What each metric of a device, or of the whole fleet, came to",
            {"200": told("in buckets", "Stats"), "400": MEANT, "503": NOT_YET},
            query("device", "a device's id", {"type": "string", "maxLength": LONGEST_ID}),
            listed("metric", "these alone", TEXT),
            query("range", "up to now; 1h without any", {"enum": [*RANGES]}),
            moment("from", "instead of a range; an hour before `to` without it"),
            moment("to", "instead of a range; now without it"),
        )
    },
    "/api/rules/": {
        "get": operation(
            "The rules that this worker judges by, as a rules file says them: of it what concerns "
            "the devices that may be seen",
            {
                "200": told("the rules", "Rules"),
                "404": refused("this view judges nothing"),
                "503": told("their file can't be read", "Mistakes"),
            },
            query("device", "what they come to for one device", TEXT),
        )
    },
    "/-/reload": {
        "post": operation(
            "Read the rules anew, and tell all workers to do the same with theirs",
            {
                "200": told("done here, and all are told", "Reloaded"),
                "202": told("all are told; this view judges nothing", "Reloaded"),
                "422": told("they are wrong, and nobody is told", "Mistakes"),
                "503": told("Kafka doesn't take the command: no other is told", "Mistakes"),
            },
        )
    },
    "/-/healthy": {
        "get": operation("Whether it is alive", {"200": told("it is", "Healthy")}),
    },
    "/-/ready": {
        "get": operation(
            "Whether state is recovered and the backlog read",
            {"200": told("it is", "Ready"), "503": told("not yet", "Ready")},
        )
    },
    "/metrics": page("text/plain", "Prometheus metrics"),
    "/api/openapi.json": {
        "get": operation("This document", {"200": answer("", {"type": "object"})}),
    },
    "/api/asyncapi.json": {
        "get": operation("The streams and the topics", {"200": answer("", {"type": "object"})}),
    },
    "/": page("text/html", "The page"),
    "/static/{name}": {
        "get": operation(
            "A file of the page",
            {"200": {"description": "", "content": {"*/*": {}}}, "404": refused("no such file")},
            in_path("name", "the file", TEXT),
        )
    },
}


# -- shapes that no struct has


def of(properties: Schema, *required: str, **more: Any) -> Schema:
    return {"type": "object", "required": [*required], "properties": properties, **more}


FLAG: Final = {"type": "boolean"}
SHAPES: Final[dict[str, Schema]] = {
    "Refusal": of({"error": TEXT}, "error"),
    "Mistakes": of(
        {"error": TEXT, "mistakes": {"type": "array", "items": TEXT}, "reloaded": FLAG}, "error"
    ),
    "Accepted": of({"command_id": TEXT, "silence_id": TEXT}, "command_id"),
    "Reloaded": of({"reloaded": FLAG, "command_id": TEXT}, "reloaded", "command_id"),
    "Healthy": of({"healthy": {"const": True}}, "healthy"),
    "Me": of(
        {
            "tokens": {**FLAG, "description": "whether they are asked for"},
            "name": {"type": ["string", "null"]},
            "can": {"type": "array", "items": {"enum": [*RIGHTS]}},
            "devices": {"type": "array", "items": {**TEXT, "description": "a glob"}},
        },
        *("tokens", "name", "can", "devices"),
    ),
    "Ready": of({"ready": FLAG, "reason": TEXT}, "ready"),
    "Rules": of(
        {
            "hash": TEXT,
            "file": {"type": ["string", "null"]},
            "for": {"type": ["string", "null"], "description": "the device"},
            "retire_after": TEXT,
            "rules": {"type": "object", "additionalProperties": {"type": "object"}},
        },
        *("hash", "file", "for", "retire_after", "rules"),
        description="`deploy/rules.toml` explains every field",
    ),
    "LatestReading": of(
        {
            "device_id": DEVICE_ID,
            "timestamp": {"type": "string", "format": "date-time"},
            "status": {"enum": ["online", "late", "offline"]},
        },
        *("device_id", "timestamp", "status"),
        patternProperties={
            METRIC_NAME: {"description": "a metric; where not named here, a number"}
        },
        additionalProperties=False,
    ),
}


def components() -> dict[str, Schema]:
    structs = (AlertEvent, AlertPage, AlertStory, AckBody, SilenceBody, ShownSilence, Card, Stats)
    _, found = msgspec.json.schema_components(structs, ref_template=REFS)
    return {**found, **SHAPES}


def guarded(path: str, methods: Schema) -> Schema:
    """With what the gate asks of whoever comes, and answers who may not pass."""
    if path in OPEN or path.startswith(STATIC):
        return methods
    refusals = {"401": NO_TOKEN, "403": NOT_ALLOWED}
    return {
        method: {
            **operation,
            "security": [{}, {"token": []}],
            "responses": {**operation["responses"], **refusals},
        }
        for method, operation in methods.items()
    }


@functools.cache
def document() -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "smart-iot",
            "version": VERSION,
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": {path: guarded(path, methods) for path, methods in PATHS.items()},
        "components": {
            "schemas": components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


async def served(_: web.Request) -> web.Response:
    return web.json_response(text=text(document()))

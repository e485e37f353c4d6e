"""The streams of the web view and the topics of Kafka in, the AsyncAPI document out
(`/api/asyncapi.json`).

It is told from our side: we `send` what a viewer gets and what we put on a topic, and `receive`
what is put there for us. The shapes are those of the structs that write and read them.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec
from aiohttp import web

from pipeline.about import VERSION
from pipeline.commands import Acknowledge, Quiet, Reload, Unsilence
from pipeline.names import Names
from pipeline.schemas import READING, text
from pipeline.shapes import AlertEvent, ClosedWindow
from pipeline.web.alerts import LONGEST_GLOB
from pipeline.web.door import LARGEST_MESSAGE, TOKEN_WITHIN
from pipeline.web.openapi import REFS, SHAPES, TEXT, of, ref

Schema = dict[str, Any]
TOPICS: Final = Names("")
COMMANDS: Final = (Acknowledge, Quiet, Unsilence, Reload)
CLOSED_WITH: Final = {  # as in docs/api.md
    "1001, 1013": "the server ends; you fell more than `SMART_IOT_VIEWER_QUEUE` messages behind, "
    "or can't be served now: come back with your cursor",
    "1012": "the log was replaced, or `readings` couldn't be read: come back without a cursor",
    "1002, 1007, 1009": "what you said is no WebSocket's, is no UTF-8, is more than 4 kB",
    "4401, 4403": "no token that is known here; one that doesn't reach so far",
}
CLOSING: Final = f"""\
Where tokens are asked for, a viewer sends one with its request (`Authorization: Bearer …`), or as
its first message within {TOKEN_WITHIN:.0f} s. What else it says is not heard; a message has no more
than {LARGEST_MESSAGE:,} bytes.

It is closed with

{"".join(f"- {codes}: {why}{chr(10)}" for codes, why in CLOSED_WITH.items())}
Before it is opened, what can't be had is answered in HTTP: 400 (it is no WebSocket, or what it asks
for can't be meant), 403 (a page of a foreign origin), 429 (too many from one address), 503 (not
known yet, no room)."""
GLOB: Final = {"type": "string", "maxLength": LONGEST_GLOB}
ALERTS_QUERY: Final = of(
    {
        "device": {**GLOB, "description": "glob of the device"},
        "rule": {**GLOB, "description": "glob of the rule"},
        "severity": {**TEXT, "description": "info, warning, danger: those that are named"},
        "suppressed": {"enum": ["1"], "description": "what is silenced too"},
        "cursor": {**TEXT, "description": "the last one that was seen"},
    }
)
SHOWN: Final[dict[str, Schema]] = {
    "Connection": of(
        {
            "type": {"const": "connection"},
            "message": {**TEXT, "description": "of the first one"},
            "event": {"const": "ping", "description": "of those that only say: alive"},
            "stale": {"const": True, "description": "but we hear nothing of Kafka"},
            "cursor": {"type": ["string", "null"]},
            "backlog": {"type": "integer", "description": "how many open alerts follow"},
            "recovered": {
                "type": ["boolean", "null"],
                "description": "whether what was missed follows; null for who is new",
            },
            "timestamp": {"type": "string", "format": "date-time"},
        },
        *("type", "cursor", "timestamp"),
    ),
    "Token": of({"type": {"const": "auth"}, "token": TEXT}, "type", "token"),
    "ShownAlert": {
        "allOf": [
            ref("AlertEvent"),
            of(
                {
                    "cursor": {**TEXT, "description": "of a live one: where to come back to"},
                    "backlog": {"const": True, "description": "of one that was open before"},
                }
            ),
        ]
    },
    "ShownReading": {
        **SHAPES["LatestReading"],
        "properties": {**SHAPES["LatestReading"]["properties"], "type": {"const": "reading"}},
        "required": [*SHAPES["LatestReading"]["required"], "type"],
    },
}


def message(name: str, words: str, payload: Schema, **more: Any) -> Schema:
    return {"name": name, "summary": words, "payload": payload, **more}


def record(name: str, words: str, payload: Schema, key: str) -> Schema:
    binding = {"kafka": {"key": {**TEXT, "description": key}, "bindingVersion": "0.5.0"}}
    return message(name, words, payload, bindings=binding)


def headers(*names: str) -> Schema:
    return {"headers": of(dict.fromkeys(names, TEXT))}


BY_DEVICE: Final = "the device's id"
MESSAGES: Final[dict[str, Schema]] = {
    "connection": message("connection", "Of the connection itself", ref("Connection")),
    "token": message("token", "Who comes, where tokens are asked for", ref("Token")),
    "alert": message("alert", "An event of an alert", ref("ShownAlert")),
    "shownReading": message("shownReading", "The newest reading", ref("ShownReading")),
    "reading": record("reading", "A reading", ref("Reading"), "anything; the device's id is best"),
    "alertEvent": record("alertEvent", "An event of an alert", ref("AlertEvent"), BY_DEVICE),
    "openAlert": {
        **record(
            "openAlert",
            "The last event of an open alert; without a value once it is resolved",
            {"oneOf": [ref("AlertEvent"), {"type": "null"}]},
            "device|rule",
        ),
        **headers("alert_id", "seq", "generation"),
    },
    "rejected": {
        **record("rejected", "What is no reading, as it came", {}, "as it came"),
        **headers("reason", "topic", "partition", "offset", "truncated"),
        "contentType": "application/octet-stream",
    },
    "command": record(
        "command",
        "Something to change",
        {"oneOf": [ref(struct.__name__) for struct in COMMANDS]},
        "the device's id, or * in every partition",
    ),
    "window": record("window", "A closed window", ref("ClosedWindow"), BY_DEVICE),
}


def stream(address: str, words: str, *messages: str, **more: Any) -> Schema:
    return {**_channel(address, words, "web", messages), "description": CLOSING, **more}


def topic(address: str, words: str, *messages: str) -> Schema:
    return _channel(address, words, "kafka", messages)


def _channel(address: str, words: str, server: str, messages: tuple[str, ...]) -> Schema:
    return {
        "address": address,
        "summary": words,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


CHANNELS: Final[dict[str, Schema]] = {
    "alerts": stream(
        "/ws/alerts/",
        "What is open or was missed, then what happens",
        *("token", "connection", "alert"),
        bindings={"ws": {"method": "GET", "query": ALERTS_QUERY, "bindingVersion": "0.1.0"}},
    ),
    "everySensor": stream(
        "/ws/sensors/",
        "The newest reading of each device, some hundred a second at most",
        *("token", "connection", "shownReading"),
    ),
    "sensor": stream(
        "/ws/sensors/{device_id}/",
        "Every reading of one device",
        *("token", "connection", "shownReading"),
        parameters={"device_id": {"description": "percent-encoded (`hall%2F1`)"}},
    ),
    "readings": topic(TOPICS.readings, "What devices measured", "reading"),
    "alertLog": topic(TOPICS.alerts, "What happened", "alertEvent"),
    "openAlerts": topic(TOPICS.alerts_open, "What is wrong now; compacted", "openAlert"),
    "rejected": topic(TOPICS.rejected, "What could not be used", "rejected"),
    "commands": topic(TOPICS.commands, "What people ask for", "command"),
    "windows": topic(TOPICS.windows, "What readings came to; the highest revision holds", "window"),
}
RECEIVED: Final = ("readings", "commands")


def operations() -> dict[str, Schema]:
    made = {}
    for name, channel in CHANNELS.items():
        others = [one for one in channel["messages"] if one != "token"]
        made[name] = _operation(name, "receive" if name in RECEIVED else "send", others)
        if "token" in channel["messages"]:
            made[f"{name}Token"] = _operation(name, "receive", ["token"])
    return made


def _operation(name: str, action: str, messages: list[str]) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": CHANNELS[name]["summary"],
        "messages": [{"$ref": f"#/channels/{name}/messages/{one}"} for one in messages],
    }


@functools.cache
def document() -> Schema:
    structs = (AlertEvent, ClosedWindow, *COMMANDS)
    _, found = msgspec.json.schema_components(structs, ref_template=REFS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "smart-iot",
            "version": VERSION,
            "description": "Readings in, alerts out. `/api/openapi.json` describes the rest.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "web": {"host": "localhost:8000", "protocol": "ws"},
            "kafka": {"host": "localhost:9092", "protocol": "kafka"},
        },
        "channels": CHANNELS,
        "operations": operations(),
        "components": {
            "schemas": {**found, "Reading": READING, **SHOWN},
            "messages": MESSAGES,
        },
    }


async def served(_: web.Request) -> web.Response:
    return web.json_response(text=text(document()))

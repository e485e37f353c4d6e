"""The AsyncAPI document: in the form that its standard asks for, and of what is really there.

`asyncapi-3.0.0.schema.json.gz` is the standard's own JSON Schema (Apache License 2.0), as it is in
the npm package @asyncapi/specs.
"""

from __future__ import annotations

import copy
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import best_match

from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.web.alerts import Wanted
from pipeline.web.asyncapi import document
from tests.pipeline.web.alert_log import AlertLog, event
from tests.pipeline.web.conftest import running
from tests.pipeline.web.test_openapi import NOWHERE

DOCUMENT: dict[str, Any] = document()
STANDARD = json.loads(
    gzip.decompress(Path(__file__).with_name("asyncapi-3.0.0.schema.json.gz").read_bytes())
)
INTERNAL = {"smart-iot-checks", "smart-iot-forwarded", "smart-iot-devices-changelog"}


def fault(of: dict[str, Any]) -> Any:
    return best_match(Draft7Validator(STANDARD).iter_errors(json.loads(json.dumps(of))))


def test_the_document_has_the_form_that_its_standard_asks_for() -> None:
    assert fault(DOCUMENT) is None


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("asyncapi",), "2.0.0"),
        (("operations", "alerts", "action"), "shout"),
        (("channels", "alerts", "bindings", "ws", "method"), "PUT"),
        (("components", "messages", "window", "payload"), 5),
        (("components", "schemas", "Reading", "type"), "thing"),
    ],
)
def test_the_standard_finds_what_is_wrong(path: tuple[str, ...], wrong: Any) -> None:
    broken = copy.deepcopy(DOCUMENT)
    *above, last = path
    inner = broken
    for name in above:
        inner = inner[name]
    assert last in inner
    inner[last] = wrong
    assert fault(broken) is not None


def test_every_reference_leads_somewhere() -> None:
    for found in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT))):
        inner = DOCUMENT
        for name in found.split("/"):
            inner = inner[name]


def addresses(server: str) -> set[str]:
    return {
        channel["address"]
        for channel in DOCUMENT["channels"].values()
        if channel["servers"] == [{"$ref": f"#/servers/{server}"}]
    }


async def test_every_stream_of_the_view_is_in_it_and_no_other_is() -> None:
    async with running(NOWHERE) as site:
        paths = {
            re.sub(r"\{device.*", "{device_id}", resource.canonical).rstrip("/") + "/"
            for resource in site.view._runner.app.router.resources()
        }
    assert {path for path in paths if path.startswith("/ws/")} == addresses("web")


def test_every_topic_that_is_for_others_is_in_it_and_no_other_is() -> None:
    assert {*Names("").policies()} - INTERNAL == addresses("kafka")


def test_every_parameter_of_the_alerts_stream_is_looked_at_and_no_other_is() -> None:
    looked_at: set[str] = set()

    class Query(dict[str, str]):
        def get(self, name: str, otherwise: Any = None) -> Any:
            looked_at.add(name)
            return otherwise

    Wanted.of(Query())
    told = DOCUMENT["channels"]["alerts"]["bindings"]["ws"]["query"]["properties"]
    assert {*told} == looked_at | {"cursor"}


def validator(name: str) -> Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return Draft202012Validator(schema)


async def test_what_a_viewer_is_told_has_the_shape_that_it_says(
    log: AlertLog, settings: Settings
) -> None:
    await log.tell(event("hot"))
    async with running(settings, ping_every=0.5) as site:
        await site.until_open("hot")
        async with site.viewer() as viewer:
            validator("Connection").validate(viewer.welcome)
            backlog = await viewer.next()
            await log.tell(event("cold", device_id="cellar"))
            while (live := await viewer.next())["type"] == "connection":
                validator("Connection").validate(live)
            for shown in (backlog, live):
                validator("ShownAlert").validate(shown)
            assert ("backlog" in backlog, "cursor" in live) == (True, True)
            while (ping := await viewer.said())["type"] != "connection":
                pass
            validator("Connection").validate(ping)

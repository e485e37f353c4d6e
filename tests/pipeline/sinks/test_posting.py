"""What an HTTP server's answer means: taken, later, or never; and that no secret is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import UTC
from pathlib import Path

import pytest

from pipeline.kafka.broker import free_port
from pipeline.settings import Settings
from pipeline.sinks import posting as module
from pipeline.sinks.entries import entries_of
from pipeline.sinks.posting import Busy, Server, retry_after
from pipeline.sinks.sink import EVENT, Entry, SinkRejected, SinkUnavailable
from pipeline.sinks.webhook import Hook, signed
from tests.pipeline.sinks.shell import event_of, record
from tests.receiver import CUT, HANG, receiving

GUIDE = (Path(__file__).parents[3] / "docs/operation.md").read_text()
AT = 1_764_000_000


def entry() -> Entry:
    ((one,), _) = entries_of(EVENT, [record(EVENT, 0, event_of(seq=3))], UTC)  # type: ignore[list-item]
    return one


async def posted(address: str) -> None:
    server = Server(address)
    try:
        await server.post(b"{}")
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("status", "raised", "said"),
    [
        (201, None, ""),
        (204, None, ""),
        (301, SinkRejected, r"answers 301 \(Moved Permanently\), and is not followed"),
        (307, SinkRejected, "is not followed"),
        (400, SinkRejected, r"answers 400 \(Bad Request\)"),
        (401, SinkRejected, "answers 401"),
        (404, SinkRejected, "answers 404"),
        (410, SinkRejected, "answers 410"),
        (408, SinkUnavailable, "answers 408"),
        (429, SinkUnavailable, "answers 429"),
        (500, SinkUnavailable, "answers 500"),
        (503, SinkUnavailable, "answers 503"),
        (599, SinkUnavailable, "answers 599$"),
        (CUT, SinkUnavailable, "ServerDisconnectedError"),
        (HANG, SinkUnavailable, "no answer in time"),
    ],
)
async def test_an_answer_is_a_decision(monkeypatch, status, raised, said):
    if status == HANG:
        monkeypatch.setattr(module, "TIMEOUT", 0.1)
    async with receiving() as receiver:
        receiver.always = status
        receiver.headers = {"Location": f"{receiver.address}/elsewhere"}
        if raised is None:
            await posted(receiver.address)
        else:
            with pytest.raises(raised, match=said):
                await posted(receiver.address)
        assert len(receiver.posted) == 1


async def test_a_server_that_isnt_there_may_be_later():
    with pytest.raises(SinkUnavailable, match=r"127\.0\.0\.1:\d+: .*"):
        await posted(f"http://127.0.0.1:{free_port()}")


async def test_a_server_says_until_when_nothing_should_come():
    async with receiving() as receiver:
        receiver.always, receiver.headers = 503, {"Retry-After": "7"}
        with pytest.raises(Busy) as raised:
            await posted(receiver.address)
        assert raised.value.pause == 7


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 400, 1e9),
        ("Mon, 24 Nov 2025 16:00:30 GMT", 30),
        ("Mon, 24 Nov 2025 15:59:00 GMT", 0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("Mon, 99 Nov 2025 16:00:30 GMT", None),
    ],
)
def test_retry_after_has_seconds_or_a_date(text, seconds):
    assert retry_after(text, AT) == seconds


async def test_what_stands_in_an_address_is_used_and_never_said():
    async with receiving() as receiver:
        secret = receiver.address.replace("http://", "http://me:s3cret@") + "/in/t0ken?key=k3y"
        await posted(secret)
        (one,) = receiver.posted
        assert one.path == "/in/t0ken?key=k3y"
        assert one.headers["Authorization"] == f"Basic {base64.b64encode(b'me:s3cret').decode()}"
        for status in (400, 500, CUT):
            receiver.always = status
            with pytest.raises((SinkRejected, SinkUnavailable)) as raised:
                await posted(secret)
            assert not re.search("s3cret|t0ken|k3y", f"{raised.value!r} {raised.value.__cause__}")


async def test_an_event_is_posted_as_it_stands_on_the_topic_and_signed():
    async with receiving() as receiver:
        settings = Settings(webhook_url=f"{receiver.address}/hook", webhook_secret="s3cret")  # noqa: S106
        hook = Hook(settings)
        await hook.post(entry(), AT + 0.4)
        await hook.close()
        (one,) = receiver.posted
    assert one.body == entry().value
    assert one.headers["Content-Type"] == "application/json"
    assert one.key == f"{event_of()['alert_id']}/3"
    assert one.headers["X-Smart-IoT-Timestamp"] == str(AT)
    expected = hmac.new(b"s3cret", b"%d." % AT + one.body, hashlib.sha256).hexdigest()
    assert one.headers["X-Smart-IoT-Signature"] == f"sha256={expected}"


async def test_a_key_that_a_header_cant_hold_is_written_otherwise():
    async with receiving() as receiver:
        hook = Hook(Settings(webhook_url=receiver.address))
        content = entry().content
        content.alert_id = "a\r\nb: ü"
        await hook.post(entry()._replace(content=content), AT)
        await hook.close()
        (one,) = receiver.posted
    assert one.key == "a%0D%0Ab%3A%20%C3%BC/3"
    assert "X-Smart-IoT-Signature" not in one.headers


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"body": b'{"type":"info"}'}, False),
        ({"secret": b"another"}, False),
        ({"now": AT + 301}, False),  # overheard, and sent again
        ({"timestamp": str(AT + 1)}, False),
    ],
)
def test_the_documented_verification_takes_what_is_ours_and_nothing_else(change, holds):
    (shown,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
        if "X-Smart-IoT-Signature" in block
    ]
    space: dict[str, object] = {}
    exec(shown, space)  # noqa: S102
    headers = signed(b"s3cret", b'{"type":"danger"}', AT)
    if "timestamp" in change:
        headers["X-Smart-IoT-Timestamp"] = change["timestamp"]
    is_ours = space["is_ours"](  # type: ignore[operator]
        change.get("secret", b"s3cret"),
        headers,
        change.get("body", b'{"type":"danger"}'),
        change.get("now", AT + 2),
    )
    assert is_ours is holds

"""Alert events in; each posted as it stands on the topic, signed, to one address.

    POST /path
    Content-Type: application/json
    Idempotency-Key: <alert_id>/<seq>
    X-Smart-IoT-Timestamp: 1764000000
    X-Smart-IoT-Signature: sha256=<hex of HMAC-SHA256(secret, "1764000000." + body)>

The timestamp is that of the attempt, in seconds: a receiver refuses one that is old, so that nobody
who has overheard a post can send it again later. What comes twice has the same key.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote

from pipeline.settings import Settings
from pipeline.sinks.posting import Server
from pipeline.sinks.sink import Entry


class Hook:
    def __init__(self, settings: Settings) -> None:
        self._server = Server(settings.webhook_url)
        self._secret = settings.webhook_secret.encode()

    async def post(self, entry: Entry, at: float) -> None:
        """SinkUnavailable, Busy if it says until when; SinkRejected."""
        event, body = entry.content, entry.value or b""
        headers = {"Idempotency-Key": f"{quote(event.alert_id)}/{event.seq}"}
        await self._server.post(body, headers=headers | signed(self._secret, body, round(at)))

    async def close(self) -> None:
        await self._server.close()


def signed(secret: bytes, body: bytes, at: int) -> dict[str, str]:
    """The headers that say when it was sent, and, where there is a secret, by whom."""
    headers = {"X-Smart-IoT-Timestamp": str(at)}
    if secret:
        signature = hmac.new(secret, b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
        headers["X-Smart-IoT-Signature"] = f"sha256={signature}"
    return headers

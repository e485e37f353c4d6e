"""The user's own design, in one file: a Django project for Daphne with Channels, and the polling.

The consumer, its routing and the middleware are those of their document (`AlertConsumer`; the
docstrings are left out). The endpoint that pages poll reads Redis and returns JSON, as they say;
it is an async view without middleware, which is the quickest that Django has. `BENCH_LAYER` names
the channel layer: `core` is the document's, `pubsub` the one that channels-redis also offers.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Any

import django
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from redis.asyncio import BlockingConnectionPool, Redis

REDIS = ("127.0.0.1", int(os.environ["BENCH_REDIS"]))
LAYERS = {
    "core": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [REDIS]},
    },
    "pubsub": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [f"redis://{REDIS[0]}:{REDIS[1]}"]},
    },
}

settings.configure(
    DEBUG=False,
    SECRET_KEY="of a benchmark",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "daphne",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "channels",
    ],
    MIDDLEWARE=[],
    CHANNEL_LAYERS={"default": LAYERS[os.environ.get("BENCH_LAYER", "core")]},
    LOGGING_CONFIG=None,
)
django.setup()


class AlertConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        self.room_group_name = "alerts"
        await self.channel_layer.group_add(self.room_group_name, self.channel_name)
        await self.accept()
        await self.send(
            text_data=json.dumps(
                {
                    "type": "connection",
                    "message": "Connected to alerts stream",
                    "timestamp": datetime.now().isoformat(),  # noqa: DTZ005
                }
            )
        )

    async def disconnect(self, close_code: int) -> None:
        await self.channel_layer.group_discard(self.room_group_name, self.channel_name)

    async def alert_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(event["message"]))


# who finds no connection free waits for one: the plain pool answers 500 from the 101st on
redis = Redis.from_pool(
    BlockingConnectionPool(host=REDIS[0], port=REDIS[1], max_connections=50, timeout=None)
)


async def latest_all(request: HttpRequest) -> HttpResponse:
    body = b"[" + b",".join(await redis.hvals("latest")) + b"]"
    return HttpResponse(
        body, content_type="application/json", headers={"Content-Length": str(len(body))}
    )


urlpatterns = [path("api/readings/latest_all/", latest_all)]
application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AuthMiddlewareStack(
            URLRouter([re_path(r"ws/alerts/$", AlertConsumer.as_asgi())])
        ),
    }
)

"""Our web view by itself, in a process of its own, where there is no `smart-iot web` yet."""

from __future__ import annotations

import asyncio
import signal

from pipeline.settings import from_environment
from pipeline.web.server import WebView


async def main() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    view = WebView(from_environment())
    await view.start()
    await ended.wait()
    await view.stop()


if __name__ == "__main__":
    asyncio.run(main())

"""Ports in; out exit code 0 if what listens on each is alive, with --ready if it is ready too.

The health check of a container, which has no curl: `healthy.py --ready 8001 8002`; without a port,
that of the web view.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys

HOST = "127.0.0.1"
TIMEOUT = 4.0  # seconds
WEB_PORT = int(os.environ.get("SMART_IOT_WEB_PORT", "8000"))


def connection(port: int) -> http.client.HTTPConnection:
    if port != WEB_PORT or not os.environ.get("SMART_IOT_WEB_CERTFILE"):
        return http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
    context = ssl.create_default_context()
    context.check_hostname = False  # it is ours, in this container: whoever signed its certificate
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(HOST, port, timeout=TIMEOUT, context=context)


def problem(port: int, path: str) -> str | None:
    try:
        asked = connection(port)
        asked.request("GET", path)
        answer = asked.getresponse()
        told = answer.read(10_000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{port}: {error}"
    return None if answer.status == 200 else f"{port}: {answer.status} {told}"


if __name__ == "__main__":
    path = "/-/ready" if "--ready" in sys.argv else "/-/healthy"
    ports = [int(argument) for argument in sys.argv[1:] if argument != "--ready"] or [WEB_PORT]
    sys.exit("\n".join(filter(None, (problem(port, path) for port in ports))) or None)

"""Bytes that a server sent in; whole WebSocket frames, and what is still to be completed, out."""

from __future__ import annotations

TEXT, CLOSE, PING = 1, 8, 9

Frame = tuple[int, bytes]  # opcode and payload; a server's frames aren't masked


def split(data: bytes) -> tuple[list[Frame], bytes]:
    found: list[Frame] = []
    at, size = 0, len(data)
    while size - at >= 2:
        head, length = at + 2, data[at + 1]
        if length >= 126:
            head = at + (4 if length == 126 else 10)
            if size < head:
                break
            length = int.from_bytes(data[at + 2 : head])
        end = head + length
        if end > size:
            break
        found.append((data[at] & 15, data[head:end]))
        at = end
    return found, data[at:]


def pong(payload: bytes) -> bytes:
    """A client's frames are masked: here with zeros. A ping has 125 bytes at the most."""
    return bytes((0x8A, 0x80 | len(payload), 0, 0, 0, 0)) + payload


def upgrade(host: str, path: str) -> bytes:
    """No extension is offered, so nothing comes compressed."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()

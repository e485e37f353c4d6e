"""A name in; one of the page's few files out: compressed for whom it may be, 304 for who has it.

aiohttp's own answer of a file can't do both: compressed, its 304 has a body. A browser asks each
time whether it has the newest, so there is no need of names with a hash in them.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

STATIC = Path(__file__).parent / "static"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class File(NamedTuple):
    kind: str
    plain: bytes
    packed: bytes
    tag: str


async def static(request: web.Request) -> web.StreamResponse:
    """Its name is looked up, never a path made of it."""
    found = (await asyncio.to_thread(files)).get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    packs = "gzip" in request.headers.get("Accept-Encoding", "").lower()
    # a tag of its own for each form: a proxy that keeps one never serves it for the other
    response = web.Response(headers={"Cache-Control": "no-cache"})
    response.etag = f"{found.tag}-gzip" if packs else found.tag
    if response.etag in (request.if_none_match or ()):
        response.set_status(304)
        return response
    response.content_type, response.charset = found.kind, "utf-8"
    response.body = found.packed if packs else found.plain
    if packs:
        response.headers["Content-Encoding"] = "gzip"
    return response


@functools.cache
def files() -> dict[str, File]:
    """Read and packed once, by whoever asks first: 30 ms."""
    return {path.name: _file(path) for path in STATIC.iterdir() if path.suffix in KINDS}


def _file(path: Path) -> File:
    plain = path.read_bytes()
    tag = sha256(plain).hexdigest()[:20]
    return File(KINDS[path.suffix], plain, gzip.compress(plain, mtime=0), tag)

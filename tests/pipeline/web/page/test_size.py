"""What a browser has to fetch."""

from __future__ import annotations

import gzip
from dataclasses import replace

import aiohttp

from pipeline.settings import Settings
from pipeline.web.files import STATIC
from tests.pipeline.web.conftest import running


def test_the_whole_page_is_under_120_kilobytes_gzipped() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in STATIC.iterdir()}
    assert sum(sizes.values()) < 120_000, sizes


async def test_its_files_come_compressed_and_once() -> None:
    nowhere = replace(Settings(), bootstrap="127.0.0.1:1", web_port=0)
    async with running(nowhere) as site, aiohttp.ClientSession(auto_decompress=False) as client:
        address = f"{site.http}/static/vendor.js"
        asking = {"Accept-Encoding": "gzip, deflate, br"}
        async with client.get(address, headers=asking) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert len(await answer.read()) < (STATIC / "vendor.js").stat().st_size / 2.5
            tag = answer.headers["ETag"]
        async with client.get(address, headers={**asking, "If-None-Match": tag}) as again:
            assert (again.status, await again.read()) == (304, b"")
        async with client.get(address, headers={"Accept-Encoding": "identity"}) as plain:
            assert await plain.read() == (STATIC / "vendor.js").read_bytes()

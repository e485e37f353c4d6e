"""What a browser has to fetch."""

from __future__ import annotations

import gzip

from pipeline.web.views import STATIC


def test_the_whole_page_is_under_120_kilobytes_gzipped() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in STATIC.iterdir()}
    assert sum(sizes.values()) < 120_000, sizes

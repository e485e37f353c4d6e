"""A process without a web view in; what it can be asked out."""

from __future__ import annotations

import logging

import pytest

from pipeline.kafka.broker import free_port
from pipeline.web.vitals import Vitals


async def test_the_second_on_one_port_takes_a_free_one_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    one, other = (Vitals("127.0.0.1", port, lambda: None) for _ in range(2))
    await one.start()
    await other.start()
    try:
        said = [record.getMessage() for record in caplog.records]
        assert said[0] == f"metrics: http://127.0.0.1:{port}/metrics"
        assert said[1] == f"port {port} of 127.0.0.1 is taken: taking a free one"
        assert said[2].startswith("metrics: http://127.0.0.1:")
        assert said[2] != said[0]
    finally:
        await other.stop()
        await one.stop()

"""Ids in, partitions out: the same as Kafka's clients put a key in."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner as AiokafkaPartitioner
from kafka.partitioner.default import murmur2 as kafka_python_hash

from pipeline.home import home_of

PARTITIONS = list(range(8))
IDS = ["attic", "house-1", "8", "käfer", "嗨", "a" * 128]


@pytest.mark.parametrize(
    ("text", "hashed"),
    [  # Kafka's own test of its hash: org.apache.kafka.common.utils.UtilsTest
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_a_device_is_at_home_where_java_puts_its_key(text, hashed):
    assert home_of(text, 12) == (hashed & 0x7FFFFFFF) % 12


@pytest.mark.parametrize("device_id", IDS)
def test_a_device_is_at_home_where_python_clients_put_its_key(device_id):
    key, home = device_id.encode(), home_of(device_id, len(PARTITIONS))
    assert AiokafkaPartitioner()(key, PARTITIONS, PARTITIONS) == home
    assert (kafka_python_hash(key) & 0x7FFFFFFF) % len(PARTITIONS) == home

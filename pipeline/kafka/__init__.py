"""A data folder in, a running Apache Kafka out: the broker that `smart-iot up` brings along."""

from pipeline.kafka.broker import Kafka, running
from pipeline.kafka.fallback import Fallback
from pipeline.kafka.jars import Missing, Unusable
from pipeline.kafka.lock import FolderInUse, locked

__all__ = ["Fallback", "FolderInUse", "Kafka", "Missing", "Unusable", "locked", "running"]

"""A prefix in; every name that Kafka keeps, and the policy of every topic, out.

Names live here and nowhere else: moving a file never orphans state. `readings`, `alerts`,
`alerts-open`, `readings-rejected`, `windows` and `commands` are the contract's; the app's id (its
consumer group), the archives' groups, the table's changelog, the checks and the forwarded readings
are ours.
"""

from __future__ import annotations

DAY_MS = 24 * 3600 * 1000
# The id of the cluster by which every program knows the fallback broker of `smart-iot up`.
FALLBACK_CLUSTER = "smart-iot-fallback"
LARGEST_RECORD = 16 << 20  # of readings too, so that the rejected topic can say why not


class Names:
    """Every name that Kafka keeps, with its prefix."""

    def __init__(self, prefix: str) -> None:
        self.app = f"{prefix}smart-iot"
        self.readings = f"{prefix}readings"
        self.alerts = f"{prefix}alerts"
        self.alerts_open = f"{prefix}alerts-open"
        self.rejected = f"{prefix}readings-rejected"
        self.windows = f"{prefix}windows"
        self.commands = f"{prefix}commands"
        self.checks = f"{prefix}smart-iot-checks"
        self.forwarded = f"{prefix}smart-iot-forwarded"
        self.table = "devices"
        self.changelog = f"{self.app}-{self.table}-changelog"

    def archive(self, sink: str) -> str:
        """The group of an archive, one a sink: `mysql`, `mongo` or `redis`."""
        return f"{self.app}-archive-{sink}"

    def policies(self) -> dict[str, dict[str, str]]:
        """Topic to the configuration with which we create it."""
        # a reader that was away for less than the retention of tombstones misses none
        compacted = {"cleanup.policy": "compact", "delete.retention.ms": str(30 * DAY_MS)}
        # Kafka's own default, but the fallback broker reports only what was said
        deleted = {"cleanup.policy": "delete"}
        return {
            # recorded data keeps its old times, so age must not delete it
            self.readings: {
                **deleted,
                "retention.ms": "-1",
                "retention.bytes": str(1 << 30),
                "max.message.bytes": str(LARGEST_RECORD),
            },
            self.alerts: {**deleted, "retention.ms": str(7 * DAY_MS)},
            self.alerts_open: compacted,
            self.rejected: {**deleted, "retention.ms": str(7 * DAY_MS)},
            self.windows: {**deleted, "retention.ms": str(7 * DAY_MS)},
            self.commands: {**deleted, "retention.ms": str(DAY_MS)},
            self.checks: {**deleted, "retention.ms": str(DAY_MS)},
            # readings on their way to the worker of their device
            self.forwarded: {
                **deleted,
                "retention.ms": str(7 * DAY_MS),
                "max.message.bytes": str(LARGEST_RECORD),
            },
            # a row is one record, with its events while they are not announced
            self.changelog: {**compacted, "max.message.bytes": str(LARGEST_RECORD)},
        }

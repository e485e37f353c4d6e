"""What stands on our topics, one struct a record: what is written comes from it, and so do the JSON
Schemas (`pipeline/schemas.py`), so that neither can say something else than the other.

Fields are in the order in which they are written; a struct checks nothing when it is made.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

SCHEMA: Final = 1


def one_of(*words: str) -> Meta:
    return Meta(extra_json_schema={"enum": [*words]})


Time = Annotated[  # UTC, with milliseconds
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
DeviceId = Annotated[str, Meta(min_length=1, max_length=128)]
Number = Annotated[int, Meta(ge=1)]
Severity = Annotated[str, one_of("info", "warning", "danger")]
Kind = Annotated[str, one_of("fired", "updated", "resolved", "acked", "reminder")]
Status = Annotated[str, one_of("active", "resolved")]
Reason = Annotated[
    str,
    one_of(
        "threshold", "value_normal", "severity_changed", "offline", "device_returned",
        "sensor_fault", "rule_changed", "rule_removed", "device_retired", "manual", "reminder",
        "stale", "unsuppressed", "ingest_silent", "fleet_offline",
    ),
]  # fmt: skip
Version = Annotated[int, Meta(extra_json_schema={"const": SCHEMA})]


class AlertEvent(Struct, frozen=True, kw_only=True):
    """One event of an alert, told by a worker; (alert_id, seq) is its identity."""

    type: Annotated[
        str,
        one_of("danger", "warning", "info", "resolved"),
        Meta(description="the severity; `resolved` once it is, `info` for an acknowledgement"),
    ]
    title: str
    message: str
    device_id: Annotated[DeviceId, Meta(description="`*fleet` where it is of the whole fleet")]
    value: float | None
    metric: str | None
    timestamp: Annotated[Time, Meta(description="the judged time of the reading")]
    schema: Version
    event: Kind
    alert_id: str
    seq: Annotated[Number, Meta(description="from 1, without holes")]
    rule: str
    severity: Severity
    previous_severity: Severity | None
    threshold: float | None
    clear: float | None
    unit: str | None
    status: Status
    reason: Reason
    count: Annotated[int, Meta(ge=0, description="readings that met the alert's condition")]
    started_at: Time
    resolved_at: Time | None
    acked: bool
    acked_by: str | None
    note: str | None
    detected_at: Time
    stale: Annotated[bool, Meta(description="the device has been silent since")]
    suppressed_by: Annotated[
        str | None, Meta(description="the id of the silence or the alert that holds it back")
    ]
    devices: Annotated[
        list[str] | UnsetType, Meta(description="of an alert of the fleet: the first 1,000 silent")
    ] = UNSET


class ClosedWindow(Struct, frozen=True, kw_only=True):
    """What one metric of a device came to in one window; of a device, metric, start and seconds
    the one with the highest revision holds."""

    schema: Version
    device_id: DeviceId
    metric: str
    start: Time
    end: Time
    seconds: Number
    revision: Number
    count: Number
    mean: float
    min: float
    max: float
    last: float
    unit: str | None

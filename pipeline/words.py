"""Alert events and closed windows in; their JSON bytes out, with the words that people read."""

from __future__ import annotations

from typing import Final

import msgspec

from pipeline.records import iso
from pipeline.rules.lifecycle import Event
from pipeline.rules.window import Closed
from pipeline.shapes import SCHEMA, AlertEvent, ClosedWindow

UNITS: Final = {
    "temperature": "°C",
    "humidity": "%",
    "battery": "%",
    "battery_voltage": "V",
    "co2": "ppm",
}
_TITLES: Final = {
    ("temperature", "High"): "🔥 High Temperature Alert!",
    ("temperature", "Low"): "❄️ Low Temperature Alert!",
    ("humidity", "High"): "💧 High Humidity Alert!",
    ("humidity", "Low"): "🌵 Low Humidity Alert!",
    ("battery", "High"): "🔋 High Battery Alert!",
    ("battery", "Low"): "🔋 Low Battery Alert!",
}
_encode = msgspec.json.Encoder().encode


def event_json(event: Event) -> bytes:
    """The event as it stands on the topic and in a viewer's browser, its fields in this order."""
    resolved = event.status == "resolved"
    return _encode(
        AlertEvent(
            type=_type(event),
            title=_resolved_title(event) if resolved else _title(event),
            message=f"{_whose(event)}: {_message(event)}",
            device_id=event.device_id,
            value=event.value,
            metric=event.metric,
            timestamp=iso(event.timestamp),
            schema=SCHEMA,
            event=event.event,
            alert_id=event.alert_id,
            seq=event.seq,
            rule=event.rule,
            severity=event.severity,
            previous_severity=event.previous_severity,
            threshold=event.threshold,
            clear=event.clear,
            unit=_unit(event),
            status=event.status,
            reason=event.reason,
            count=event.count,
            started_at=iso(event.started_at),
            resolved_at=None if event.resolved_at is None else iso(event.resolved_at),
            acked=event.acked,
            acked_by=event.acked_by,
            note=event.note,
            detected_at=iso(event.detected_at),
            stale=event.stale,
            suppressed_by=event.suppressed_by,
            devices=list(event.devices) if event.devices else msgspec.UNSET,
        )
    )


def _whose(event: Event) -> str:
    return "The fleet" if event.kind == "fleet" else f"Device {event.device_id}"


def _type(event: Event) -> str:
    if event.status == "resolved":
        return "resolved"
    return "info" if event.event == "acked" else event.severity


def _unit(event: Event) -> str | None:
    return event.unit if event.metric is None else event.unit or UNITS.get(event.metric)


def _title(event: Event) -> str:
    if event.kind == "fleet":
        return "📴 Nothing Arrives!" if event.reason == "ingest_silent" else "📴 Fleet Offline!"
    if event.metric is None:
        return "📴 Device Offline!"
    if event.kind != "threshold":
        return "⚙️ Sensor Fault!"
    side = "High" if _is_high(event) else "Low"
    return _TITLES.get((event.metric, side), f"⚠️ {side} {_label(event.metric).title()} Alert!")


def _resolved_title(event: Event) -> str:
    if event.reason == "device_retired":
        return "✅ Device Retired"
    if event.reason in ("rule_changed", "rule_removed"):
        return f"✅ {event.reason.replace('_', ' ').title()}"
    if event.metric is None:
        return f"✅ {'Fleet' if event.kind == 'fleet' else 'Device'} Back Online"
    return f"✅ {_label(event.metric).title()} Back to Normal"


def _message(event: Event) -> str:
    """What is wrong stays said: who comes later sees an alert's last event alone."""
    if event.event != "acked":
        return _state(event)
    said = f"{_state(event)}, acknowledged by {event.acked_by}"
    return f"{said}: {event.note}" if event.note else said


def _state(event: Event) -> str:
    if event.reason == "device_retired":
        return "Retired after a long silence"
    if event.reason == "rule_removed":
        return f"The rule {event.rule} is no more"
    if event.kind == "fleet":
        return _fleet(event)
    if event.metric is None:
        return _presence(event)
    if event.reason == "stale" and event.stale:
        return f"No reading since, {_label(event.metric)} is unknown"
    return _measured(event)


def _measured(event: Event) -> str:
    if event.value is None:
        known = f"{_label(event.metric or '')} is not known"
    else:
        known = f"{_label(event.metric or '')} is {_number(event, event.value)}"
    if event.status == "resolved" and event.reason == "rule_changed":
        return f"{known}, which the changed rule {event.rule} allows"
    if event.kind == "flatline" and event.status == "active":
        return f"{known} and has not moved for {event.count} readings"
    if event.reason == "sensor_fault" or (event.kind == "range" and event.status == "active"):
        return f"{known}, which its sensor can't measure (bound: {_number(event, event.threshold)})"
    if event.status == "resolved":
        return f"{known}, back to normal"
    said = f"{known} (threshold: {_number(event, event.threshold)})"
    if event.previous_severity is not None:
        return f"{said}, {event.severity} after {event.previous_severity}"
    return said


def _presence(event: Event) -> str:
    if event.reason == "rule_changed":
        return f"The changed rule {event.rule} allows longer silence"
    if event.status == "resolved":
        return f"Back online at {iso(event.timestamp)}"
    if event.reason in ("severity_changed", "reminder"):
        return f"Still offline at {iso(event.timestamp)}, {event.severity}"
    return f"Offline, a reading was due by {iso(event.started_at)}"


def _fleet(event: Event) -> str:
    if event.status == "resolved":
        return f"Most devices are back at {iso(event.timestamp)}"
    named = ", ".join(event.devices[:5])
    more = ", …" if event.count > 5 else ""
    silent = f"{event.count} devices fell silent together ({named}{more})"
    return f"{silent} and nothing arrives" if event.reason == "ingest_silent" else silent


def _is_high(event: Event) -> bool:
    """The clear line lies on the good side of the line; where they are one, the value tells."""
    threshold, clear, value = event.threshold, event.clear, event.value
    if threshold is None or clear is None:
        return True
    return clear < threshold or (clear == threshold and value is not None and value >= threshold)


def _label(metric: str) -> str:
    return "CO2" if metric == "co2" else metric.strip("_").replace("_", " ").capitalize()


def _number(event: Event, value: float | None) -> str:
    unit = _unit(event) or ""
    return f"{value} {unit}" if unit.isalpha() else f"{value}{unit}"


# -- a closed window


def window_json(closed: Closed) -> bytes:
    """The window as it stands on the topic; of one identity the highest revision holds."""
    return _encode(
        ClosedWindow(
            schema=SCHEMA,
            device_id=closed.device_id,
            metric=closed.metric,
            start=iso(closed.start),
            end=iso(closed.start + closed.seconds),
            seconds=round(closed.seconds),
            revision=closed.revision,
            count=closed.count,
            mean=closed.mean,
            min=closed.min,
            max=closed.max,
            last=closed.last,
            unit=UNITS.get(closed.metric),
        )
    )

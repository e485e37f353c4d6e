"""What happened in this process in; one registry of Prometheus metrics out, for `/metrics`.

Base units, bounded labels, never a device's id. One section a concern.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from pipeline.about import CORE, VERSION

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
BUILD_INFO = Gauge(
    "smart_iot_build_info",
    "1, with the version, and whether the core is compiled or plain Python",
    ["version", "core"],
    registry=REGISTRY,
)
BUILD_INFO.labels(VERSION, CORE).set(1)

LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip
EVENTS = frozenset({"fired", "updated", "resolved", "acked", "reminder"})
LATENESS_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
CLOSE_CODES = frozenset({1000, 1001, 1006, 1008, 1009, 1012, 1013, 4401, 4403})


def label(value: object, known: frozenset[str] | frozenset[int]) -> str:
    """A value that came over the wire as a label: `other` unless it is one that we know."""
    return str(value) if value in known else "other"


# --- the process -----------------------------------------------------------------------------

LOOP_LATE_SECONDS = Histogram(
    "smart_iot_loop_late_seconds",
    "By how much the event loop was late when it was looked at, fifty times a second",
    buckets=LATENESS_BUCKETS,
    registry=REGISTRY,
)

# --- the web view: viewers ------------------------------------------------------------------

VIEWERS = Gauge("smart_iot_web_viewers", "WebSocket viewers connected now", registry=REGISTRY)
VIEWERS_CLOSED = Counter(
    "smart_iot_web_viewers_closed",
    "WebSocket viewers that left or were closed, by close code",
    ["code"],
    registry=REGISTRY,
)
QUEUE_OVERFLOWS = Counter(
    "smart_iot_web_queue_overflows",
    "viewers closed with 1013 because they fell behind by more than their queue",
    registry=REGISTRY,
)

# --- the web view: the feed of alert events -------------------------------------------------

EVENTS_RELAYED = Counter(
    "smart_iot_web_events_relayed",
    "alert events handed to the viewers, by kind",
    ["event"],
    registry=REGISTRY,
)
EVENTS_REPEATED = Counter(
    "smart_iot_web_events_repeated",
    "alert events that were on the topic again and went to no viewer",
    registry=REGISTRY,
)
EVENTS_UNREADABLE = Counter(
    "smart_iot_web_events_unreadable",
    "records of the alert topics that are no alert event",
    registry=REGISTRY,
)
OPEN_ALERTS = Gauge("smart_iot_web_open_alerts", "alerts open now", registry=REGISTRY)
FEED_RESTARTS = Counter(
    "smart_iot_web_feed_restarts", "times the feed had to start again", registry=REGISTRY
)
RELAY_SECONDS = Histogram(
    "smart_iot_web_relay_seconds",
    "from an alert event's Kafka timestamp until every viewer's queue has it",
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)

# --- the web view: devices and readings -----------------------------------------------------

DEVICES = Gauge("smart_iot_web_devices", "devices that the view knows", registry=REGISTRY)
RECORDS_UNREADABLE = Counter(
    "smart_iot_web_records_unreadable",
    "records that are none of ours, of the device table's changelog, the alerts or the windows",
    ["what"],
    registry=REGISTRY,
)
ALERTS_KEPT = Gauge(
    "smart_iot_web_alerts_kept",
    "alerts of the past in memory, each with its events",
    registry=REGISTRY,
)
WINDOWS_KEPT = Gauge(
    "smart_iot_web_windows_kept",
    "closed windows in memory, for charts; SMART_IOT_WINDOWS_KEPT at the most",
    registry=REGISTRY,
)
READINGS_STREAMED = Counter(
    "smart_iot_web_readings_streamed",
    "readings handed to the viewers of single devices, or of all",
    ["stream"],
    registry=REGISTRY,
)
QUESTIONS = Counter(
    "smart_iot_web_questions",
    "Questions of the web view to a database, by what came of them",
    ["sink", "outcome"],
    registry=REGISTRY,
)

# --- the worker: readings in ----------------------------------------------------------------

READINGS = Counter(
    "smart_iot_readings",
    "Readings taken from Kafka, by what became of them: judged, late, backfill, repeat, rejected, "
    "replayed (already applied before a restart)",
    ["result"],
    registry=REGISTRY,
)
REKEYED = Counter(
    "smart_iot_readings_rekeyed",
    "Readings that arrived in another partition than their device's own (no key, or another "
    "partitioner): applied here, or forwarded to another worker",
    ["way"],
    registry=REGISTRY,
)
RULES_RELOADS = Counter(
    "smart_iot_rules_reloads",
    "Attempts to read the rules anew: applied, unchanged, or refused (the old ones go on)",
    ["result"],
    registry=REGISTRY,
)
RULES = Gauge(
    "smart_iot_rules_info",
    "1 for the rules that this worker judges by, told by their hash",
    ["hash"],
    registry=REGISTRY,
)


def show_rules(fingerprint: str) -> None:
    RULES.clear()
    RULES.labels(fingerprint).set(1)


REJECTED = Counter(
    "smart_iot_readings_rejected",
    "Readings sent to the rejected topic, by reason",
    ["reason"],
    registry=REGISTRY,
)
VALUES_REFUSED = Counter(
    "smart_iot_values_refused",
    "Single values that a rule names and that are no numbers; the rest of the reading was used",
    ["reason"],
    registry=REGISTRY,
)

# --- the worker: alerts out -----------------------------------------------------------------

EVENTS_DECIDED = Counter(
    "smart_iot_alert_events",
    "Alert events decided, by rule and kind",
    ["rule", "event"],
    registry=REGISTRY,
)
RESENT = Counter(
    "smart_iot_alert_events_resent",
    "Alert events sent again when a partition was taken over",
    registry=REGISTRY,
)
DECISION_SECONDS = Histogram(
    "smart_iot_decision_seconds",
    "From a reading's Kafka timestamp to the decision of the event that it caused",
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)

WINDOWS = Counter(
    "smart_iot_windows",
    "Closed windows of a device and metric that were sent, those sent again included",
    registry=REGISTRY,
)
COMMANDS = Counter(
    "smart_iot_commands",
    "Commands carried out, by kind, and whether they changed anything: applied, unchanged",
    ["command", "result"],
    registry=REGISTRY,
)
COMMANDS_REFUSED = Counter(
    "smart_iot_commands_refused",
    "Commands that could not be carried out, by reason",
    ["reason"],
    registry=REGISTRY,
)

# --- the worker: state ----------------------------------------------------------------------

FLUSH_SECONDS = Histogram(
    "smart_iot_flush_seconds",
    "One flush of a worker: changelog, store, alerts, acknowledgement",
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
WRONG_CLOCKS = Gauge(
    "smart_iot_wrong_clocks",
    "Devices of this worker's whose clock is known to be wrong: judged as of their arrival",
    registry=REGISTRY,
)
RECOVERY_LEFT = Gauge(
    "smart_iot_recovery_records_left",
    "Records of a partition's changelog that are still to be read, while it is taken over",
    ["partition"],
    registry=REGISTRY,
)
CHANGELOG_HOLES = Counter(
    "smart_iot_changelog_holes",
    "Times that somebody else was found to have written to our changelog",
    registry=REGISTRY,
)
RECREATED_SOURCES = Counter(
    "smart_iot_recreated_sources",
    "Source partitions found to be other ones than those whose offsets were remembered",
    registry=REGISTRY,
)

# --- an archive: records into its database, or to whom they are told --------------------------

ARCHIVED = Counter(
    "smart_iot_archived",
    "Records that are written to the database of an archive, or told, by what they say",
    ["sink", "kind"],
    registry=REGISTRY,
)
ARCHIVE_REFUSED = Counter(
    "smart_iot_archive_refused",
    "Records that a database or a webhook will never take, sent to the rejected topic; alerts that "
    "an Alertmanager refuses",
    ["sink"],
    registry=REGISTRY,
)
ARCHIVE_FAILURES = Counter(
    "smart_iot_archive_failures",
    "Writes or posts that failed and are tried again",
    ["sink"],
    registry=REGISTRY,
)
ARCHIVE_LAG = Gauge(
    "smart_iot_archive_lag_records",
    "Records of our partitions that are not written to the database, or told, yet",
    ["sink"],
    registry=REGISTRY,
)
ARCHIVE_SECONDS = Histogram(
    "smart_iot_archive_write_seconds",
    "One batch into the database, until it is there, or one post that was taken",
    ["sink"],
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
ALERTMANAGER_REACHED = Gauge(
    "smart_iot_alertmanager_reached",
    "1 if an Alertmanager could be told when it last was, 0 if not; by host and port",
    ["alertmanager"],
    registry=REGISTRY,
)
ALERTMANAGER_ALERTS = Gauge(
    "smart_iot_alertmanager_alerts",
    "Alerts that the Alertmanagers are told are open",
    registry=REGISTRY,
)

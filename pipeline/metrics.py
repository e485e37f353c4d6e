"""What happened in this process in; one registry of Prometheus metrics out, for `/metrics`.

Base units, bounded labels, never a device's id. One section a concern. `/metrics` has what is in
`REGISTRY`; a process that has a web view, or is a worker or an archive, adds what those tell
(`expose`), so that nobody shows zeros of what it doesn't do. `docs/metrics.md` lists all of them.

Where the labels are known beforehand their series begin at 0: of one that appears only with its
first event, Prometheus never sees that event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.process_collector import ProcessCollector

from pipeline.about import CORE, VERSION

# A second series beside each, that Prometheus has no use for
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry(auto_describe=True)
VIEW: Final = CollectorRegistry(auto_describe=True)
WORKER: Final = CollectorRegistry(auto_describe=True)
ARCHIVE: Final = CollectorRegistry(auto_describe=True)
BRIDGE: Final = CollectorRegistry(auto_describe=True)
_exposed: set[CollectorRegistry] = set()


def expose(registry: CollectorRegistry) -> None:
    """Have `/metrics` tell what is in there too; a second time changes nothing."""
    if registry not in _exposed:
        _exposed.add(registry)
        REGISTRY.register(registry)


ProcessCollector(registry=REGISTRY)
BUILD_INFO = Gauge(
    "smart_iot_build_info",
    "1, with the version and whether the core is compiled or plain Python",
    ["version", "core"],
    registry=REGISTRY,
)
BUILD_INFO.labels(VERSION, CORE).set(1)

LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip
RECOVERY_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300)
EVENTS = frozenset({"fired", "updated", "resolved", "acked", "reminder"})
LATENESS_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.2, 0.5, 1, 2, 5)
CLOSE_CODES = frozenset({1000, 1001, 1002, 1006, 1007, 1009, 1012, 1013, 4401, 4403})


# Why a reading is sent to the rejected topic
REJECTIONS = frozenset({
    "not_utf8", "not_json", "not_an_object", "no_device_id", "bad_device_id", "no_metric",
    "too_large", "too_deep", "duplicate_key", "bad_timestamp", "too_many_metrics", "no_origin",
    "core_error",
})  # fmt: skip
VALUE_FAULTS = frozenset({"null", "boolean", "string", "nan", "infinite", "other"})


def begin(metric: Counter, *known: str) -> None:
    """Series of one label that are at 0 before anything has happened."""
    for value in sorted(known):
        metric.labels(value)


def label(value: object, known: frozenset[str] | frozenset[int]) -> str:
    """A value that came over the wire as a label: `other` unless it is one that we know."""
    return str(value) if value in known else "other"


# --- the web view: what it runs in ----------------------------------------------------------

LOOP_LATE_SECONDS = Histogram(
    "smart_iot_loop_late_seconds",
    "By how much the event loop was late when it was looked at, fifty times a second",
    buckets=LATENESS_BUCKETS,
    registry=VIEW,
)

# --- the web view: viewers ------------------------------------------------------------------

VIEWERS = Gauge("smart_iot_web_viewers", "WebSocket viewers connected now", registry=VIEW)
VIEWERS_CLOSED = Counter(
    "smart_iot_web_viewers_closed",
    "WebSocket viewers that left or were closed, by close code",
    ["code"],
    registry=VIEW,
)
VIEWERS_REFUSED = Counter(
    "smart_iot_web_viewers_refused",
    "WebSocket viewers that were not let in: foreign (a page, or a name for us, that may not), "
    "per_address and full (as many as may be are there), not_ready",
    ["reason"],
    registry=VIEW,
)
begin(VIEWERS_REFUSED, "foreign", "full", "not_ready", "per_address")
begin(VIEWERS_CLOSED, "other", *map(str, CLOSE_CODES))
QUEUE_OVERFLOWS = Counter(
    "smart_iot_web_queue_overflows",
    "Viewers closed with 1013 because they fell behind by more than their queue",
    registry=VIEW,
)

# --- the web view: the feed of alert events -------------------------------------------------

EVENTS_RELAYED = Counter(
    "smart_iot_web_events_relayed",
    "Alert events handed to the viewers, by kind",
    ["event"],
    registry=VIEW,
)
begin(EVENTS_RELAYED, *EVENTS)
EVENTS_REPEATED = Counter(
    "smart_iot_web_events_repeated",
    "Alert events that were on the topic again and went to no viewer",
    registry=VIEW,
)
EVENTS_UNREADABLE = Counter(
    "smart_iot_web_events_unreadable",
    "Records of the alert topics that are no alert event",
    registry=VIEW,
)
OPEN_ALERTS = Gauge("smart_iot_web_open_alerts", "Alerts open now", registry=VIEW)
FEED_RESTARTS = Counter(
    "smart_iot_web_feed_restarts", "Times the feed had to start again", registry=VIEW
)
RELAY_SECONDS = Histogram(
    "smart_iot_web_relay_seconds",
    "From an alert event's Kafka timestamp until every viewer's queue has it",
    buckets=LATENCY_BUCKETS,
    registry=VIEW,
)

# --- the web view: devices and readings -----------------------------------------------------

DEVICES = Gauge("smart_iot_web_devices", "Devices that the view knows", registry=VIEW)
RECORDS_UNREADABLE = Counter(
    "smart_iot_web_records_unreadable",
    "Records that are none of ours, of the device table's changelog, the alerts or the windows",
    ["what"],
    registry=VIEW,
)
begin(RECORDS_UNREADABLE, "devices", "alerts of the past", "windows")
ALERTS_KEPT = Gauge(
    "smart_iot_web_alerts_kept",
    "Alerts of the past in memory, each with its events",
    registry=VIEW,
)
WINDOWS_KEPT = Gauge(
    "smart_iot_web_windows_kept",
    "Closed windows in memory, for charts; SMART_IOT_WINDOWS_KEPT at the most",
    registry=VIEW,
)
READINGS_STREAMED = Counter(
    "smart_iot_web_readings_streamed",
    "Readings handed to the viewers of single devices, or of all",
    ["stream"],
    registry=VIEW,
)
begin(READINGS_STREAMED, "device", "all")

# --- the web view: databases ----------------------------------------------------------------

QUESTIONS = Counter(
    "smart_iot_web_questions",
    "Questions of the web view to a database, by what came of them: answered, failed, not_asked "
    "(it had just failed, or too many ask; the topics answer instead)",
    ["sink", "outcome"],
    registry=VIEW,
)

# --- the worker: readings in ----------------------------------------------------------------

READINGS = Counter(
    "smart_iot_readings",
    "Readings taken from Kafka, by what became of them: judged, late, backfill, repeat, rejected, "
    "replayed (already applied before a restart)",
    ["result"],
    registry=WORKER,
)
begin(READINGS, "judged", "late", "backfill", "repeat", "rejected", "replayed")
REKEYED = Counter(
    "smart_iot_readings_rekeyed",
    "Readings that arrived in another partition than their device's own (no key, or another "
    "partitioner): applied here, or forwarded to another worker",
    ["way"],
    registry=WORKER,
)
begin(REKEYED, "applied", "forwarded")
LAG = Gauge(
    "smart_iot_lag_records",
    "Records of our partitions that are not taken up yet: readings, or forwarded (by other "
    "workers, to the device's own partition)",
    ["topic", "partition"],
    registry=WORKER,
)
REJECTED = Counter(
    "smart_iot_readings_rejected",
    "Readings sent to the rejected topic, by reason",
    ["reason"],
    registry=WORKER,
)
begin(REJECTED, *REJECTIONS)
VALUES_REFUSED = Counter(
    "smart_iot_values_refused",
    "Single values that a rule names and that are no numbers; the rest of the reading was used",
    ["reason"],
    registry=WORKER,
)
begin(VALUES_REFUSED, *VALUE_FAULTS)

# --- the worker: rules ----------------------------------------------------------------------

RULES_RELOADS = Counter(
    "smart_iot_rules_reloads",
    "Attempts to read the rules anew: applied, unchanged, or refused (the old ones go on)",
    ["result"],
    registry=WORKER,
)
RULES = Gauge(
    "smart_iot_rules_info",
    "1 for the rules that this worker judges by, told by their hash",
    ["hash"],
    registry=WORKER,
)


begin(RULES_RELOADS, "applied", "unchanged", "refused")
RELOAD_SUCCESSFUL = Gauge(
    "smart_iot_rules_reload_successful",
    "1 if the last attempt to read the rules was, 0 if they were wrong and the old ones go on",
    registry=WORKER,
)
RELOADED_AT = Gauge(
    "smart_iot_rules_reload_success_timestamp_seconds",
    "When the rules were last read and found right",
    registry=WORKER,
)


def rules_were_read(*, right: bool) -> None:
    RELOAD_SUCCESSFUL.set(right)
    if right:
        RELOADED_AT.set_to_current_time()


def show_rules(fingerprint: str, names: Iterable[str]) -> None:
    """What a worker judges by."""
    RULES.clear()
    RULES.labels(fingerprint).set(1)
    for name in names:
        for event in ("fired", "resolved"):
            EVENTS_DECIDED.labels(name, event)


# --- the worker: alerts out -----------------------------------------------------------------

EVENTS_DECIDED = Counter(
    "smart_iot_alert_events",
    "Alert events decided, by rule and kind",
    ["rule", "event"],
    registry=WORKER,
)
SUPPRESSED = Counter(
    "smart_iot_alert_events_suppressed",
    "Alert events that viewers don't get unless they ask: under the alert of a device's own "
    "silence (offline), of its fleet's (fleet), or somebody's silence (silence)",
    ["reason"],
    registry=WORKER,
)
begin(SUPPRESSED, "offline", "fleet", "silence")
RESENT = Counter(
    "smart_iot_alert_events_resent",
    "Alert events sent again when a partition was taken over",
    registry=WORKER,
)
DECISION_SECONDS = Histogram(
    "smart_iot_decision_seconds",
    "From a reading's Kafka timestamp to the decision of the event that it caused",
    buckets=LATENCY_BUCKETS,
    registry=WORKER,
)
ALERT_SECONDS = Histogram(
    "smart_iot_alert_seconds",
    "From a reading's Kafka timestamp until the broker has the alert event that it caused",
    buckets=LATENCY_BUCKETS,
    registry=WORKER,
)
OFFLINE_SECONDS = Histogram(
    "smart_iot_offline_seconds",
    "From when a device's silence fell due until the broker has its alert; that waits 5 seconds "
    "for the fleet's",
    buckets=LATENCY_BUCKETS,
    registry=WORKER,
)
OPEN_BY_SEVERITY = Gauge(
    "smart_iot_open_alerts",
    "Open alerts of this worker's devices, by severity",
    ["severity"],
    registry=WORKER,
)

WINDOWS = Counter(
    "smart_iot_windows",
    "Closed windows of a device and metric that were sent, those sent again included",
    registry=WORKER,
)
COMMANDS = Counter(
    "smart_iot_commands",
    "Commands carried out, by kind, and whether they changed anything: applied, unchanged",
    ["command", "result"],
    registry=WORKER,
)
COMMANDS_REFUSED = Counter(
    "smart_iot_commands_refused",
    "Commands that could not be carried out, by reason",
    ["reason"],
    registry=WORKER,
)

# --- the worker: state ----------------------------------------------------------------------

FLUSH_SECONDS = Histogram(
    "smart_iot_flush_seconds",
    "One flush of a worker: changelog, store, alerts, acknowledgement",
    buckets=LATENCY_BUCKETS,
    registry=WORKER,
)
FLUSHED_AT = Gauge(
    "smart_iot_last_flush_timestamp_seconds",
    "When all that had changed was last written",
    registry=WORKER,
)
DIRTY_ROWS = Gauge(
    "smart_iot_dirty_rows",
    "Devices whose rows have changed and wait for the next flush",
    registry=WORKER,
)
PARTITIONS = Gauge(
    "smart_iot_partitions", "Partitions of the readings that this worker has", registry=WORKER
)
HELD_PARTITIONS = Gauge(
    "smart_iot_judgement_held_partitions",
    "Partitions in which silence is not judged by the wall clock now: backlog (it is being read), "
    "replay (of recorded times), unheard (Kafka doesn't tell how far it goes, or not all of it is "
    "applied), fleet (told as one alert), grace (the minute after)",
    ["reason"],
    registry=WORKER,
)
FLEET_DEVICES = Gauge(
    "smart_iot_devices",
    "Devices of this worker's partitions: offline (that alert of theirs is open) or online",
    ["state"],
    registry=WORKER,
)
WRONG_CLOCKS = Gauge(
    "smart_iot_wrong_clocks",
    "Devices of this worker's whose clock is known to be wrong: judged as of their arrival",
    registry=WORKER,
)
RECOVERY_LEFT = Gauge(
    "smart_iot_recovery_records_left",
    "Records of a partition's changelog that are still to be read, while it is taken over",
    ["partition"],
    registry=WORKER,
)
RECOVERY_SECONDS = Histogram(
    "smart_iot_recovery_seconds",
    "Taking partitions over after an assignment, until their state is complete and claimed",
    buckets=RECOVERY_BUCKETS,
    registry=WORKER,
)
CHANGELOG_HOLES = Counter(
    "smart_iot_changelog_holes",
    "Times that somebody else was found to have written to our changelog",
    registry=WORKER,
)
RECREATED_SOURCES = Counter(
    "smart_iot_recreated_sources",
    "Source partitions found to be other ones than those whose offsets were remembered",
    registry=WORKER,
)

# --- an archive: records into its database, or to whom they are told --------------------------

ARCHIVED = Counter(
    "smart_iot_archived",
    "Records that are written to the database of an archive, or told, by what they say",
    ["sink", "kind"],
    registry=ARCHIVE,
)
ARCHIVE_REFUSED = Counter(
    "smart_iot_archive_refused",
    "Records that a database or a webhook will never take, sent to the rejected topic; alerts that "
    "an Alertmanager refuses",
    ["sink"],
    registry=ARCHIVE,
)
ARCHIVE_FAILURES = Counter(
    "smart_iot_archive_failures",
    "Writes or posts that failed and are tried again",
    ["sink"],
    registry=ARCHIVE,
)
ARCHIVE_LAG = Gauge(
    "smart_iot_archive_lag_records",
    "Records of our partitions not written to the database, or told, yet; NaN: not known yet",
    ["sink"],
    registry=ARCHIVE,
)
ARCHIVE_SECONDS = Histogram(
    "smart_iot_archive_write_seconds",
    "One batch into the database, until it is there, or one post that was taken",
    ["sink"],
    buckets=LATENCY_BUCKETS,
    registry=ARCHIVE,
)
ALERTMANAGER_REACHED = Gauge(
    "smart_iot_alertmanager_reached",
    "1 if an Alertmanager could be told when it last was, 0 if not; by host and port",
    ["alertmanager"],
    registry=BRIDGE,
)
ALERTMANAGER_ALERTS = Gauge(
    "smart_iot_alertmanager_alerts",
    "Alerts that the Alertmanagers are told are open",
    registry=BRIDGE,
)


def begin_archive(sink: str, kinds: Iterable[str]) -> None:
    """What this archive shows from its first second on."""
    begin(ARCHIVE_REFUSED, sink)
    begin(ARCHIVE_FAILURES, sink)
    for kind in kinds:
        ARCHIVED.labels(sink, kind)
    ARCHIVE_LAG.labels(sink)
    ARCHIVE_SECONDS.labels(sink)
    expose(ARCHIVE)

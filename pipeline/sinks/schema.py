"""The tables of MySQL and MariaDB, a version after the other. No I/O.

All times are UTC. Ids compare byte by byte, as they do everywhere else: `Barn` and `barn` are two
devices. `body` is the event as it stood on its topic. `stored_at` is when a row was last written;
what is kept for so many days counts from there, since recorded readings keep their old times.
"""

from __future__ import annotations

from typing import Final

ID = "CHARACTER SET ascii COLLATE ascii_bin NOT NULL"
TEXT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
END = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

# A statement that has been run already changes nothing: MySQL can't take several back together.
MIGRATIONS: Final = (
    (
        f"""CREATE TABLE IF NOT EXISTS progress (
            name VARCHAR(400) {ID} PRIMARY KEY,
            `next` BIGINT NOT NULL
        ) {END}""",
        # every device that an alert or a window was about, and when the first and the last began
        f"""CREATE TABLE IF NOT EXISTS devices (
            device_id VARCHAR(128) {ID} PRIMARY KEY,
            first_at DATETIME(3) NOT NULL,
            last_at DATETIME(3) NOT NULL,
            stored_at DATETIME NOT NULL,
            KEY by_age (stored_at)
        ) {END}""",
        # one row an episode: its event with the highest seq; `severities` are all that it had, as
        # bits: info 1, warning 2, danger 4
        f"""CREATE TABLE IF NOT EXISTS alerts (
            alert_id CHAR(36) {ID} PRIMARY KEY,
            seq INT NOT NULL,
            device_id VARCHAR(128) {ID},
            rule VARCHAR(128) {TEXT} NOT NULL,
            severity VARCHAR(16) {ID},
            status VARCHAR(16) {ID},
            severities TINYINT UNSIGNED NOT NULL,
            started_at DATETIME(3) NOT NULL,
            resolved_at DATETIME(3) NULL,
            body MEDIUMTEXT {TEXT} NOT NULL,
            stored_at DATETIME NOT NULL,
            KEY by_start (started_at, alert_id),
            KEY by_device (device_id, started_at, alert_id),
            KEY by_rule (rule, started_at, alert_id),
            KEY by_status (status, started_at, alert_id),
            KEY by_end (status, resolved_at),
            KEY by_age (status, stored_at)
        ) {END}""",
        f"""CREATE TABLE IF NOT EXISTS alert_events (
            alert_id CHAR(36) {ID},
            seq INT NOT NULL,
            event VARCHAR(16) {ID},
            detected_at DATETIME(3) NOT NULL,
            body MEDIUMTEXT {TEXT} NOT NULL,
            stored_at DATETIME NOT NULL,
            PRIMARY KEY (alert_id, seq),
            KEY by_age (stored_at)
        ) {END}""",
        # of one identity the highest revision
        f"""CREATE TABLE IF NOT EXISTS windows (
            device_id VARCHAR(128) {ID},
            metric VARCHAR(64) {ID},
            start DATETIME(3) NOT NULL,
            seconds INT NOT NULL,
            revision INT NOT NULL,
            `count` INT NOT NULL,
            mean DOUBLE NOT NULL,
            `min` DOUBLE NOT NULL,
            `max` DOUBLE NOT NULL,
            `last` DOUBLE NOT NULL,
            unit VARCHAR(32) {TEXT} NULL,
            stored_at DATETIME NOT NULL,
            PRIMARY KEY (device_id, metric, start, seconds),
            KEY by_age (stored_at)
        ) {END}""",
        # what the windows of all devices come to in 5 minutes: a year of them is quickly added up
        f"""CREATE TABLE IF NOT EXISTS fleet_windows (
            metric VARCHAR(64) {ID},
            start DATETIME NOT NULL,
            `count` BIGINT NOT NULL,
            total DOUBLE NOT NULL,
            `min` DOUBLE NOT NULL,
            `max` DOUBLE NOT NULL,
            stored_at DATETIME NOT NULL,
            PRIMARY KEY (metric, start),
            KEY by_age (stored_at)
        ) {END}""",
    ),
)
VERSION: Final = len(MIGRATIONS)
VERSIONS: Final = f"CREATE TABLE IF NOT EXISTS schema_version (version INT PRIMARY KEY) {END}"

TOUCH_DEVICES: Final = """
    INSERT INTO devices (device_id, first_at, last_at, stored_at) VALUES (%s, %s, %s, %s)
    ON DUPLICATE KEY UPDATE first_at = LEAST(first_at, VALUES(first_at)),
        last_at = GREATEST(last_at, VALUES(last_at)), stored_at = VALUES(stored_at)"""


def upsert(
    table: str,
    keys: tuple[str, ...],
    newer_by: str,
    others: tuple[str, ...],
    gathered: tuple[str, ...] = (),
) -> str:
    """Write a row unless a newer one of the same key is there; the bits of what is `gathered` stay,
    whichever is newer. Assignments go from left to right, so what tells the newer one comes last.
    """
    columns = (*keys, *others, newer_by, *gathered)
    put = [f"`{name}` = `{name}` | VALUES(`{name}`)" for name in gathered]
    put += [
        f"`{name}` = IF(VALUES(`{newer_by}`) >= `{newer_by}`, VALUES(`{name}`), `{name}`)"
        for name in (*others, newer_by)
    ]
    names = ", ".join(f"`{name}`" for name in columns)
    places = ", ".join(["%s"] * len(columns))
    row = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608  (our own names)
    return f"{row} ON DUPLICATE KEY UPDATE {', '.join(put)}"


PUT_EVENTS: Final = """
    INSERT INTO alert_events (alert_id, seq, event, detected_at, body, stored_at)
    VALUES (%s, %s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE seq = VALUES(seq)"""
PUT_ALERTS: Final = upsert(
    "alerts",
    ("alert_id",),
    "seq",
    (
        "device_id", "rule", "severity", "status", "started_at", "resolved_at", "body", "stored_at",
    ),
    gathered=("severities",),
)  # fmt: skip
PUT_WINDOWS: Final = upsert(
    "windows",
    ("device_id", "metric", "start", "seconds"),
    "revision",
    ("count", "mean", "min", "max", "last", "unit", "stored_at"),
)

# before what comes is written over them
KNOWN_WINDOWS: Final = """
    SELECT device_id, metric, start, seconds, revision, `count`, mean FROM windows
    WHERE (device_id, metric, start, seconds) IN %s"""
ADD_TO_FLEET: Final = """
    INSERT INTO fleet_windows (metric, start, `count`, total, `min`, `max`, stored_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON DUPLICATE KEY UPDATE `count` = `count` + VALUES(`count`), total = total + VALUES(total),
        `min` = LEAST(`min`, VALUES(`min`)), `max` = GREATEST(`max`, VALUES(`max`)),
        stored_at = VALUES(stored_at)"""

# In this order: an alert goes with its last event, and then its events do.
TIDY: Final = (
    "DELETE FROM alerts WHERE status = 'resolved' AND stored_at < %s LIMIT {limit}",
    "DELETE FROM alert_events WHERE stored_at < %s"
    " AND NOT EXISTS (SELECT 1 FROM alerts WHERE alerts.alert_id = alert_events.alert_id)"
    " LIMIT {limit}",
    "DELETE FROM windows WHERE stored_at < %s LIMIT {limit}",
    "DELETE FROM fleet_windows WHERE stored_at < %s LIMIT {limit}",
    "DELETE FROM devices WHERE stored_at < %s LIMIT {limit}",
)

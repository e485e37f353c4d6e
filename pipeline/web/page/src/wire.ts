// What comes over the wire in; what the page works with out. All of it is hostile: a field that
// isn't what it should be becomes something harmless here, and text is only ever shown as text.

export type Severity = "danger" | "warning" | "info";
export type Status = "online" | "late" | "offline";

export const SEVERITIES: readonly Severity[] = ["danger", "warning", "info"];
export const STATUSES: readonly Status[] = ["offline", "late", "online"]; // those in trouble first

export interface AlertEvent {
  alert_id: string;
  seq: number;
  device_id: string;
  title: string;
  message: string;
  severity: Severity;
  previous_severity: Severity | null;
  event: string;
  rule: string;
  reason: string;
  resolved: boolean;
  metric: string | null;
  value: number | null;
  threshold: number | null;
  unit: string;
  timestamp: string;
  started_at: string;
  resolved_at: string | null;
  detected_at: string;
  acked: boolean;
  acked_by: string;
  note: string;
  stale: boolean;
  suppressed: boolean;
  backlog: boolean;
}

export interface Reading {
  device_id: string;
  status: Status;
  timestamp: string;
  values: ReadonlyMap<string, number>;
}

export interface Bucket {
  start: number; // ms
  count: number;
  mean: number;
  min: number;
  max: number;
}

export interface Statistics {
  from: number; // ms
  to: number;
  seconds: number;
  ranges: string[]; // that the server keeps statistics for
  metrics: { name: string; unit: string; buckets: Bucket[] }[];
}

export interface Line {
  severity: Severity;
  value: number;
}

export type Fields = Record<string, unknown>;

export function fieldsOf(given: unknown): Fields {
  return typeof given === "object" && given !== null ? (given as Fields) : {};
}

function text(given: unknown): string {
  return typeof given === "string" ? given : given == null ? "" : String(given);
}

function number(given: unknown): number | null {
  return typeof given === "number" && Number.isFinite(given) ? given : null;
}

function one<T extends string>(of: readonly T[], given: unknown): T | undefined {
  return of.find((known) => known === given);
}

/** An alert's event, or null for what is none. */
export function alertEvent(given: unknown): AlertEvent | null {
  const fields = fieldsOf(given);
  const seq = number(fields.seq);
  const alertId = text(fields.alert_id);
  if (!alertId || seq === null) return null;
  const known = one(SEVERITIES, fields.severity);
  const resolved = fields.status === "resolved" || fields.event === "resolved";
  return {
    alert_id: alertId,
    seq,
    device_id: text(fields.device_id),
    title: text(fields.title),
    message: text(fields.message),
    severity: known ?? one(SEVERITIES, fields.type) ?? "info",
    previous_severity: one(SEVERITIES, fields.previous_severity) ?? null,
    event: text(fields.event),
    rule: text(fields.rule),
    reason: text(fields.reason),
    resolved,
    metric: text(fields.metric) || null,
    value: number(fields.value),
    threshold: number(fields.threshold),
    unit: text(fields.unit),
    timestamp: text(fields.timestamp),
    started_at: text(fields.started_at),
    resolved_at: text(fields.resolved_at) || null,
    detected_at: text(fields.detected_at),
    acked: fields.acked === true,
    acked_by: text(fields.acked_by),
    note: text(fields.note),
    stale: fields.stale === true,
    suppressed: fields.suppressed_by != null,
    backlog: fields.backlog === true,
  };
}

const NOT_METRICS = new Set(["device_id", "timestamp", "status", "type"]);

export function reading(given: unknown): Reading {
  const fields = fieldsOf(given);
  const values = new Map<string, number>();
  for (const [name, value] of Object.entries(fields)) {
    const known = number(value);
    if (known !== null && !NOT_METRICS.has(name)) values.set(name, known);
  }
  return {
    device_id: text(fields.device_id),
    status: one(STATUSES, fields.status) ?? "late",
    timestamp: text(fields.timestamp),
    values,
  };
}

export function readings(given: unknown): Reading[] {
  return Array.isArray(given) ? given.map(reading) : [];
}

export function alertsOf(given: unknown): AlertEvent[] {
  const listed = Array.isArray(given) ? given : fieldsOf(given).alerts;
  if (!Array.isArray(listed)) return [];
  return listed.map(alertEvent).filter((event) => event !== null);
}

export function statistics(given: unknown): Statistics {
  const fields = fieldsOf(given);
  const metrics = Object.entries(fieldsOf(fields.metrics)).map(([name, of]) => {
    const metric = fieldsOf(of);
    const listed = Array.isArray(metric.buckets) ? metric.buckets : [];
    const buckets = listed.map(bucket).filter((made) => made !== null);
    return { name, unit: text(metric.unit), buckets };
  });
  metrics.sort(byUse);
  return {
    from: Date.parse(text(fields.from)),
    to: Date.parse(text(fields.to)),
    seconds: number(fields.seconds) ?? 300,
    ranges: Array.isArray(fields.ranges) ? fields.ranges.map(text) : [],
    metrics,
  };
}

function bucket(given: unknown): Bucket | null {
  const fields = fieldsOf(given);
  const [start, mean] = [Date.parse(text(fields.start)), number(fields.mean)];
  if (Number.isNaN(start) || mean === null) return null;
  const [min, max] = [number(fields.min) ?? mean, number(fields.max) ?? mean];
  return { start, count: number(fields.count) ?? 0, mean, min, max };
}

/** The lines of the rules that hold for a device, by metric. */
export function linesOf(given: unknown): Map<string, Line[]> {
  const lines = new Map<string, Line[]>();
  for (const rule of Object.values(fieldsOf(fieldsOf(given).rules))) {
    const { metric, levels, of } = fieldsOf(rule);
    if (typeof metric !== "string" || !Array.isArray(levels) || of !== undefined) continue;
    for (const level of levels.map(fieldsOf)) {
      const value = number(level.above) ?? number(level.below);
      const severity = one(SEVERITIES, level.severity) ?? "info";
      if (value !== null) lines.set(metric, [...(lines.get(metric) ?? []), { severity, value }]);
    }
  }
  return lines;
}

export const USUAL_METRICS = ["temperature", "humidity", "battery"];
const UNITS: Record<string, string> = {
  temperature: "°C", humidity: "%", battery: "%", battery_voltage: "V", co2: "ppm",
};

/** Those that every viewer looks for come first. */
export function byUse(a: { name: string }, b: { name: string }): number {
  const place = ({ name }: { name: string }) => (USUAL_METRICS.indexOf(name) + 99) % 99;
  return place(a) - place(b) || a.name.localeCompare(b.name);
}

export function unitOf(metric: string): string {
  return Object.hasOwn(UNITS, metric) ? UNITS[metric]! : "";
}

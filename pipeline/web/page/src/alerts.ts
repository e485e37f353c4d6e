// Events of alerts in; the list that the page shows out: what is open first, newest first.
import { Store } from "./store";
import type { AlertEvent, Severity } from "./wire";

const MOST_RESOLVED = 200;
const MOST_REMEMBERED = 10_000; // alerts whose highest seq is known, so that none is shown twice

export interface Entry {
  event: AlertEvent;
  /** Open once, and not among the open ones any more when the line came back. */
  gone: boolean;
  /** Came live: shown with a movement. */
  fresh: boolean;
  hidden: boolean;
}

export function isOpen(entry: Entry): boolean {
  return !entry.event.resolved && !entry.gone;
}

export class Alerts extends Store {
  private entries = new Map<string, Entry>();
  private seqs = new Map<string, number>();
  private unconfirmed: Set<string> | null = null;
  private list: Entry[] | null = null;
  /** The stream has said what is open. */
  told = false;

  /** The line is there (again). Unless it goes on where it was, the open alerts follow. */
  begin(recovered: boolean): void {
    this.told = true;
    this.unconfirmed = recovered ? null : new Set(this.open().map(({ event }) => event.alert_id));
    this.changed();
  }

  /** Whether it is news. */
  take(event: AlertEvent): boolean {
    if (event.backlog) this.unconfirmed?.delete(event.alert_id);
    else this.confirm();
    return this.put(event, !event.backlog);
  }

  /** What the open alerts didn't name has ended while nobody told us. */
  confirm(): void {
    const ended = this.unconfirmed;
    this.unconfirmed = null;
    for (const id of ended ?? []) {
      const entry = this.entries.get(id);
      if (entry && isOpen(entry)) this.set(id, { ...entry, gone: true });
    }
  }

  /** What is over, of before the page was opened; what is open the stream tells. */
  recall(events: AlertEvent[]): void {
    for (const event of events) if (event.resolved && !event.suppressed) this.put(event, false);
  }

  get(alertId: string): Entry | undefined {
    return this.entries.get(alertId);
  }

  all(): Entry[] {
    this.list ??= [...this.entries.values()].sort(byTrouble);
    return this.list;
  }

  open(): Entry[] {
    return this.all().filter(isOpen);
  }

  counts(): Record<Severity, number> {
    const counts = { danger: 0, warning: 0, info: 0 };
    for (const { event } of this.open()) counts[event.severity] += 1;
    return counts;
  }

  /** Hides what is listed; it comes again with its next event, or when it is asked for. */
  clear(): void {
    for (const [id, entry] of this.entries) this.set(id, { ...entry, hidden: true });
  }

  showHidden(): void {
    for (const [id, entry] of this.entries) this.set(id, { ...entry, hidden: false });
  }

  private put(event: AlertEvent, fresh: boolean): boolean {
    const { alert_id: id, seq } = event;
    if (seq <= (this.seqs.get(id) ?? 0)) {
      const known = this.entries.get(id);
      if (known?.gone && event.backlog) this.set(id, { ...known, gone: false });
      return false;
    }
    this.remember(id, seq);
    this.set(id, { event, gone: false, fresh, hidden: false });
    this.forget();
    return true;
  }

  private set(id: string, entry: Entry): void {
    this.entries.set(id, entry);
    this.list = null;
    this.changed();
  }

  private remember(id: string, seq: number): void {
    this.seqs.delete(id); // to the end: the oldest are forgotten first
    this.seqs.set(id, seq);
    if (this.seqs.size > MOST_REMEMBERED) {
      for (const old of this.seqs.keys()) {
        const entry = this.entries.get(old);
        if (entry && isOpen(entry)) continue;
        this.seqs.delete(old);
        break;
      }
    }
  }

  private forget(): void {
    const ended = this.entries.size - MOST_RESOLVED;
    if (ended <= 0) return;
    const old = this.all().filter((entry) => !isOpen(entry)).slice(MOST_RESOLVED);
    for (const { event } of old) this.entries.delete(event.alert_id);
    if (old.length) this.list = null;
  }
}

/** The instant that an alert is listed by: when it began, and when it ended. */
export function instant({ event }: Entry): string {
  return event.resolved ? (event.resolved_at ?? event.timestamp) : event.started_at || event.timestamp;
}

function byTrouble(a: Entry, b: Entry): number {
  const open = Number(isOpen(b)) - Number(isOpen(a));
  if (open) return open;
  const [x, y] = [instant(a), instant(b)]; // one form of ISO 8601, UTC: text sorts by time
  return x < y ? 1 : x > y ? -1 : a.event.alert_id < b.event.alert_id ? -1 : 1;
}

// An alert in; the values of its metric around it out: asked for once somebody sees it, a few at a time.
import { get, Refused } from "./api";
import { type AlertEvent, statistics } from "./wire";

const BEFORE = 3_600_000;
export const AFTER = 30 * 60_000; // ms
const AT_ONCE = 2; // requests
const MOST_KEPT = 300;

export interface Span {
  from: number; // ms
  to: number;
  mean: number;
}

const known = new Map<string, Promise<readonly Span[]>>();
const queue: (() => Promise<void>)[] = [];
let running = 0;
let missing = false; // the view has no statistics: who asked once needn't ask again

export function around(event: AlertEvent): Promise<readonly Span[]> {
  const found = known.get(event.alert_id);
  if (found) return found;
  const asked = new Promise<readonly Span[]>((resolve) => {
    queue.push(async () => resolve(missing ? [] : await spans(event)));
    void work();
  });
  known.set(event.alert_id, asked);
  if (known.size > MOST_KEPT) known.delete(known.keys().next().value!);
  return asked;
}

async function work(): Promise<void> {
  if (running >= AT_ONCE) return;
  running += 1;
  for (let next = queue.shift(); next; next = queue.shift()) await next();
  running -= 1;
}

async function spans({ device_id, metric, timestamp, started_at }: AlertEvent): Promise<readonly Span[]> {
  const at = Date.parse(started_at || timestamp);
  if (Number.isNaN(at) || !metric) return [];
  const query = new URLSearchParams({
    device: device_id,
    metric,
    from: new Date(at - BEFORE).toISOString(),
    to: new Date(Math.min(at + AFTER, Date.now())).toISOString(),
  });
  try {
    const { metrics, seconds } = statistics(await get(`api/stats/?${query}`));
    const buckets = metrics.find(({ name }) => name === metric)?.buckets ?? [];
    return buckets.map(({ start, mean }) => ({ from: start, to: start + seconds * 1_000, mean }));
  } catch (error) {
    if (error instanceof Refused && error.status === 404) missing = true;
    return [];
  }
}

// The newest readings in, poll after poll; the last values of the devices that somebody looks at out.
import { Store } from "./store";
import type { Reading } from "./wire";

export type Point = readonly [ms: number, value: number];

const LONGEST = 240; // points a metric
const MOST_DEVICES = 500; // the oldest is forgotten first

export class Trails extends Store {
  private trails = new Map<string, Map<string, Point[]>>();

  watch(device: string): void {
    const known = this.trails.get(device) ?? new Map<string, Point[]>();
    this.trails.delete(device);
    this.trails.set(device, known);
    if (this.trails.size > MOST_DEVICES) this.trails.delete(this.trails.keys().next().value!);
  }

  note(readings: readonly Reading[]): void {
    let news = false;
    for (const { device_id, timestamp, values } of readings) {
      const trail = this.trails.get(device_id);
      const at = Date.parse(timestamp);
      if (!trail || Number.isNaN(at)) continue;
      for (const [metric, value] of values) news = add(trail, metric, [at, value]) || news;
    }
    if (news) this.changed();
  }

  of(device: string, metric: string): readonly Point[] {
    return this.trails.get(device)?.get(metric) ?? [];
  }

  metrics(device: string): string[] {
    return [...(this.trails.get(device)?.keys() ?? [])];
  }
}

function add(trail: Map<string, Point[]>, metric: string, point: Point): boolean {
  const points = trail.get(metric) ?? [];
  const last = points.at(-1);
  if (last && last[0] >= point[0]) return false;
  trail.set(metric, [...points.slice(1 - LONGEST), point]);
  return true;
}

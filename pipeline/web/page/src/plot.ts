// What a chart shows in; uPlot's columns and its scale out. No DOM here.
import type { Point } from "./trails";
import type { Bucket, Line } from "./wire";

export type Column = (number | null)[];
export type Columns = [x: number[], mean: Column, max: Column, min: Column];

/** Buckets at their middles, with a hole where one is missing, and then the newest values: single
    ones, without a band. */
export function columns(buckets: readonly Bucket[], seconds: number, trail: readonly Point[]): Columns {
  const made: Columns = [[], [], [], []];
  let before: number | null = null;
  for (const { start, mean, min, max } of buckets) {
    if (before !== null && start - before > seconds * 1_500) add(made, (before + start) / 2_000 + seconds / 2, null, null, null);
    add(made, start / 1_000 + seconds / 2, mean, max, min);
    before = start;
  }
  const after = made[0].at(-1) ?? -Infinity;
  for (const [ms, value] of trail) if (ms / 1_000 > after) add(made, ms / 1_000, value, null, null);
  return made;
}

function add([x, means, highs, lows]: Columns, at: number, mean: number | null, max: number | null, min: number | null): void {
  x.push(at);
  means.push(mean);
  highs.push(max);
  lows.push(min);
}

export interface Extent {
  low: number;
  high: number;
}

export function extent([, means, highs, lows]: Columns): Extent | null {
  let [low, high] = [Infinity, -Infinity];
  for (const value of [...means, ...highs, ...lows]) {
    if (value === null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? { low, high } : null;
}

const REACH = 2.5; // times the span of the values: a threshold further away than this isn't waited for

/** Room for the values, and for the thresholds that are near: one far away would flatten them. */
export function scaleOf(of: Extent | null, lines: readonly Line[]): [number, number] {
  if (!of) return [0, 1];
  const span = Math.max(of.high - of.low, Math.abs(of.low + of.high) * 0.06, 0.5);
  let { low, high } = of;
  for (const { value } of lines) {
    if (value > of.high && value - of.high < span * REACH) high = Math.max(high, value);
    if (value < of.low && of.low - value < span * REACH) low = Math.min(low, value);
  }
  const edge = Math.max(high - low, span * 0.5) * 0.1;
  return [low - edge, high + edge];
}

/** The mean at an instant, between its neighbours; null in a hole. */
export function valueAt([x, means]: Columns, at: number): number | null {
  const next = x.findIndex((time) => time >= at);
  if (next === -1) return means.at(-1) ?? null;
  const [to, from] = [means[next] ?? null, next > 0 ? (means[next - 1] ?? null) : null];
  if (from === null || to === null) return to ?? from;
  const share = (at - x[next - 1]!) / (x[next]! - x[next - 1]! || 1);
  return from + (to - from) * share;
}

// An alert in; the values around it as a small line out, with the threshold and the moment itself.
import { useEffect, useRef, useState } from "react";

import { AFTER, around, type Span } from "./around";
import { trails } from "./model";
import { useStore } from "./store";
import type { Point } from "./trails";
import type { AlertEvent } from "./wire";

const WIDTH = 96, HEIGHT = 28, EDGE = 3;

export function Sparkline({ event }: { event: AlertEvent }) {
  useStore(trails);
  const place = useRef<HTMLSpanElement>(null);
  const [before, setBefore] = useState<readonly Span[]>([]);
  const { alert_id: id, metric } = event;
  useEffect(() => {
    if (!metric || !place.current) return;
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      void around(event).then(setBefore);
    });
    seen.observe(place.current);
    return () => seen.disconnect();
    // of one alert: what it says later moves no value that was before
  }, [id, metric]);
  return <span ref={place} className="sparkline">{metric && <Drawn event={event} points={joined(before, event)} />}</span>;
}

/** The event's own value, what the polls have brought since, and statistics where neither tells. */
function joined(before: readonly Span[], { timestamp, started_at, value, device_id, metric }: AlertEvent): Point[] {
  const [at, began] = [Date.parse(timestamp), Date.parse(started_at)];
  const own: Point[] = value === null || Number.isNaN(at) ? [] : [[at, value]];
  const until = Math.max(at, began) + AFTER;
  const polled = trails.of(device_id, metric ?? "").filter(([ms]) => ms > began - AFTER && ms < until);
  const known = [...own, ...polled].map(([ms]) => ms);
  const [first, last] = [Math.min(...known), Math.max(...known)];
  const told = before.filter(({ from, to }) => to <= first || from >= last);
  const middles = told.map(({ from, to, mean }): Point => [(from + to) / 2, mean]);
  return [...middles, ...own, ...polled].sort((a, b) => a[0] - b[0]);
}

function Drawn({ event, points }: { event: AlertEvent; points: Point[] }) {
  if (points.length < 3) return null; // no line yet, and two points look like one
  const lines = event.threshold === null ? [] : [event.threshold];
  const values = [...points.map(([, value]) => value), ...lines];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [from, to] = [points[0]![0], points.at(-1)![0]];
  const x = (ms: number) => EDGE + ((ms - from) / (to - from || 1)) * (WIDTH - 2 * EDGE);
  const y = (value: number) => HEIGHT - EDGE - ((value - low) / (high - low || 1)) * (HEIGHT - 2 * EDGE);
  const path = points.map(([ms, value]) => `${x(ms).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const began = Date.parse(event.started_at);
  const mark = points.reduce((best, point) => (Math.abs(point[0] - began) < Math.abs(best[0] - began) ? point : best));
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} aria-hidden="true">
      {lines.map((line) => <path key={line} className="limit" d={`M0 ${y(line).toFixed(1)}H${WIDTH}`} />)}
      <polyline points={path} />
      <circle cx={x(mark[0])} cy={y(mark[1])} r="2.6" />
    </svg>
  );
}

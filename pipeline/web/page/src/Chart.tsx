// One metric's buckets in; its mean and the band from the lowest to the highest out, with the
// thresholds drawn in and the alerts as marks on the line.
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import uPlot from "uplot";

import { day, decimalsOf, measured, minute, number } from "./format";
import { type Columns, columns, extent, scaleOf, valueAt } from "./plot";
import type { Point } from "./trails";
import type { Bucket, Line, Severity } from "./wire";
import { metricName, useWords, type Words } from "./words";

export interface Mark {
  at: number; // ms
  until: number | null;
  severity: Severity;
  metric: string | null;
}

interface Props {
  metric: string;
  unit: string;
  buckets: readonly Bucket[];
  seconds: number;
  from: number; // ms
  to: number;
  lines: readonly Line[];
  marks: readonly Mark[];
  trail: readonly Point[];
}

interface Drawn {
  data: Columns;
  from: number;
  to: number;
  range: [number, number];
  lines: readonly Line[];
  marks: readonly Mark[];
}

const HEIGHT = 150;
const FONT = "11px Inter, system-ui, sans-serif";
const DAY = 86_400_000;

export function Chart({ metric, unit, buckets, seconds, from, to, lines, marks, trail }: Props) {
  const spoken = useWords();
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const [reading, setReading] = useState(false);
  const id = useId();
  const drawn = useMemo<Drawn>(() => {
    const data = columns(buckets, seconds, trail);
    const end = Math.max(to, trail.at(-1)?.[0] ?? 0);
    return { data, from, to: end, range: scaleOf(extent(data), lines), lines, marks };
  }, [buckets, seconds, trail, from, to, lines, marks]);
  const latest = useRef(drawn);
  latest.current = drawn;

  useEffect(() => {
    const made = new uPlot(options(latest, place.current!.clientWidth, setAt), [[], [], [], []], place.current!);
    plot.current = made;
    const sized = new ResizeObserver(() => made.setSize({ width: place.current!.clientWidth, height: HEIGHT }));
    sized.observe(place.current!);
    const recolour = () => made.redraw(false);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("recolour", recolour);
    scheme.addEventListener("change", recolour);
    return () => {
      sized.disconnect();
      removeEventListener("recolour", recolour);
      scheme.removeEventListener("change", recolour);
      made.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(drawn.data), [drawn]);

  const shown = at ?? lastOf(drawn.data);
  const press = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const x = drawn.data[0];
    if (!step || !plot.current || x.length === 0) return;
    event.preventDefault();
    setReading(true);
    const next = Math.max(0, Math.min(x.length - 1, (shown ?? x.length) + step));
    plot.current.setCursor({ left: plot.current.valToPos(x[next]!, "x"), top: 1 });
  };
  const leave = () => {
    setReading(false);
    plot.current?.setCursor({ left: -10, top: -10 });
  };
  return (
    <figure className="chart" data-metric={metric}>
      <figcaption>
        <span className="name" id={id}>{metricName(metric, spoken)}</span>
        <span className="readout" aria-live={reading ? "polite" : "off"}>
          {shown !== null && <Readout data={drawn.data} index={shown} unit={unit} metric={metric} spoken={spoken} />}
        </span>
      </figcaption>
      <div ref={place} className="plot" role="img" tabIndex={0} onKeyDown={press} onBlur={leave}
        aria-label={summary(drawn.data, metric, unit, spoken)} />
    </figure>
  );
}

function lastOf([, means]: Columns): number | null {
  const last = means.findLastIndex((mean) => mean !== null);
  return last === -1 ? null : last;
}

interface ReadoutProps {
  data: Columns;
  index: number;
  unit: string;
  metric: string;
  spoken: Words;
}

function Readout({ data: [x, means, highs, lows], index, unit, metric, spoken }: ReadoutProps) {
  const [mean, high, low] = [means[index] ?? null, highs[index] ?? null, lows[index] ?? null];
  if (mean === null) return null;
  const places = decimalsOf(metric);
  return (
    <>
      <strong>{measured(round(mean), unit, places)}</strong>
      {low !== null && high !== null && high > low && (
        <span title={`${spoken.lowest} – ${spoken.highest}`}>{`${number(round(low), places)} – ${number(round(high), places)}`}</span>
      )}
      <span className="when">{when(x[index]! * 1_000)}</span>
    </>
  );
}

function round(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 10) / 10;
}

function when(ms: number): string {
  return Date.now() - ms > DAY ? `${day(ms)} ${minute(ms)}` : minute(ms);
}

function summary(data: Columns, metric: string, unit: string, spoken: Words): string {
  const [name, of, last] = [metricName(metric, spoken), extent(data), lastOf(data)];
  if (!of || last === null) return `${name}: ${spoken.noStatsYet}`;
  const said = (value: number) => measured(round(value), unit, decimalsOf(metric));
  return spoken.chartSays(name, said(of.low), said(of.high), said(data[1][last]!));
}

// How it is drawn. Colours are asked for each time: a theme may have changed them.

type Latest = { current: Drawn };

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
}

function options(latest: Latest, width: number, hovered: (index: number | null) => void): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: () => colour("soft"), font: FONT, ticks: { show: false },
    grid: { stroke: () => colour("line"), width: 1 },
  };
  const edge = { stroke: "transparent", width: 0, points: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [6, 4, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "time" }, drag: { x: false, y: false }, y: false, points: { size: 7 } },
    scales: {
      x: { range: () => [latest.current.from / 1_000, latest.current.to / 1_000] },
      y: { range: () => latest.current.range },
    },
    axes: [
      { ...axis, size: 22, gap: 4, space: 80, values: (_, splits) => splits.map((at) => tick(at * 1_000, latest.current)) },
      { ...axis, size: 38, gap: 6, space: 32, values: (_, splits) => splits.map((value) => number(value)) },
    ],
    series: [
      {},
      { stroke: () => colour("accent"), width: 1.75, points: { show: isSparse, size: 4, fill: () => colour("accent") } },
      edge,
      edge,
    ],
    bands: [{ series: [2, 3], fill: () => colour("band") }],
    hooks: {
      drawAxes: [(plot) => clipped(plot, () => drawEpisodes(plot, latest.current))],
      draw: [(plot) => clipped(plot, () => { drawLines(plot, latest.current); drawMarks(plot, latest.current); })],
      setCursor: [(plot) => hovered(plot.cursor.idx ?? null)],
    },
  };
}

/** Too few for a line to show. */
function isSparse(plot: uPlot): boolean {
  return plot.data[0].length < 3;
}

function tick(ms: number, { from, to }: Drawn): string {
  return to - from > 2 * DAY ? day(ms) : minute(ms);
}

function clipped({ ctx, bbox }: uPlot, draw: () => void): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw();
  ctx.restore();
}

function drawEpisodes(plot: uPlot, { marks, to }: Drawn): void {
  const { ctx, bbox } = plot;
  for (const { at, until, severity } of marks) {
    const [left, right] = [plot.valToPos(at / 1_000, "x", true), plot.valToPos((until ?? to) / 1_000, "x", true)];
    ctx.fillStyle = colour(`${severity}-back`);
    ctx.fillRect(left, bbox.top, Math.max(1, right - left), bbox.height);
  }
}

function drawLines(plot: uPlot, { lines, range: [low, high] }: Drawn): void {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  ctx.lineWidth = scale;
  ctx.textAlign = "left";
  ctx.font = `600 ${10 * scale}px Inter, system-ui, sans-serif`;
  for (const { severity, value } of lines) {
    ctx.strokeStyle = ctx.fillStyle = colour(severity);
    if (value < low || value > high) continue;
    const y = plot.valToPos(value, "y", true);
    ctx.setLineDash([5 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    const below = y - bbox.top < 14 * scale;
    ctx.textBaseline = below ? "top" : "bottom";
    ctx.fillText(number(value), bbox.left + 4 * scale, y + (below ? 2 : -2) * scale);
  }
  ctx.setLineDash([]);
}

function drawMarks(plot: uPlot, { marks, data, from, to }: Drawn): void {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  for (const { at, severity } of marks) {
    if (at < from || at > to) continue;
    const value = valueAt(data, at / 1_000);
    const x = plot.valToPos(at / 1_000, "x", true);
    const y = value === null ? bbox.top + bbox.height - 6 * scale : plot.valToPos(value, "y", true);
    ctx.beginPath();
    ctx.arc(x, y, 4.5 * scale, 0, 2 * Math.PI);
    ctx.fillStyle = colour(severity);
    ctx.strokeStyle = colour("card");
    ctx.lineWidth = 2 * scale;
    ctx.fill();
    ctx.stroke();
  }
}


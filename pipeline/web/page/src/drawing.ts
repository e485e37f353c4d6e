// What a chart shows in; how uPlot draws it out: the mean and its band, thresholds, alerts.
import type uPlot from "uplot";

import { DAY, day, minute, number } from "./format";
import { type Columns, valueAt } from "./plot";
import type { Line, Severity } from "./wire";

export const HEIGHT = 150;
const FONT = "11px Inter, system-ui, sans-serif";

export interface Mark {
  at: number; // ms
  until: number | null;
  severity: Severity;
  metric: string | null;
}

export interface Drawn {
  data: Columns;
  from: number;
  to: number;
  range: [number, number];
  lines: readonly Line[];
  marks: readonly Mark[];
}

type Latest = { current: Drawn };

/** Asked for each time: a theme may have changed it. */
function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
}

export function options(latest: Latest, width: number, hovered: (index: number | null) => void): uPlot.Options {
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


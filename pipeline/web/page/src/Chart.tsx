// One metric's buckets in; its mean and the band from the lowest to the highest out, with the
// thresholds drawn in and the alerts as marks on the line.
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import uPlot from "uplot";

import { decimalsOf, measured, number, when } from "./format";
import { type Drawn, HEIGHT, type Mark, options } from "./drawing";
import { type Columns, columns, extent, scaleOf } from "./plot";
import type { Point } from "./trails";
import type { Bucket, Line } from "./wire";
import { metricName, useWords, type Words } from "./words";

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

function summary(data: Columns, metric: string, unit: string, spoken: Words): string {
  const [name, of, last] = [metricName(metric, spoken), extent(data), lastOf(data)];
  if (!of || last === null) return `${name}: ${spoken.noStatsYet}`;
  const said = (value: number) => measured(round(value), unit, decimalsOf(metric));
  return spoken.chartSays(name, said(of.low), said(of.high), said(data[1][last]!));
}

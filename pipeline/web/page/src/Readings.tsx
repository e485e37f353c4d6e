// The newest reading of every device: those in trouble first, and only the rows that are seen drawn,
// so that five thousand devices are as smooth as five.
import { type KeyboardEvent, memo, useEffect, useLayoutEffect, useRef, useState } from "react";

import { decimalsOf, measured, number } from "./format";
import { pathOf, type Polled, useMedia } from "./hooks";
import { Icon } from "./icons";
import { Age } from "./Moment";
import { type Reading, type Status, STATUSES, unitOf, USUAL_METRICS } from "./wire";
import { metricName, useWords, type Words } from "./words";

const ROW = 38, TALL_ROW = 66; // px
const BEYOND = 8; // rows drawn above and below what is seen
const MOST_OTHERS = 4; // further metrics of a device that are shown

const collator = new Intl.Collator(undefined, { numeric: true });

export interface Filter {
  text: string;
  status: Status | null;
  setText: (text: string) => void;
  setStatus: (status: Status | null) => void;
}

export function useFilter(): Filter {
  const [text, setText] = useState("");
  const [status, setStatus] = useState<Status | null>(null);
  return { text, status, setText, setStatus };
}

export function arranged(items: readonly Reading[], { text, status }: Filter): Reading[] {
  const part = text.trim().toLowerCase();
  const wanted = items.filter(
    (item) => (status === null || item.status === status) && item.device_id.toLowerCase().includes(part),
  );
  const place = new Map(STATUSES.map((name, number) => [name, number]));
  return wanted.sort(
    (a, b) => place.get(a.status)! - place.get(b.status)! || collator.compare(a.device_id, b.device_id),
  );
}

export function Readings({ polled, filter }: { polled: Polled<Reading[]>; filter: Filter }) {
  const spoken = useWords();
  const items = polled.data ?? [];
  const rows = arranged(items, filter);
  const bad = polled.problem !== null;
  return (
    <section className="card readings" aria-labelledby="readings-title">
      <div className="bar">
        <h2 id="readings-title">{spoken.readings}</h2>
        <p id="readings-state" className="note" data-bad={bad} role="status">{stateOf(polled, rows.length, spoken)}</p>
        <label className="search">
          <Icon name="search" />
          <input id="search" type="search" value={filter.text} aria-label={spoken.search} placeholder={spoken.searchHint}
            onChange={(event) => filter.setText(event.target.value)} />
        </label>
        {filter.status !== null && (
          <button type="button" className="chip" aria-pressed="true" onClick={() => filter.setStatus(null)}>
            {spoken[filter.status]} ×
          </button>
        )}
      </div>
      {rows.length > 0 ? (
        <Table rows={rows} stale={bad} spoken={spoken} />
      ) : (
        <p id="readings-empty" className="empty">
          {items.length ? spoken.noDevice : polled.data ? spoken.noReadings : spoken.reading}
        </p>
      )}
    </section>
  );
}

function stateOf({ data, problem }: Polled<Reading[]>, shown: number, spoken: Words): string {
  if (problem !== null) return problem || spoken.noAnswer;
  if (!data) return spoken.reading;
  const all = spoken.nDevices(number(data.length), data.length === 1);
  return shown < data.length ? spoken.nOf(number(shown), all) : all;
}

function Table({ rows, stale, spoken }: { rows: Reading[]; stale: boolean; spoken: Words }) {
  const height = useMedia("(max-width: 40rem)") ? TALL_ROW : ROW;
  const scroll = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ top: 0, height: 800 });
  const [at, setAt] = useState<string | null>(null);
  const look = () => {
    const box = scroll.current;
    if (box) setSeen({ top: box.scrollTop, height: box.clientHeight });
  };
  useLayoutEffect(look, []);
  useEffect(() => {
    const sized = new ResizeObserver(look);
    if (scroll.current) sized.observe(scroll.current);
    return () => sized.disconnect();
  }, []);

  const chosen = at === null ? -1 : rows.findIndex((row) => row.device_id === at);
  const first = Math.max(0, Math.floor(seen.top / height) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((seen.top + seen.height) / height) + BEYOND);
  const choose = (index: number) => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
    const box = scroll.current;
    if (!row || !box) return;
    setAt(row.device_id);
    const [top, above] = [rows.indexOf(row) * height, head.current?.clientHeight ?? 0];
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + height + above > box.scrollTop + box.clientHeight) box.scrollTop = top + height + above - box.clientHeight;
  };
  const press = (event: KeyboardEvent) => {
    const screen = Math.max(1, Math.floor(seen.height / height) - 2);
    const steps: Record<string, number> = {
      ArrowDown: chosen + 1, ArrowUp: chosen - 1, PageDown: chosen + screen, PageUp: chosen - screen,
      Home: 0, End: rows.length - 1,
    };
    const row = rows[chosen];
    if (event.key === "Enter" && row) location.hash = pathOf(row.device_id);
    else if (event.key in steps) choose(steps[event.key]!);
    else return;
    event.preventDefault();
  };
  return (
    <div ref={scroll} id="readings" className="scroll grid" role="grid" aria-labelledby="readings-title" tabIndex={0}
      aria-rowcount={rows.length + 1} aria-activedescendant={chosen >= first && chosen < last ? `row-${chosen}` : undefined}
      data-stale={stale} onScroll={look} onKeyDown={press}>
      <div ref={head} role="rowgroup" className="thead">
        <div role="row" aria-rowindex={1} className="row">
          <span role="columnheader">{spoken.device}</span>
          <span role="columnheader">{spoken.status}</span>
          {USUAL_METRICS.map((name) => <span key={name} role="columnheader" className="number">{metricName(name, spoken)}</span>)}
          <span role="columnheader">{spoken.others}</span>
          <span role="columnheader" className="number">{spoken.lastReading}</span>
        </div>
      </div>
      <div role="rowgroup" className="rows" style={{ height: rows.length * height }}>
        {rows.slice(first, last).map((item, number) => (
          <Row key={item.device_id} item={item} index={first + number} height={height} spoken={spoken}
            chosen={first + number === chosen} />
        ))}
      </div>
    </div>
  );
}

interface RowProps {
  item: Reading;
  index: number;
  height: number;
  chosen: boolean;
  spoken: Words;
}

const Row = memo(function Row({ item, index, height, chosen, spoken }: RowProps) {
  return (
    <div role="row" id={`row-${index}`} aria-rowindex={index + 2} aria-selected={chosen} className="row"
      data-odd={index % 2 === 1} style={{ transform: `translateY(${index * height}px)`, height }}>
      <span role="rowheader" className="device" title={item.device_id}>
        <a href={pathOf(item.device_id)} tabIndex={-1}>{item.device_id}</a>
      </span>
      <span role="gridcell"><span className="status" data-status={item.status}>{spoken[item.status]}</span></span>
      {USUAL_METRICS.map((name) => {
        const value = item.values.get(name);
        return (
          <span key={name} role="gridcell" className="number" data-label={metricName(name, spoken)}>
            {value === undefined ? "" : measured(value, unitOf(name), decimalsOf(name))}
          </span>
        );
      })}
      <span role="gridcell" className="others">{others(item, spoken)}</span>
      <span role="gridcell" className="number age"><Age at={item.timestamp} /></span>
    </div>
  );
});

function others({ values }: Reading, spoken: Words): string {
  const further = [...values].filter(([name]) => !USUAL_METRICS.includes(name));
  const shown = further.slice(0, MOST_OTHERS).map(([name, value]) => `${metricName(name, spoken)} ${measured(value, unitOf(name))}`);
  return shown.join(" · ") + (further.length > MOST_OTHERS ? " …" : "");
}

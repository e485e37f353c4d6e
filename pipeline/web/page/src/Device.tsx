// One device: what it says now, its charts with the lines that hold for it, and its alerts.
import { useEffect, useMemo, useRef } from "react";

import { AlertList } from "./AlertList";
import { Charts } from "./Charts";
import type { Mark } from "./drawing";
import { decimalsOf, measured } from "./format";
import { usePoll } from "./hooks";
import { Icon } from "./icons";
import { alerts, recall, trails } from "./model";
import { Age } from "./Moment";
import { useStore } from "./store";
import { byUse, reading, unitOf } from "./wire";
import { metricName, useWords } from "./words";

const POLL = 5_000; // ms

export function Device({ id }: { id: string }) {
  const spoken = useWords();
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    trails.watch(id);
    void recall(id);
    title.current?.focus();
    scrollTo(0, 0);
  }, [id]);
  const { data, problem, missing } = usePoll(`api/readings/latest/${encodeURIComponent(id)}/`, POLL, reading);
  useEffect(() => trails.note(data ? [data] : []), [data]);
  const marks = useMarks(id);
  const values = data ? [...data.values].map(([name, value]) => ({ name, value })).sort(byUse) : [];
  return (
    <main className="device">
      <section className="card about" aria-labelledby="device-title">
        <a className="back" href="#/"><Icon name="back" />{spoken.back}</a>
        <div className="who">
          <h2 id="device-title" ref={title} tabIndex={-1}>{id}</h2>
          {data && !missing && <span className="status" data-status={data.status}>{spoken[data.status]}</span>}
          {data && <span className="note">{spoken.lastReading}: <Age at={data.timestamp} /></span>}
          {problem !== null && (
            <span className="note" data-bad="true" role="status">
              {missing ? spoken.unknownDevice : problem || spoken.noAnswer}
            </span>
          )}
        </div>
        {values.length > 0 && (
          <dl className="values">
            {values.map(({ name, value }) => (
              <div key={name}>
                <dt>{metricName(name, spoken)}</dt>
                <dd>{measured(value, unitOf(name), decimalsOf(name))}</dd>
              </div>
            ))}
          </dl>
        )}
      </section>
      <Charts device={id} marks={marks} />
      <AlertList device={id} />
    </main>
  );
}

function useMarks(device: string): readonly Mark[] {
  const version = useStore(alerts);
  return useMemo(
    () =>
      alerts.all().flatMap(({ event, gone }) => {
        const at = Date.parse(event.started_at);
        if (event.device_id !== device || Number.isNaN(at)) return [];
        const end = event.resolved ? Date.parse(event.resolved_at ?? event.timestamp) : gone ? at : null;
        return [{ at, until: end, severity: event.severity, metric: event.metric }];
      }),
    [device, version],
  );
}

// A device, or none for all of them, in; a chart of each of its metrics out, asked for anew every 30 s.
import { useState } from "react";

import { Chart } from "./Chart";
import type { Mark } from "./drawing";
import { when } from "./format";
import { type Polled, usePoll } from "./hooks";
import { trails } from "./model";
import { useStore } from "./store";
import { linesOf, type Bucket, byUse, type Statistics, statistics, unitOf } from "./wire";
import { useWords, type Words } from "./words";

const POLL = 30_000, RULES_POLL = 300_000; // ms
const AT_A_GLANCE = 3; // metrics of the fleet
const RANGES = { "1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000, "30d": 2_592_000_000 };
const SAID = { "1h": "hour", "24h": "day", "7d": "week", "30d": "month" } as const;
const USUAL: readonly string[] = ["1h", "24h", "7d"]; // of which every server keeps some

type Range = keyof typeof RANGES;

interface Drawn {
  name: string;
  unit: string;
  buckets: Bucket[];
}

export function Charts({ device, marks }: { device: string | null; marks?: readonly Mark[] }) {
  const spoken = useWords();
  useStore(trails);
  const [range, setRange] = useState<Range>(device === null ? "24h" : "1h");
  const [all, setAll] = useState(device !== null);
  const of = device === null ? "" : `device=${encodeURIComponent(device)}`;
  const path = `api/stats/?range=${range}${of && `&${of}`}`;
  const stats = usePoll(path, POLL, statistics);
  const rules = usePoll(`api/rules/${of && `?${of}`}`, RULES_POLL, linesOf);

  const known: Drawn[] = stats.data?.metrics ?? [];
  const drawn = [...known, ...onlyTrails(device, known)].sort(byUse);
  const offered = [...USUAL, range, ...(stats.data?.ranges ?? [])];
  const shown = all ? drawn : drawn.slice(0, AT_A_GLANCE);
  const to = stats.data && Number.isFinite(stats.data.to) ? stats.data.to : Date.now();
  const from = to - RANGES[range];
  const asked = stats.of === path ? from : to; // no more than it answers, while another one is on its way
  return (
    <section className="card charts" aria-labelledby="charts-title">
      <div className="bar">
        <h2 id="charts-title" title={device === null ? spoken.wholeFleet : undefined}>{spoken.charts}</h2>
        <p className="note">{shown.length || !stats.missing ? note(stats, asked, spoken) : ""}</p>
        {drawn.length > AT_A_GLANCE && device === null && (
          <button type="button" className="quiet" aria-expanded={all} onClick={() => setAll(!all)}>
            {all ? spoken.fewer : spoken.moreMetrics(drawn.length - AT_A_GLANCE)}
          </button>
        )}
        <div className="ranges" role="group" aria-label={spoken.range}>
          {(Object.keys(RANGES) as Range[]).filter((one) => offered.includes(one)).map((one) => (
            <button key={one} type="button" aria-pressed={one === range} aria-label={spoken[`${SAID[one]}Long`]}
              onClick={() => setRange(one)}>{spoken[SAID[one]]}</button>
          ))}
        </div>
      </div>
      {shown.length > 0 ? (
        <div className="panels">
          {shown.map(({ name, unit, buckets }) => (
            <Chart key={name} metric={name} unit={unit || unitOf(name)} buckets={buckets} seconds={stats.data?.seconds ?? 300}
              from={from} to={to} lines={rules.data?.get(name) ?? []} marks={marksOf(marks, name)}
              trail={device === null ? [] : trails.of(device, name)} />
          ))}
        </div>
      ) : (
        <p className="empty small">{stats.missing ? spoken.noStats : stats.data ? spoken.noStatsYet : spoken.reading}</p>
      )}
    </section>
  );
}

/** What no statistics know yet: the values that came since the page was opened. */
function onlyTrails(device: string | null, known: Drawn[]): Drawn[] {
  if (device === null) return [];
  const names = trails.metrics(device).filter((name) => !known.some((drawn) => drawn.name === name));
  return names.map((name) => ({ name, unit: "", buckets: [] }));
}

/** What concerns no one metric, as silence does, is marked on all. */
function marksOf(marks: readonly Mark[] | undefined, name: string): readonly Mark[] {
  return marks?.filter(({ metric }) => metric === null || metric === name) ?? [];
}

/** What is wrong, or where the answer begins, if that is later than what was asked for. */
function note({ problem, missing, data }: Polled<Statistics>, asked: number, spoken: Words): string {
  if (missing) return spoken.noStats;
  if (problem !== null) return problem || spoken.noAnswer;
  return data && data.from > asked + data.seconds * 1_000 ? spoken.wholeSince(when(data.from)) : "";
}

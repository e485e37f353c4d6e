// The newest readings in; how many alerts are open and how the devices do, at a glance, out.
import { number } from "./format";
import { alerts } from "./model";
import type { Filter } from "./Readings";
import { useStore } from "./store";
import { type Reading, SEVERITIES, type Status, STATUSES } from "./wire";
import { useWords } from "./words";

export function Fleet({ items, filter }: { items: Reading[] | null; filter: Filter }) {
  const spoken = useWords();
  useStore(alerts);
  const counts = alerts.counts();
  const open = counts.danger + counts.warning + counts.info;
  return (
    <section className="fleet card" aria-label={spoken.fleet}>
      <div className="tile" data-tone={open ? (SEVERITIES.find((one) => counts[one]) ?? "info") : "good"}>
        <span className="name">{spoken.openAlerts}</span>
        <span className="count" id="count-open">{alerts.told ? number(open) : "–"}</span>
        <span className="detail">
          {SEVERITIES.filter((one) => counts[one]).map((one) => (
            <span key={one} data-tone={one}>{`${number(counts[one])} ${spoken[one].toLowerCase()}`}</span>
          ))}
        </span>
      </div>
      <div className="tile">
        <span className="name">{spoken.devices}</span>
        <span className="count" id="count-devices">{items ? number(items.length) : "–"}</span>
        {items && items.length > 0 && <Shares items={items} />}
      </div>
      {STATUSES.toReversed().map((status) => (
        <StatusTile key={status} status={status} items={items} filter={filter} />
      ))}
    </section>
  );
}

function count(items: Reading[], status: Status): number {
  return items.filter((item) => item.status === status).length;
}

function Shares({ items }: { items: Reading[] }) {
  return (
    <svg className="shares" viewBox={`0 0 ${items.length} 1`} preserveAspectRatio="none" aria-hidden="true">
      {STATUSES.toReversed().reduce<{ at: number; drawn: React.ReactNode[] }>(
        ({ at, drawn }, status) => {
          const width = count(items, status);
          return { at: at + width, drawn: [...drawn, <rect key={status} data-status={status} x={at} width={width} height="1" />] };
        },
        { at: 0, drawn: [] },
      ).drawn}
    </svg>
  );
}

function StatusTile({ status, items, filter }: { status: Status; items: Reading[] | null; filter: Filter }) {
  const spoken = useWords();
  const many = items ? count(items, status) : null;
  const chosen = filter.status === status;
  return (
    <button type="button" className="tile" data-status={status} data-some={Boolean(many)} aria-pressed={chosen}
      title={spoken.only(spoken[status])} onClick={() => filter.setStatus(chosen ? null : status)}>
      <span className="name">{spoken[status]}</span>
      <span className="count" id={`count-${status}`}>{many === null ? "–" : number(many)}</span>
    </button>
  );
}

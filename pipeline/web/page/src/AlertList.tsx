// The alerts, of all devices or of one: what is open first, with a filter, and nothing ever deleted.
import { useState } from "react";

import { AlertCard } from "./AlertCard";
import { isOpen, type Entry } from "./alerts";
import { Icon } from "./icons";
import { alerts } from "./model";
import { titleOf } from "./said";
import { useStore } from "./store";
import { type AlertEvent, SEVERITIES, type Severity } from "./wire";
import { useWords, type Words } from "./words";

const PAGE = 50; // cards at first, and as many more each time

export function AlertList({ device }: { device: string | null }) {
  const spoken = useWords();
  useStore(alerts);
  const [text, setText] = useState("");
  const [severities, setSeverities] = useState<ReadonlySet<Severity>>(new Set());
  const [openOnly, setOpenOnly] = useState(false);
  const [most, setMost] = useState(PAGE);

  const ours = alerts.all().filter(({ event }) => device === null || event.device_id === device);
  const visible = device === null ? ours.filter((entry) => !entry.hidden) : ours;
  const wanted = visible.filter(
    (entry) =>
      (!openOnly || isOpen(entry)) &&
      (severities.size === 0 || severities.has(entry.event.severity)) &&
      has(entry.event, text.trim().toLowerCase()),
  );
  const toggle = (severity: Severity) => {
    const changed = new Set(severities);
    if (!changed.delete(severity)) changed.add(severity);
    setSeverities(changed);
  };
  const hidden = ours.length - visible.length;
  return (
    <section className="card alerts" aria-labelledby="alerts-title">
      <div className="bar">
        <h2 id="alerts-title">{device === null ? spoken.alerts : spoken.alertsOf}</h2>
        {hidden > 0 && (
          <button type="button" className="quiet" onClick={() => alerts.showHidden()}>{spoken.showHidden(hidden)}</button>
        )}
        {device === null && (
          <button type="button" id="clear" title={spoken.clearHint} disabled={visible.length === 0}
            onClick={() => alerts.clear()}>{spoken.clear}</button>
        )}
      </div>
      <div className="bar filters" role="group" aria-label={spoken.filterAlerts}>
        <label className="search">
          <Icon name="search" />
          <input type="search" value={text} aria-label={spoken.filterHint} placeholder={spoken.filterAlerts}
            onChange={(event) => setText(event.target.value)} />
        </label>
        {SEVERITIES.map((severity) => (
          <button key={severity} type="button" className="chip" data-tone={severity} aria-pressed={severities.has(severity)}
            onClick={() => toggle(severity)}>{spoken[severity]}</button>
        ))}
        <button type="button" className="chip" aria-pressed={openOnly} onClick={() => setOpenOnly(!openOnly)}>
          {spoken.openOnly}
        </button>
      </div>
      <div id="alerts" className="scroll" role="log" aria-labelledby="alerts-title" tabIndex={0}>
        {wanted.slice(0, most).map((entry) => (
          <AlertCard key={entry.event.alert_id} entry={entry} linked={device === null} />
        ))}
        {wanted.length > most && (
          <button type="button" className="quiet more" onClick={() => setMost(most + PAGE)}>
            {spoken.more(Math.min(PAGE, wanted.length - most))}
          </button>
        )}
        {wanted.length === 0 && <Nothing visible={visible} ours={ours} device={device} spoken={spoken} />}
      </div>
    </section>
  );
}

function has(event: AlertEvent, text: string): boolean {
  if (!text) return true;
  const among = `${event.device_id}\n${event.title}\n${titleOf(event)}\n${event.rule}\n${event.message}`;
  return among.toLowerCase().includes(text);
}

interface NothingProps {
  visible: Entry[];
  ours: Entry[];
  device: string | null;
  spoken: Words;
}

function Nothing({ visible, ours, device, spoken }: NothingProps) {
  const open = ours.filter(isOpen).length;
  let [sign, words] = ["✅", device === null ? spoken.allNormal : spoken.noAlertsOf];
  if (!alerts.told) [sign, words] = ["⏳", spoken.waiting];
  else if (visible.length) [sign, words] = ["🔍", spoken.noMatch];
  else if (open) [sign, words] = ["🔔", spoken.cleared(open)];
  return (
    <div id="empty" className="empty">
      <p className="sign" aria-hidden="true">{sign}</p>
      <p id="empty-text">{words}</p>
    </div>
  );
}

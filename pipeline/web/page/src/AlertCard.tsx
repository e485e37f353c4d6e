// One alert: what it is by sign, word and colour, when, where, who knows of it.
import { memo, useState } from "react";

import { Acknowledge } from "./Acknowledge";
import { instant, isOpen, type Entry } from "./alerts";
import { pathOf } from "./hooks";
import { Icon } from "./icons";
import { Age, Moment, WithMoments } from "./Moment";
import { messageOf, titleOf } from "./said";
import { session } from "./session";
import { Sparkline } from "./Sparkline";
import { useStore } from "./store";
import { useWords } from "./words";

export const AlertCard = memo(function AlertCard({ entry, linked }: { entry: Entry; linked: boolean }) {
  const spoken = useWords();
  useStore(session);
  const [asking, setAsking] = useState(false);
  const { event, fresh, gone } = entry;
  const tone = event.resolved ? "resolved" : gone ? "gone" : event.severity;
  const askable = isOpen(entry) && !event.acked && session.mayAcknowledge;
  return (
    <article className="alert" data-type={tone} data-severity={event.severity} data-fresh={fresh} data-acked={event.acked}
      data-id={event.alert_id}>
      <span className="sign"><Icon name={tone} /></span>
      <div className="body">
        <h3>{titleOf(event)}</h3>
        <p className="said"><WithMoments text={messageOf(event)} /></p>
        <p className="meta">
          {linked ? <Whose device={event.device_id} /> : <span>{event.rule}</span>}
          <Moment at={instant(entry)} />
          <Age at={instant(entry)} />
          {event.stale && !event.resolved && <span>{spoken.offline}</span>}
        </p>
        {event.acked && (
          <p className="ack"><Icon name="resolved" />{spoken.by(event.acked_by)}{event.note && <q>{event.note}</q>}</p>
        )}
      </div>
      <div className="side">
        <span className="severity" title={gone ? spoken.goneHint : undefined}>{spoken[tone]}</span>
        <Sparkline event={event} />
        {askable && !asking && (
          <button type="button" className="small" onClick={() => setAsking(true)}
            aria-label={`${spoken.acknowledge}: ${titleOf(event)} ${event.device_id}`}>{spoken.acknowledge}</button>
        )}
      </div>
      {askable && asking && <Acknowledge event={event} onEnd={() => setAsking(false)} />}
    </article>
  );
});

/** A device, or what no device can be called: the whole fleet. */
function Whose({ device }: { device: string }) {
  const spoken = useWords();
  return device.startsWith("*") ? <span>{spoken.wholeFleetName}</span> : <a href={pathOf(device)}>{device}</a>;
}

// A name and a note in; the word that somebody knows of an alert out. It counts once the worker has
// said so, which comes by the stream like everything else.
import { type FormEvent, type KeyboardEvent, useEffect, useState } from "react";

import { post, Refused } from "./api";
import { prefs } from "./prefs";
import { session } from "./session";
import type { AlertEvent } from "./wire";
import { useWords, type Words } from "./words";

const SLOW = 10_000; // ms

export function Acknowledge({ event, onEnd }: { event: AlertEvent; onEnd: () => void }) {
  const spoken = useWords();
  const [by, setBy] = useState(session.name ?? prefs.name);
  const [note, setNote] = useState("");
  const [sent, setSent] = useState(false);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (!sent) return;
    const slow = setTimeout(() => setProblem(spoken.ackSlow), SLOW);
    return () => clearTimeout(slow);
  }, [sent, spoken]);

  const send = async (submitted: FormEvent) => {
    submitted.preventDefault();
    prefs.set({ name: by });
    setProblem("");
    setSent(true);
    try {
      const body = { by: by.trim(), ...(note.trim() ? { note: note.trim() } : {}) };
      await post(`api/alerts/${encodeURIComponent(event.alert_id)}/ack`, body);
    } catch (error) {
      setSent(false);
      setProblem(said(error, spoken));
    }
  };
  const leave = (pressed: KeyboardEvent) => {
    if (pressed.key === "Escape") onEnd();
  };
  return (
    <form className="acknowledge" onSubmit={(submitted) => void send(submitted)} onKeyDown={leave}>
      <label>{spoken.yourName}
        <input value={by} onChange={(typed) => setBy(typed.target.value)} maxLength={128} required autoFocus={!by}
          readOnly={session.name !== null} autoComplete="name" />
      </label>
      <label>{spoken.note}
        <input value={note} onChange={(typed) => setNote(typed.target.value)} maxLength={500} autoFocus={Boolean(by)}
          autoComplete="off" />
      </label>
      <div className="buttons">
        <button type="submit" className="small primary" disabled={sent}>{spoken.send}</button>
        <button type="button" className="small" onClick={onEnd}>{spoken.cancel}</button>
        {sent && !problem && <span role="status">{spoken.acking}</span>}
        {problem && <span className="problem" role="alert">{problem}</span>}
      </div>
    </form>
  );
}

function said(error: unknown, spoken: Words): string {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 409) return spoken.ackResolved;
  if (error.status === 404) return spoken.ackUnknown;
  return error.message || spoken.sendFailed;
}

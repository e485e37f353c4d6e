// The top of the page: what it is, whether it is live, and what the viewer may choose.
import { useState } from "react";

import { clock } from "./format";
import { useNow } from "./hooks";
import { Icon, type IconName } from "./icons";
import { herald, line } from "./model";
import { prefs, type Theme } from "./prefs";
import { session } from "./session";
import { useStore } from "./store";
import { useWords } from "./words";

const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };

export function Head() {
  const spoken = useWords();
  useStore(line, session);
  const since = line.heard === null ? null : clock(line.heard);
  return (
    <header className="head">
      <h1><img src="static/icon.svg" alt="" width="26" height="26" />smart-iot</h1>
      <Badge />
      <div className="choices">
        <Notify />
        <Sound />
        <Choice name={prefs.theme} says={`${spoken.theme}: ${spoken[prefs.theme]}`}
          onClick={() => prefs.set({ theme: NEXT[prefs.theme] })} />
        <button type="button" className="choice" aria-label={spoken.language} title={spoken.language}
          lang={prefs.language === "en" ? "vi" : "en"}
          onClick={() => prefs.set({ language: prefs.language === "en" ? "vi" : "en" })}>
          {spoken.languageShort}
        </button>
        {session.name !== null && (
          <Choice name="leave" says={`${spoken.leave} (${session.name})`} onClick={() => session.leave()} />
        )}
      </div>
      {line.state === "stale" && since && <p className="banner" role="alert">{spoken.staleNote(since)}</p>}
      {line.state === "refused" && !session.wanted && <p className="banner" role="alert">{spoken.notYours}</p>}
    </header>
  );
}

function Badge() {
  const spoken = useWords();
  useStore(line);
  useNow();
  const said = line.heard === null ? spoken.neverHeard : spoken.heard(clock(line.heard));
  return (
    <p id="connection" className="badge" data-state={line.state} role="status" title={said}>
      {spoken[line.state]}
    </p>
  );
}

interface ChoiceProps {
  name: IconName;
  says: string;
  pressed?: boolean;
  onClick: () => void;
}

function Choice({ name, says, pressed, onClick }: ChoiceProps) {
  return (
    <button type="button" className="choice" aria-label={says} title={says} aria-pressed={pressed} onClick={onClick}>
      <Icon name={name} />
    </button>
  );
}

function Notify() {
  const spoken = useWords();
  const [problem, setProblem] = useState("");
  const on = prefs.notify && "Notification" in window && Notification.permission === "granted";
  const toggle = async () => {
    if (on) return prefs.set({ notify: false });
    const said = await herald.permission();
    setProblem(said === "granted" ? "" : said === "unsupported" ? spoken.notifyMissing : spoken.notifyDenied);
    prefs.set({ notify: said === "granted" });
  };
  return (
    <>
      <Choice name="bell" says={spoken.notifications} pressed={on} onClick={() => void toggle()} />
      {problem && <p className="hint" role="alert">{problem}</p>}
    </>
  );
}

function Sound() {
  const spoken = useWords();
  const toggle = () => {
    prefs.set({ sound: !prefs.sound });
    if (!prefs.sound) return;
    herald.listen();
    herald.ring(false); // so that who turned it on hears that it works
  };
  return <Choice name="sound" says={spoken.sound} pressed={prefs.sound} onClick={toggle} />;
}

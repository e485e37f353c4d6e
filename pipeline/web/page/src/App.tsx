// The page: its head, and either the overview or one device.
import { useEffect } from "react";

import { AlertList } from "./AlertList";
import { Charts } from "./Charts";
import { Device } from "./Device";
import { Fleet } from "./Fleet";
import { Head } from "./Head";
import { useDeviceShown, usePoll } from "./hooks";
import { herald, trails } from "./model";
import { prefs } from "./prefs";
import { Readings, useFilter } from "./Readings";
import { session } from "./session";
import { SignIn } from "./SignIn";
import { useStore } from "./store";
import { readings } from "./wire";
import { useWords } from "./words";

const POLL = 5_000; // ms

export function App() {
  const spoken = useWords();
  const device = useDeviceShown();
  useStore(session);
  const { language, theme } = prefs;
  useEffect(() => {
    const root = document.documentElement;
    root.lang = language;
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.dataset.theme = theme;
    dispatchEvent(new Event("recolour"));
  }, [language, theme]);
  useEffect(() => herald.called(device === null ? "smart-iot" : `${device} · smart-iot`), [device]);
  return (
    <>
      <a className="skip" href="#alerts" onClick={skip}>{spoken.skip}</a>
      <Head />
      {session.wanted ? <SignIn /> : device === null ? <Overview /> : <Device key={device} id={device} />}
    </>
  );
}

function skip(event: React.MouseEvent): void {
  event.preventDefault(); // the address says which device is shown
  document.getElementById("alerts")?.focus();
}

function Overview() {
  const polled = usePoll("api/readings/latest_all/", POLL, readings);
  const filter = useFilter();
  useEffect(() => trails.note(polled.data ?? []), [polled.data]);
  return (
    <main className="overview">
      <Fleet items={polled.data} filter={filter} />
      <AlertList device={null} />
      <div className="column">
        <Charts device={null} />
        <Readings polled={polled} filter={filter} />
      </div>
    </main>
  );
}

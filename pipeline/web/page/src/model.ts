// What the page is about, once: the alerts, the line that they come by, and what they set off.
import { get } from "./api";
import { Alerts, isOpen } from "./alerts";
import { Herald } from "./herald";
import { AlertLine } from "./line";
import { messageOf, titleOf } from "./said";
import { session } from "./session";
import { Trails } from "./trails";
import { alertEvent, alertsOf } from "./wire";
import { words } from "./words";

export const alerts = new Alerts();
export const trails = new Trails();

export const line = new AlertLine({
  begin: (recovered) => alerts.begin(recovered),
  told: () => alerts.confirm(),
  take: (message) => {
    const event = alertEvent(message);
    if (!event) return;
    trails.watch(event.device_id);
    const entry = alerts.get(event.alert_id);
    if (alerts.take(event) && !event.backlog) herald.tell(event, entry && isOpen(entry) ? entry.event.severity : null);
  },
});

/** By the web view's clock: a wall screen's own may be wrong. */
export function now(): number {
  return Date.now() + line.skew;
}

export const herald = new Herald(
  now,
  (event) => ({ title: titleOf(event), body: `${event.device_id}: ${messageOf(event)}` }),
  (count) => words().moreAlerts(count),
);

/** What has ended before the page was opened; a view that keeps no history has none to tell. */
export async function recall(device = ""): Promise<void> {
  const of = device ? `&device=${encodeURIComponent(device)}` : "";
  try {
    alerts.recall(alertsOf(await get(`api/alerts/?limit=50${of}`)));
  } catch {
    // the live ones are what matters
  }
}

export async function begin(): Promise<void> {
  await session.begin();
  if (!session.wanted) await enter();
}

let started = false;

/** The viewer is known, or needn't be. */
export async function enter(): Promise<void> {
  if (started) line.renew();
  else line.start();
  started = true;
  await recall();
}

// Live alerts in; notifications, a sound and a count in the title out, each only if it was asked for.
import { prefs } from "./prefs";
import type { AlertEvent, Severity } from "./wire";

const OLD = 60_000; // ms: what is told later than this is history, and history is silent
const AT_ONCE = 3; // notifications within
const SPELL = 10_000; // ms; then one for the rest
const RANK = { info: 0, warning: 1, danger: 2 };
const NAME = "smart-iot";

export interface Told {
  title: string;
  body: string;
}

export class Herald {
  private unread = 0;
  private recent: number[] = [];
  private untold = 0;
  private audio: AudioContext | null = null;
  private page = NAME;

  constructor(
    private readonly now: () => number,
    private readonly say: (event: AlertEvent) => Told,
    private readonly more: (count: number) => string,
  ) {
    for (const seen of ["focus", "pointerdown", "keydown"]) addEventListener(seen, () => this.read());
    document.addEventListener("visibilitychange", () => document.hidden || this.read());
  }

  /** Of something that came live and was new; `shown` is what its alert was shown with until then. */
  tell(event: AlertEvent, shown: Severity | null): void {
    if (!isWorthIt(event, shown) || this.now() - Date.parse(event.detected_at) > OLD) return;
    if (document.hidden || !document.hasFocus()) this.count(this.unread + 1);
    if (prefs.notify) this.notify(event);
    if (prefs.sound) this.ring(event.severity === "danger");
  }

  called(page: string): void {
    this.page = page;
    this.count(this.unread);
  }

  private read(): void {
    // a browser that closed our ears opens them at the first touch
    if (prefs.sound && (!this.audio || this.audio.state === "suspended")) this.listen();
    if (this.unread) this.count(0);
  }

  private count(unread: number): void {
    this.unread = unread;
    document.title = unread ? `(${unread}) ${this.page}` : this.page;
  }

  // Notifications.

  /** Called on a click: what the viewer answers, or "unsupported". */
  async permission(): Promise<string> {
    if (!("Notification" in window)) return "unsupported";
    return await Notification.requestPermission();
  }

  private notify(event: AlertEvent): void {
    if (!("Notification" in window) || Notification.permission !== "granted") return;
    const at = Date.now();
    this.recent = this.recent.filter((time) => at - time < SPELL);
    if (this.recent.length < AT_ONCE) {
      this.recent.push(at);
      this.untold = 0;
      const { title, body } = this.say(event);
      // one tag an alert: two tabs, and two events of it, make one notification
      show(title, body, event.alert_id);
    } else show(NAME, this.more(++this.untold), "more");
  }

  // Sound: two short tones, made here.

  listen(): void {
    try {
      this.audio ??= new AudioContext();
      void this.audio.resume();
    } catch {
      // no sound on this machine
    }
  }

  ring(urgent: boolean): void {
    const audio = this.audio;
    if (audio?.state !== "running") return;
    const tones = urgent ? [880, 1175, 880] : [660, 880];
    tones.forEach((frequency, number) => tone(audio, frequency, audio.currentTime + number * 0.16));
  }
}

/** It fired, got worse, is said again on purpose, or is seen for the first time: it was suppressed. */
function isWorthIt({ event, severity, previous_severity, reason }: AlertEvent, shown: Severity | null): boolean {
  if (event !== "updated") return event === "fired" || event === "reminder";
  const before = reason === "unsuppressed" ? shown : (previous_severity ?? severity);
  return before === null || RANK[severity] > RANK[before];
}

function show(title: string, body: string, tag: string): void {
  try {
    const icon = new URL("static/icon.svg", document.baseURI).href;
    const shown = new Notification(title, { body, tag, icon });
    shown.onclick = () => {
      window.focus();
      shown.close();
    };
  } catch {
    // a phone's browser has only those of a service worker
  }
}

function tone(audio: AudioContext, frequency: number, at: number): void {
  const [source, volume] = [audio.createOscillator(), audio.createGain()];
  source.frequency.value = frequency;
  volume.gain.setValueAtTime(0, at);
  volume.gain.linearRampToValueAtTime(0.14, at + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.001, at + 0.15);
  source.connect(volume).connect(audio.destination);
  source.start(at);
  source.stop(at + 0.16);
}

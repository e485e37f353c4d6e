// The address of the alert stream in; its messages out, over a line that comes back by itself.
//
// A page can't see WebSocket pings, and a dead network leaves a socket "open": only what is heard
// proves that the line is alive. The web view says something every 5 s.
import { address } from "./api";
import { prefs } from "./prefs";
import { session } from "./session";
import { Store } from "./store";
import { fieldsOf } from "./wire";

export const SILENCE = 12_000; // ms without a word, after which what is shown is stale
const CONNECT_WITHIN = 10_000;
const FIRST_PAUSE = 500, LONGEST_PAUSE = 30_000; // between two tries
const SETTLED = 10_000; // a line that held for so long was a good one
const LOOK = 500;
const UNAUTHORIZED = 4401, FORBIDDEN = 4403;

export type State = "connecting" | "live" | "reconnecting" | "stale" | "refused";

interface Listener {
  begin(recovered: boolean): void;
  /** Anything but a word about the connection itself. */
  take(message: unknown): void;
  ping(): void;
}

export class AlertLine extends Store {
  state: State = "connecting";
  /** When the last word came, by our clock; null before the first. */
  heard: number | null = null;
  /** How much the web view's clock is ahead of ours. */
  skew = 0;
  private cursor: string | null = null;
  private socket: WebSocket | null = null;
  private began = Date.now();
  private welcomed = false;
  private pause = FIRST_PAUSE;
  private again: ReturnType<typeof setTimeout> | undefined;
  private readonly started = Date.now();

  constructor(private readonly listener: Listener) {
    super();
  }

  start(): void {
    this.connect();
    setInterval(() => this.look(), LOOK);
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      this.look();
      if (!document.hidden) this.hurry();
    });
  }

  /** Don't wait for the next try. */
  hurry(): void {
    if (this.again !== undefined || this.state === "refused") this.connect();
  }

  private connect(): void {
    clearTimeout(this.again);
    this.again = undefined;
    const url = address("ws/alerts/");
    url.protocol = url.protocol.replace("http", "ws");
    if (this.cursor) url.searchParams.set("cursor", this.cursor);
    this.began = Date.now();
    const socket = (this.socket = new WebSocket(url));
    socket.onopen = () => {
      if (prefs.token) socket.send(JSON.stringify({ type: "auth", token: prefs.token }));
    };
    socket.onmessage = ({ data }) => this.take(JSON.parse(String(data)));
    socket.onclose = ({ code }) => this.closed(code);
    this.settle();
  }

  private take(message: unknown): void {
    const { type, event, cursor, recovered, timestamp } = fieldsOf(message);
    this.heard = Date.now();
    const isWelcome = type === "connection" && event !== "ping";
    if (isWelcome) this.welcome(recovered === true, timestamp);
    else if (type === "connection") this.pinged(timestamp);
    else this.listener.take(message);
    // a welcome's cursor counts what is still to follow it: should the line break before, we'd miss it
    if (typeof cursor === "string" && !isWelcome) this.cursor = cursor;
    this.settle();
  }

  private welcome(recovered: boolean, timestamp: unknown): void {
    this.welcomed = true;
    this.compare(timestamp);
    this.listener.begin(recovered);
  }

  private pinged(timestamp: unknown): void {
    this.compare(timestamp);
    this.listener.ping();
    if (Date.now() - this.began > SETTLED) this.pause = FIRST_PAUSE;
  }

  private compare(timestamp: unknown): void {
    const ahead = Date.parse(String(timestamp)) - Date.now();
    if (Number.isFinite(ahead)) this.skew = Math.abs(ahead) > 2_000 ? ahead : 0;
  }

  private closed(code: number): void {
    this.drop();
    if (code === UNAUTHORIZED) session.demand();
    if (code === UNAUTHORIZED || code === FORBIDDEN) {
      this.state = "refused";
      this.changed();
    } else this.later();
  }

  private drop(): void {
    const { socket } = this;
    this.socket = null;
    this.welcomed = false;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(); // without waiting: on a dead line it never ends
  }

  private later(): void {
    this.again = setTimeout(() => this.connect(), this.pause * (0.75 + Math.random() / 2));
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
    this.settle();
  }

  private look(): void {
    const silent = this.welcomed && Date.now() - (this.heard ?? 0) > SILENCE;
    const slow = this.socket && !this.welcomed && Date.now() - this.began > CONNECT_WITHIN;
    if (silent || slow) {
      this.drop();
      this.later();
    }
    this.settle();
  }

  private settle(): void {
    const state = this.judge();
    if (state === this.state) return;
    this.state = state;
    this.changed();
  }

  private judge(): State {
    if (this.state === "refused" && !this.socket) return "refused";
    if (this.welcomed) return "live";
    if (Date.now() - (this.heard ?? this.started) > SILENCE) return "stale";
    return this.heard === null && this.pause === FIRST_PAUSE ? "connecting" : "reconnecting";
  }
}

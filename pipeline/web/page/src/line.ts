// The address of the alert stream in; its messages out, over a line that comes back by itself.
//
// A page can't see WebSocket pings, and a dead network leaves a socket "open": only what is heard
// proves that the line is alive. The web view says something every 5 s.
import { address } from "./api";
import { prefs } from "./prefs";
import { session } from "./session";
import { Store } from "./store";
import { type Fields, fieldsOf } from "./wire";

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
  /** The open alerts have all been told. */
  told(): void;
}

export class AlertLine extends Store {
  state: State = "connecting";
  /** When the last word came of a view that hears Kafka, by our clock; null before the first. */
  heard: number | null = null;
  private spoken = Date.now(); // when the last word came, whatever it was
  /** How much the web view's clock is ahead of ours. */
  skew = 0;
  private cursor: string | null = null;
  private promised: string | null = null;
  private toCome = Infinity;
  private socket: WebSocket | null = null;
  private began = Date.now();
  private welcomed = false;
  private pause = FIRST_PAUSE;
  private again: ReturnType<typeof setTimeout> | undefined;
  private readonly started = Date.now();

  constructor(private readonly listener: Listener) {
    super();
  }

  /** For good. */
  start(): void {
    this.renew();
    setInterval(() => this.look(), LOOK);
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      this.look();
      if (!document.hidden) this.hurry();
    });
  }

  /** Begin anew: who we are has changed. */
  renew(): void {
    this.drop();
    this.pause = FIRST_PAUSE;
    this.state = "connecting";
    this.connect();
    this.changed();
  }

  /** Don't wait for the next try. */
  private hurry(): void {
    if (this.again !== undefined) this.connect();
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
    const fields = fieldsOf(message);
    this.spoken = Date.now();
    if (fields.type !== "connection" || fields.stale !== true) this.heard = this.spoken;
    if (fields.type !== "connection") this.took(message, fields.cursor);
    else if (fields.event === "ping") this.pinged(fields);
    else this.welcome(fields);
    this.settle();
  }

  private welcome({ recovered, cursor, backlog, timestamp }: Fields): void {
    this.welcomed = true;
    this.compare(timestamp);
    // it counts what is still to follow: should the line break before that, we'd miss it
    this.promised = typeof cursor === "string" ? cursor : null;
    this.toCome = typeof backlog === "number" ? backlog : Infinity; // then a ping ends it
    this.listener.begin(recovered === true);
    if (this.toCome === 0) this.complete();
  }

  private took(message: unknown, cursor: unknown): void {
    this.listener.take(message);
    if (typeof cursor === "string") this.cursor = cursor;
    else if (--this.toCome === 0) this.complete();
  }

  private complete(): void {
    this.cursor = this.promised ?? this.cursor;
    this.listener.told();
  }

  private pinged({ cursor, timestamp }: Fields): void {
    this.compare(timestamp);
    if (typeof cursor === "string") this.cursor = cursor;
    this.listener.told();
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
    const silent = this.welcomed && Date.now() - this.spoken > SILENCE;
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
    if (Date.now() - (this.heard ?? this.started) > SILENCE) return "stale";
    if (this.welcomed) return "live";
    return this.heard === null && this.pause === FIRST_PAUSE ? "connecting" : "reconnecting";
  }
}

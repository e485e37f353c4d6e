// Alerts from /ws/alerts/ and newest readings from /api/readings/latest_all/ in, a page out.
//
// Whatever comes over the wire is hostile: it reaches the page as text and in no other way.

const MOST_ALERTS = 50;
const MOST_ROWS = 200;
const MOST_REMEMBERED = 10_000; // alerts whose highest seq is known, so that none is shown twice
const SILENCE = 60_000; // ms; the stream says something every 25 s, so then the line is dead
const FIRST_PAUSE = 500, LONGEST_PAUSE = 30_000; // ms between two tries to connect
const POLL = 5_000, POLL_PATIENCE = 10_000; // ms
const TYPES = ["danger", "warning", "info", "resolved"];
const STATUSES = ["offline", "late", "online"]; // those in trouble first
const COLUMNS = [["temperature", "°C", 1], ["humidity", "%", 1], ["battery", "%", 0]]; // unit, decimals
const OWN_FIELDS = new Set(["device_id", "timestamp", "status", "type", ...COLUMNS.map(([name]) => name)]);
const MOST_OTHERS = 4; // further metrics of a device that are shown

const at = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function address(path) {
  return new URL(path, document.baseURI);
}

// --- alerts ----------------------------------------------------------------------------------

class Alerts {
  constructor() {
    this.known = new Map(); // alert_id to the highest seq that was shown, cleared ones too
    this.open = new Set();
    this.told = false; // whether the stream has said what is open
    at("clear").addEventListener("click", () => this.clear());
  }

  begin(recovered) {
    if (recovered !== true) this.open.clear(); // the open alerts follow
    this.told = true;
    this.settle();
  }

  take(event) {
    if (event.status === "resolved") this.open.delete(event.alert_id);
    else this.open.add(event.alert_id);
    if (this.isNews(event)) {
      const list = at("alerts");
      list.prepend(entry(event));
      while (list.childElementCount > MOST_ALERTS) list.lastElementChild.remove();
    }
    this.settle();
  }

  isNews({ alert_id: id, seq }) {
    const known = this.known.get(id) ?? 0;
    if (seq <= known) return false;
    this.known.delete(id); // to the end: the oldest are forgotten first
    this.known.set(id, seq);
    if (this.known.size > MOST_REMEMBERED) this.known.delete(this.known.keys().next().value);
    return true;
  }

  clear() {
    at("alerts").replaceChildren();
    this.settle();
  }

  settle() {
    const empty = at("alerts").childElementCount === 0;
    const open = this.open.size;
    at("clear").disabled = empty;
    at("empty").hidden = !empty;
    at("count-open").textContent = this.told ? open : "–";
    at("count-open").classList.toggle("some", open > 0);
    if (!empty || !this.told) return;
    at("empty-sign").textContent = open ? "🔔" : "✅";
    at("empty-text").textContent = open
      ? `List cleared - ${open === 1 ? "1 alert is" : `${open} alerts are`} still open`
      : "No alerts - All systems normal";
  }
}

function entry(event) {
  const made = element("article", "alert new");
  made.dataset.type = TYPES.includes(event.type) ? event.type : "info";
  const head = element("header");
  head.append(element("h3", "", event.title), element("span", "severity", event.type));
  const meta = element("p", "meta", `Device: ${event.device_id} • `);
  meta.append(moment(event.timestamp, (time) => time.toLocaleString()));
  made.append(head, element("p", "said", event.message), meta);
  return made;
}

function moment(timestamp, words) {
  const time = new Date(timestamp);
  const made = element("time", "", Number.isNaN(time.getTime()) ? String(timestamp) : words(time));
  made.dateTime = String(timestamp);
  return made;
}

// --- the connection --------------------------------------------------------------------------

class Stream {
  constructor(alerts) {
    this.alerts = alerts;
    this.cursor = null;
    this.pause = FIRST_PAUSE;
    this.connect();
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  connect() {
    clearTimeout(this.again);
    this.again = undefined;
    const url = address("ws/alerts/");
    url.protocol = url.protocol.replace("http", "ws");
    if (this.cursor) url.searchParams.set("cursor", this.cursor);
    const socket = this.socket = new WebSocket(url);
    socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    socket.onclose = () => this.lost();
    this.watch();
  }

  // A page can't see WebSocket pings, and a dead network leaves a socket "open": silence tells.
  watch() {
    clearTimeout(this.dog);
    this.dog = setTimeout(() => this.lost(), SILENCE);
  }

  take(message) {
    this.watch();
    if (message.cursor) this.cursor = message.cursor;
    if (message.type !== "connection") this.alerts.take(message);
    else if (message.event !== "ping") this.begin(message);
  }

  begin({ recovered }) {
    this.pause = FIRST_PAUSE;
    show("live", "Live");
    this.alerts.begin(recovered);
  }

  lost() {
    clearTimeout(this.dog);
    const { socket } = this;
    socket.onmessage = socket.onclose = null;
    socket.close(); // without waiting: on a dead line it never ends
    show("disconnected", "Disconnected");
    this.again = setTimeout(() => this.connect(), this.pause * (0.75 + Math.random() / 2));
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
  }

  hurry() {
    if (this.again !== undefined) this.connect();
  }
}

function show(state, word) {
  at("connection").dataset.state = state;
  at("connection").textContent = word;
}

// --- readings --------------------------------------------------------------------------------

class Readings {
  constructor() {
    this.poll();
    document.addEventListener("visibilitychange", () => document.hidden || this.poll());
  }

  async poll() {
    clearTimeout(this.next);
    if (this.asking || document.hidden) return;
    this.asking = true;
    try {
      this.tell(await newest());
    } catch (error) {
      this.fail(error);
    } finally {
      this.asking = false;
    }
    this.next = setTimeout(() => this.poll(), POLL);
  }

  tell(items) {
    for (const status of STATUSES) {
      const count = at(`count-${status}`);
      count.textContent = items.filter((item) => item.status === status).length;
      count.classList.toggle("some", count.textContent !== "0");
    }
    items.sort(byTrouble);
    const shown = items.slice(0, MOST_ROWS);
    at("readings").tBodies[0].replaceChildren(...shown.map(row));
    at("readings").hidden = items.length === 0;
    at("readings-empty").hidden = items.length > 0;
    const devices = items.length === 1 ? "1 device" : `${items.length} devices`;
    this.state(shown.length < items.length ? `${shown.length} of ${devices}` : devices, false);
  }

  fail(error) {
    this.state(error.message, true);
  }

  state(words, bad) {
    const state = at("readings-state");
    if (state.textContent !== words) state.textContent = words; // else it is read out every 5 s
    state.classList.toggle("bad", bad);
    at("readings").classList.toggle("stale", bad);
  }
}

async function newest() {
  let answer;
  try {
    answer = await fetch(address("api/readings/latest_all/"), {
      signal: AbortSignal.timeout(POLL_PATIENCE),
      cache: "no-store",
    });
  } catch {
    throw new Error("No answer; trying again");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function byTrouble(a, b) {
  return STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status)
    || a.device_id.localeCompare(b.device_id, undefined, { numeric: true });
}

function row(item) {
  const made = element("tr");
  const name = element("th", "", item.device_id);
  name.scope = "row";
  name.title = item.device_id;
  made.append(name, status(item.status), ...COLUMNS.map((column) => cell(item, ...column)));
  made.append(element("td", "more", others(item)), seen(item.timestamp));
  return made;
}

function status(word) {
  const made = element("td");
  const badge = element("span", "status", word);
  badge.dataset.status = STATUSES.includes(word) ? word : "late";
  made.append(badge);
  return made;
}

function cell(item, metric, unit, decimals) {
  const known = Object.hasOwn(item, metric);
  const made = element("td", "number", known ? `${number(item[metric], decimals)} ${unit}` : "");
  made.dataset.label = metric[0].toUpperCase() + metric.slice(1);
  return made;
}

function others(item) {
  const further = Object.entries(item).filter(([name]) => !OWN_FIELDS.has(name));
  const shown = further.slice(0, MOST_OTHERS).map(([name, value]) => `${name} ${number(value)}`);
  return shown.join(" · ") + (further.length > MOST_OTHERS ? " …" : "");
}

function number(value, decimals = 0) {
  return value.toLocaleString(undefined, {
    minimumFractionDigits: decimals,
    maximumFractionDigits: 2,
    notation: Math.abs(value) < 1e9 ? "standard" : "scientific",
  });
}

function seen(timestamp) {
  const made = element("td", "number");
  made.append(moment(timestamp, ago));
  made.firstChild.title = new Date(timestamp).toLocaleString();
  return made;
}

function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - time) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return time.toLocaleDateString();
}

new Stream(new Alerts());
new Readings();

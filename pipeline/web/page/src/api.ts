// A path of the web view in; what it answers out, or an error whose words can be shown.
import { prefs } from "./prefs";
import { session } from "./session";
import { fieldsOf } from "./wire";

const PATIENCE = 10_000; // ms

export class Refused extends Error {
  constructor(readonly status: number, said: string) {
    super(said);
  }
}

/** Below the page's own address, wherever a proxy has put it. */
export function address(path: string): URL {
  return new URL(path, document.baseURI);
}

export async function get(path: string, stop?: AbortSignal): Promise<unknown> {
  return await ask(path, { cache: "no-store" }, stop);
}

export async function post(path: string, body: unknown): Promise<unknown> {
  const headers = { "Content-Type": "application/json" };
  return await ask(path, { method: "POST", body: JSON.stringify(body), headers });
}

/** Refused with status 0 where there was no answer. */
async function ask(path: string, more: RequestInit, stop?: AbortSignal): Promise<unknown> {
  const token = prefs.token;
  const headers = { ...more.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const patience = AbortSignal.timeout(PATIENCE);
  const signal = stop ? AbortSignal.any([patience, stop]) : patience;
  let answer: Response;
  try {
    answer = await fetch(address(path), { ...more, headers, signal });
  } catch {
    throw new Refused(0, "");
  }
  let said: unknown = null;
  try {
    said = await answer.json();
  } catch {
    if (answer.ok) throw new Refused(0, "");
  }
  if (answer.status === 401) session.demand();
  if (!answer.ok) throw new Refused(answer.status, String(fieldsOf(said).error ?? answer.status));
  return said;
}

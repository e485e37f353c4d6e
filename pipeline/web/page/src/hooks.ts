// What the parts of the page look at: a path that is asked again and again, the time, the address.
import { useEffect, useState, useSyncExternalStore } from "react";

import { get, Refused } from "./api";
import { now } from "./model";
import { prefs } from "./prefs";
import { useStore } from "./store";

export interface Polled<T> {
  data: T | null;
  /** The path that answered with it: another one may be asked by now. */
  of: string | null;
  /** What the web view said against it; empty where it said nothing at all. */
  problem: string | null;
  /** It knows no such path, or nothing under it. */
  missing: boolean;
}

const RARELY = 60_000; // ms between two looks at a path that isn't there

/** Asks at once, then `every` so many ms, and not while nobody looks. `read` is one and the same. */
export function usePoll<T>(path: string | null, every: number, read: (given: unknown) => T): Polled<T> {
  const [polled, setPolled] = useState<Polled<T>>({ data: null, of: null, problem: null, missing: false });
  useStore(prefs);
  const { token } = prefs;
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    let next: ReturnType<typeof setTimeout> | undefined;
    let asking = false;
    const ask = async () => {
      clearTimeout(next);
      if (asking || document.hidden) return;
      asking = true;
      let pause = every;
      try {
        const data = read(await get(path, stop.signal));
        if (!stop.signal.aborted) setPolled({ data, of: path, problem: null, missing: false });
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const missing = error.status === 404;
        if (missing) pause = Math.max(every, RARELY);
        if (!stop.signal.aborted) setPolled(({ data, of }) => ({ data, of, problem: error.message, missing }));
      } finally {
        asking = false;
        if (!stop.signal.aborted) next = setTimeout(ask, pause);
      }
    };
    const seen = () => void ask();
    document.addEventListener("visibilitychange", seen);
    void ask();
    return () => {
      stop.abort();
      clearTimeout(next);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [path, every, read, token]);
  return polled;
}

// One clock for all that ticks.

const ticking = new Set<() => void>();
let tick = Date.now();
setInterval(() => {
  if (document.hidden) return;
  tick = Date.now();
  for (const listener of ticking) listener();
}, 1_000);

function onTick(listener: () => void): () => void {
  ticking.add(listener);
  return () => ticking.delete(listener);
}

/** The time by the web view's clock, a second at a time. */
export function useNow(): number {
  useSyncExternalStore(onTick, () => tick);
  return now();
}

// The address: #/ is the overview, #/device/<id> a device.

function onHash(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

export function useDeviceShown(): string | null {
  const hash = useSyncExternalStore(onHash, () => location.hash);
  const name = /^#\/device\/(.+)$/.exec(hash)?.[1];
  if (name === undefined) return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

export function pathOf(device: string): string {
  return `#/device/${encodeURIComponent(device)}`;
}

export function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (listener) => {
      const media = matchMedia(query);
      media.addEventListener("change", listener);
      return () => media.removeEventListener("change", listener);
    },
    () => matchMedia(query).matches,
  );
}

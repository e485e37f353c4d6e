// Numbers and instants in; text in the viewer's language and zone out.
import { prefs } from "./prefs";
import type { Words } from "./words";

export const DAY = 86_400_000; // ms

const formats = new Map<string, Intl.NumberFormat>();
const clocks = new Map<string, Intl.DateTimeFormat>();

function numbers(decimals: number, scientific: boolean): Intl.NumberFormat {
  const key = `${prefs.locale} ${decimals} ${scientific}`;
  let made = formats.get(key);
  if (!made) {
    made = new Intl.NumberFormat(prefs.locale, {
      minimumFractionDigits: decimals,
      maximumFractionDigits: scientific ? 2 : Math.max(decimals, 2),
      notation: scientific ? "scientific" : "standard",
    });
    formats.set(key, made);
  }
  return made;
}

export function number(value: number, decimals = 0): string {
  return numbers(decimals, Math.abs(value) >= 1e7).format(value);
}

export function measured(value: number, unit: string, decimals = 0): string {
  const shown = number(value, decimals);
  return unit ? `${shown} ${unit}` : shown;
}

/** As many as a metric's values are worth: a battery's need none. */
export function decimalsOf(metric: string): number {
  return metric === "temperature" || metric === "humidity" ? 1 : 0;
}

function dates(name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${prefs.locale} ${name}`;
  let made = clocks.get(key);
  if (!made) {
    made = new Intl.DateTimeFormat(prefs.locale, { hourCycle: "h23", ...options });
    clocks.set(key, made);
  }
  return made;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;

/** 14:03:22, and the day before it where it isn't today. */
export function clock(ms: number): string {
  const time = dates("clock", CLOCK).format(ms);
  return isToday(ms) ? time : `${day(ms)} ${time}`;
}

export function minute(ms: number): string {
  return dates("minute", { hour: "2-digit", minute: "2-digit" }).format(ms);
}

export function day(ms: number): string {
  return dates("day", { day: "numeric", month: "short" }).format(ms);
}

/** 14:03, and the day before it where that is more than a day ago. */
export function when(ms: number): string {
  return Date.now() - ms > DAY ? `${day(ms)} ${minute(ms)}` : minute(ms);
}

/** To the millisecond, with the zone, and in UTC. */
export function exact(ms: number): string {
  const here = dates("exact", {
    ...CLOCK, year: "numeric", month: "short", day: "numeric", fractionalSecondDigits: 3, timeZoneName: "short",
  });
  return `${here.format(ms)} · ${new Date(ms).toISOString()}`;
}

function isToday(ms: number): boolean {
  return new Date(ms).toDateString() === new Date().toDateString();
}

export function ago(ms: number, now: number, spoken: Words): string {
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  if (seconds < 60) return spoken.seconds(seconds);
  if (seconds < 5_400) return spoken.minutes(Math.floor(seconds / 60));
  if (seconds < 172_800) return spoken.hours(Math.floor(seconds / 3_600));
  return spoken.days(Math.floor(seconds / 86_400));
}

// An instant in; its time or its age out, with the exact instant on hover.
import { ago, clock, exact } from "./format";
import { useNow } from "./hooks";
import { useWords } from "./words";

export function Moment({ at }: { at: string }) {
  useWords();
  const ms = Date.parse(at);
  if (Number.isNaN(ms)) return <span>{at}</span>;
  return <time dateTime={at} title={exact(ms)}>{clock(ms)}</time>;
}

export function Age({ at }: { at: string }) {
  const spoken = useWords();
  const now = useNow();
  const ms = Date.parse(at);
  if (Number.isNaN(ms)) return <span>{at}</span>;
  return <time dateTime={at} title={exact(ms)}>{ago(ms, now, spoken)}</time>;
}

const INSTANT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** Text whose instants are told in the viewer's zone. */
export function WithMoments({ text }: { text: string }) {
  return text.split(INSTANT).map((part, number) => (number % 2 ? <Moment key={number} at={part} /> : part));
}

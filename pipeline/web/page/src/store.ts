// Something that changes in; who looks at it told, at once, and then twenty times a second at most.
import { useSyncExternalStore } from "react";

const AT_MOST_EVERY = 50; // ms: a backlog is thousands of messages, and one picture

export class Store {
  private listeners = new Set<() => void>();
  private version = 0;
  private toldAt = 0;
  private waiting = false;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): number => this.version;

  protected changed(): void {
    if (this.waiting) return;
    const pause = this.toldAt + AT_MOST_EVERY - Date.now();
    if (pause <= 0 || pause > AT_MOST_EVERY) return this.tell();
    this.waiting = true;
    setTimeout(() => this.tell(), pause);
  }

  private tell(): void {
    this.waiting = false;
    this.toldAt = Date.now();
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}

export function useStore(...stores: Store[]): string {
  const [a, b, c] = stores as [Store, Store?, Store?];
  const versions = [useVersion(a), useVersion(b ?? a), useVersion(c ?? a)];
  return versions.join();
}

function useVersion(store: Store): number {
  return useSyncExternalStore(store.subscribe, store.snapshot);
}

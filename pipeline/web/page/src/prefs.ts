// What this viewer chose, kept in this browser; without a store it holds until the page is closed.
import { Store } from "./store";

const KEY = "smart-iot";

export type Language = "en" | "vi";
export type Theme = "auto" | "light" | "dark";

interface Choices {
  language?: Language;
  theme?: Theme;
  name?: string;
  notify?: boolean;
  sound?: boolean;
  token?: string;
}

function read(store: () => Storage): Choices {
  try {
    return JSON.parse(store().getItem(KEY) ?? "{}") as Choices;
  } catch {
    return {};
  }
}

function write(store: () => Storage, choices: Choices): void {
  try {
    store().setItem(KEY, JSON.stringify(choices));
  } catch {
    // a browser that keeps nothing for us
  }
}

class Prefs extends Store {
  private choices = read(() => localStorage);

  get language(): Language {
    return this.choices.language ?? (preferred().startsWith("vi") ? "vi" : "en");
  }

  /** For numbers and dates: the viewer's own, where it is of the language that is shown. */
  get locale(): string {
    const own = navigator.languages.find((tag) => tag.toLowerCase().startsWith(this.language));
    return own ?? this.language;
  }

  get theme(): Theme {
    return this.choices.theme ?? "auto";
  }

  get name(): string {
    return this.choices.name ?? "";
  }

  get notify(): boolean {
    return this.choices.notify === true;
  }

  get sound(): boolean {
    return this.choices.sound === true;
  }

  set(changes: Choices): void {
    this.choices = { ...this.choices, ...changes };
    write(() => localStorage, this.choices);
    this.changed();
  }

  /** Of this tab, or of this browser if the viewer wants it so. Never a part of an address. */
  get token(): string | null {
    return read(() => sessionStorage).token ?? this.choices.token ?? null;
  }

  setToken(token: string | null, keep: boolean): void {
    write(() => sessionStorage, token && !keep ? { token } : {});
    const { token: _, ...others } = this.choices;
    this.choices = token && keep ? { ...others, token } : others;
    write(() => localStorage, this.choices);
    this.changed();
  }
}

/** The first of the languages that the browser asks for and that we speak. */
function preferred(): string {
  const known = navigator.languages.map((tag) => tag.toLowerCase());
  return known.find((tag) => /^(en|vi)\b/.test(tag)) ?? "en";
}

export const prefs = new Prefs();

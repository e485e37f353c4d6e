// Who the viewer is, where the web view asks for tokens; where it asks for none, nothing.
import { get, Refused } from "./api";
import { prefs } from "./prefs";
import { Store } from "./store";
import { fieldsOf } from "./wire";

class Session extends Store {
  /** The view wants a token, and has no right one of us. */
  wanted = false;
  /** A token was tried and not taken. */
  wrong = false;
  /** Who the token is of; null where there are none. */
  name: string | null = null;
  mayAcknowledge = true;

  async begin(): Promise<void> {
    try {
      const me = fieldsOf(await get("api/me/"));
      this.wanted = this.wrong = false;
      const tokens = me.tokens === true;
      this.name = tokens ? String(me.name ?? "") : null;
      this.mayAcknowledge = !tokens || (Array.isArray(me.can) && me.can.includes("acknowledge"));
      this.changed();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // 401 has been told; a view that knows no such path has no tokens
    }
  }

  demand(): void {
    this.wrong = prefs.token !== null;
    this.wanted = true;
    this.changed();
  }

  async enter(token: string, keep: boolean): Promise<void> {
    prefs.setToken(token, keep);
    this.wanted = this.wrong = false;
    await this.begin();
    this.changed();
  }

  leave(): void {
    prefs.setToken(null, false);
    location.reload();
  }
}

export const session = new Session();

// A token in, where the web view asks for one; the page behind it out.
import { type FormEvent, useState } from "react";

import { enter as begin } from "./model";
import { session } from "./session";
import { useWords } from "./words";

export function SignIn() {
  const spoken = useWords();
  const [token, setToken] = useState("");
  const [keep, setKeep] = useState(false);
  const enter = async (event: FormEvent) => {
    event.preventDefault();
    await session.enter(token.trim(), keep);
    if (!session.wanted) await begin();
  };
  return (
    <main className="signin">
      <form className="card" onSubmit={(event) => void enter(event)}>
        <h2>{spoken.tokenTitle}</h2>
        <p>{spoken.tokenText}</p>
        <label>
          {spoken.token}
          <input type="password" value={token} onChange={(event) => setToken(event.target.value)}
            autoComplete="current-password" required autoFocus />
        </label>
        <label className="check">
          <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.target.checked)} />
          {spoken.keep}
        </label>
        {session.wrong && <p className="problem" role="alert">{spoken.tokenWrong}</p>}
        <button type="submit" className="primary">{spoken.enter}</button>
      </form>
    </main>
  );
}

/* Which site and which account this page belongs to, and what the browser stores for that account.
 *
 * Two accounts may use one browser, and two sites one host: every stored name begins with the tags of both, so that one
 * account's unsent work is neither shown nor sent under another. It stays when its account signs out, and is there
 * again when it signs in. */

const {
  site = "",
  account = "",
  accountName = "",
  csrfCookie = "",
  signInUrl = "",
  meUrl = "",
} = document.documentElement.dataset;

export { account, accountName, meUrl, signInUrl };

const PREFIX = `digits.${site}.`;

/* The start of every name that is stored for an account; owner: its tag, "" for visitors. */
export const scopeOf = (owner = account) => `${PREFIX}${owner || "visitor"}.`;

/* The CSRF token of the cookie and not of the page: signing in on another tab gives a new one. */
export function csrfToken() {
  const cookies = document.cookie.split("; ").map((cookie) => cookie.split("="));
  return cookies.find(([name]) => name === csrfCookie)?.[1] ?? "";
}

/* Values by name in localStorage or sessionStorage. Where the browser stores nothing, because it is told not to or has
 * no room, they last as long as the page. */
export class AccountStore {
  #area;
  #prefix;
  #memory = new Map();

  /* area: "localStorage" or "sessionStorage"; owner: the tag of an account, "" for visitors. */
  constructor(area, owner = account) {
    this.#area = area;
    this.#prefix = scopeOf(owner);
  }

  /* The value, or null. */
  get(name) {
    return this.#memory.get(name) ?? this.#try((area) => area.getItem(this.#prefix + name)) ?? null;
  }

  set(name, value) {
    const isStored = this.#try((area) => {
      area.setItem(this.#prefix + name, value);
      return true;
    });
    if (isStored) this.#memory.delete(name);
    else this.#memory.set(name, value);
  }

  remove(name) {
    this.#memory.delete(name);
    this.#try((area) => area.removeItem(this.#prefix + name));
  }

  /* All names that begin with `start`, in order. */
  names(start) {
    const stored = this.#try((area) => Object.keys(area)) ?? [];
    const own = stored.filter((key) => key.startsWith(this.#prefix)).map((key) => key.slice(this.#prefix.length));
    return [...new Set([...own, ...this.#memory.keys()])].filter((name) => name.startsWith(start)).sort();
  }

  /* Whether an event of the storage is about a name that begins with `start`. */
  isAbout(event, start) {
    return event.key === null || event.key.startsWith(this.#prefix + start);
  }

  #try(action) {
    try {
      return action(window[this.#area]);
    } catch {
      return null; // blocked, or full
    }
  }
}

/* --- Tabs tell each other which account is signed in ---------------------------------------------------------- */

const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(`${PREFIX}account`);
channel?.postMessage(account);

/* Calls back when the account may be signed in again: another tab says so, or the person comes back to this one. */
export function onReturn(callback) {
  channel?.addEventListener("message", ({ data }) => data === account && callback());
  for (const name of ["focus", "online", "pageshow"]) window.addEventListener(name, () => callback());
  document.addEventListener("visibilitychange", () => !document.hidden && callback());
}

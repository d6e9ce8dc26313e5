// @ts-check
/* Site and account of this page, and the browser storage of the account.
 *
 * Several accounts may use one browser, and several sites one host. Every storage key begins with the tags of the site
 * and the account, so that unsent work of one account is neither shown nor sent under another. It survives signing out
 * and is used again after signing in. */

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

/**
 * Returns the prefix of an account's storage keys.
 *
 * @param {string} owner The tag of the account, "" for visitors.
 */
export const storagePrefix = (owner = account) => `${PREFIX}${owner || "visitor"}.`;

/* Returns the CSRF token of the cookie, not of the page: signing in on another tab changes it. */
export function csrfToken() {
  const cookies = document.cookie.split("; ").map((cookie) => cookie.split("="));
  return cookies.find(([name]) => name === csrfCookie)?.[1] ?? "";
}

/* Values by name in localStorage or sessionStorage. If the storage is blocked or full, they are kept in memory. */
export class AccountStore {
  #area;
  #prefix;
  /** @type {Map<string, string>} */
  #memory = new Map();

  /**
   * @param {"localStorage" | "sessionStorage"} area
   * @param {string} owner The tag of an account, "" for visitors.
   */
  constructor(area, owner = account) {
    this.#area = area;
    this.#prefix = storagePrefix(owner);
  }

  /**
   * @param {string} name
   * @returns {string | null}
   */
  get(name) {
    return this.#memory.get(name) ?? this.#try((area) => area.getItem(this.#prefix + name)) ?? null;
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  set(name, value) {
    const isStored = this.#try((area) => {
      area.setItem(this.#prefix + name, value);
      return true;
    });
    if (isStored) this.#memory.delete(name);
    else this.#memory.set(name, value);
  }

  /** @param {string} name */
  remove(name) {
    this.#memory.delete(name);
    this.#try((area) => area.removeItem(this.#prefix + name));
  }

  /**
   * Returns the sorted names that begin with `start`.
   *
   * @param {string} start
   */
  names(start) {
    const stored = this.#try((area) => Object.keys(area)) ?? [];
    const own = stored.filter((key) => key.startsWith(this.#prefix)).map((key) => key.slice(this.#prefix.length));
    return [...new Set([...own, ...this.#memory.keys()])].filter((name) => name.startsWith(start)).sort();
  }

  /**
   * Whether a storage event affects a name that begins with `start`.
   *
   * @param {StorageEvent} event
   * @param {string} start
   */
  isAbout(event, start) {
    return event.key === null || event.key.startsWith(this.#prefix + start);
  }

  /**
   * @template T
   * @param {(area: Storage) => T} action
   * @returns {T | null}
   */
  #try(action) {
    try {
      return action(window[this.#area]);
    } catch {
      return null; // blocked, or full
    }
  }
}

/* --- Tabs notify each other of the signed-in account ---------------------------------------------------------- */

const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(`${PREFIX}account`);
channel?.postMessage(account);

/**
 * Calls back when the account may be signed in again: another tab reports it, or this tab becomes active.
 *
 * @param {() => void} callback
 */
export function onReturn(callback) {
  channel?.addEventListener("message", ({ data }) => data === account && callback());
  for (const name of ["focus", "online", "pageshow"]) window.addEventListener(name, () => callback());
  document.addEventListener("visibilitychange", () => !document.hidden && callback());
}

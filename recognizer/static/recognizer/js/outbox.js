/* Decisions that are made and not stored yet: sent one after the other, in their order, until the site has them.
 *
 * Each entry names its submission, and the site does nothing twice, so whatever got lost is sent again. Entries belong to
 * the account that made them and survive a reload, the end of the session and a closed tab. All tabs of an account share
 * them, and one tab at a time sends. */

import { AccountStore, onReturn, scopeOf } from "./account.js";
import { call, Problem } from "./api.js";

const ENTRY = "decision.";
const FIRST_PAUSE = 500;
const MAX_PAUSE = 10_000;
const MAX_RETRY_AFTER_SECONDS = 60;

/* Locks exist in secure contexts only. Without them two tabs may send the same entry, which changes nothing. */
const alone = (action) => (navigator.locks ? navigator.locks.request(`${scopeOf()}outbox`, action) : action());

export class Outbox {
  #store = new AccountStore("localStorage");
  #urls;
  #events;
  #last = 0;
  #isSending = false;
  #wake = () => {};

  /* urls: of each act. Events: changed(count), answered(entry, body), refused(entry, problem), waiting(problem) while
   * the site is away or busy, stopped(problem) when nothing can be sent until its account is back. */
  constructor(urls, events) {
    this.#urls = urls;
    this.#events = events;
    window.addEventListener("storage", (event) => {
      if (this.#store.isAbout(event, ENTRY)) this.#events.changed(this.length);
    });
    onReturn(() => this.#wake());
  }

  get length() {
    return this.#store.names(ENTRY).length;
  }

  /* The ids of the submissions that an entry is about. */
  get submissions() {
    const entries = this.#store.names(ENTRY).map((name) => this.#read(name));
    return new Set(entries.map((entry) => entry?.body.submission));
  }

  /* entry: {act, body}. */
  add(entry) {
    const newest = this.#store.names(ENTRY).at(-1)?.split(".")[1];
    this.#last = Math.max(Date.now(), this.#last + 1, Number(newest ?? 0) + 1);
    const random = Math.random().toString(36).slice(2, 8);
    this.#store.set(`${ENTRY}${String(this.#last).padStart(15, "0")}.${random}`, JSON.stringify(entry));
    this.#events.changed(this.length);
    this.send();
  }

  async send() {
    this.#events.changed(this.length);
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      let canSend = true;
      while (canSend && this.length > 0) canSend = await alone(() => this.#sendAll());
    } finally {
      this.#isSending = false;
    }
  }

  /* False when it had to stop. */
  async #sendAll() {
    for (let pause = FIRST_PAUSE; this.length > 0; ) {
      const [name] = this.#store.names(ENTRY);
      const entry = this.#read(name);
      if (entry === null) {
        this.#done(name); // stored by another tab meanwhile, or not readable
        continue;
      }
      try {
        const { body } = await call("POST", this.#urls[entry.act], { json: entry.body });
        pause = FIRST_PAUSE;
        this.#done(name);
        this.#events.answered(entry, body);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.isAboutAccount) {
          this.#events.stopped(error);
          return false;
        }
        if (error.isPassing) {
          this.#events.waiting(error);
          await this.#wait(error, pause);
          pause = Math.min(pause * 2, MAX_PAUSE);
        } else {
          this.#done(name);
          this.#events.refused(entry, error);
        }
      }
    }
    return true;
  }

  /* A line that is back ends the wait; a limit that the site has named does not. */
  #wait(problem, pause) {
    const named = Math.min(problem.retryAfter, MAX_RETRY_AFTER_SECONDS) * 1000;
    return new Promise((resolve) => {
      setTimeout(resolve, Math.max(pause, named));
      if (problem.status === 0) this.#wake = resolve;
    });
  }

  #read(name) {
    try {
      return JSON.parse(this.#store.get(name));
    } catch {
      return null;
    }
  }

  #done(name) {
    this.#store.remove(name);
    this.#events.changed(this.length);
  }
}

// @ts-check
/* Queue of decisions that are not stored on the server yet. They are sent in order, one at a time.
 *
 * Entries are idempotent and are repeated until the server confirms them. They belong to the account that made them and
 * survive a reload, the end of the session and a closed tab. All tabs of an account share the queue; one tab at a time
 * sends. */

import { AccountStore, onReturn, storagePrefix } from "./account.js";
import { call, Problem } from "./api.js";

const ENTRY = "decision.";
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 10_000;
const MAX_RETRY_AFTER_SECONDS = 60;

/**
 * @typedef {{act: string, body: {submission: string, value?: string}}} Entry
 *
 * @typedef {object} Events
 * @property {(count: number) => void} changed
 * @property {(entry: Entry, body: any) => void} answered
 * @property {(entry: Entry, problem: Problem) => void} refused
 * @property {(problem: Problem) => void} waiting The site is unreachable or busy.
 * @property {(problem: Problem) => void} stopped The account is signed out.
 */

/**
 * Locks exist in secure contexts only. Without them two tabs may send the same entry, which is harmless.
 *
 * @param {() => Promise<boolean>} action
 */
const withLock = (action) => (navigator.locks ? navigator.locks.request(`${storagePrefix()}outbox`, action) : action());

export class Outbox {
  #store = new AccountStore("localStorage");
  #urls;
  #events;
  #last = 0;
  #isSending = false;
  #wake = () => {};

  /**
   * @param {Record<string, string>} urls By act.
   * @param {Events} events
   */
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

  /* The ids of the submissions in the queue. */
  get submissions() {
    const entries = this.#store.names(ENTRY).map((name) => this.#read(name));
    return new Set(entries.map((entry) => entry?.body.submission));
  }

  /** @param {Entry} entry */
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
      while (canSend && this.length > 0) canSend = await withLock(() => this.#sendAll());
    } finally {
      this.#isSending = false;
    }
  }

  /* Returns false if the account is signed out. */
  async #sendAll() {
    for (let pause = FIRST_PAUSE_MS; this.length > 0; ) {
      const [name] = this.#store.names(ENTRY);
      const entry = this.#read(name);
      if (entry === null) {
        this.#remove(name); // sent by another tab, or unreadable
        continue;
      }
      try {
        const { body } = await call("POST", this.#urls[entry.act], { json: entry.body });
        pause = FIRST_PAUSE_MS;
        this.#remove(name);
        this.#events.answered(entry, body);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.isAboutAccount) {
          this.#events.stopped(error);
          return false;
        }
        if (error.isTransient) {
          this.#events.waiting(error);
          await this.#wait(error, pause);
          pause = Math.min(pause * 2, MAX_PAUSE_MS);
        } else {
          this.#remove(name);
          this.#events.refused(entry, error);
        }
      }
    }
    return true;
  }

  /**
   * Waits for `pause` or longer. A restored connection ends the wait; a Retry-After of the server is always respected.
   *
   * @param {Problem} problem
   * @param {number} pause
   * @returns {Promise<void>}
   */
  #wait(problem, pause) {
    const retryAfter = Math.min(problem.retryAfter, MAX_RETRY_AFTER_SECONDS) * 1000;
    return new Promise((resolve) => {
      setTimeout(resolve, Math.max(pause, retryAfter));
      if (problem.status === 0) this.#wake = resolve;
    });
  }

  /**
   * @param {string} name
   * @returns {Entry | null}
   */
  #read(name) {
    try {
      return JSON.parse(this.#store.get(name));
    } catch {
      return null;
    }
  }

  /** @param {string} name */
  #remove(name) {
    this.#store.remove(name);
    this.#events.changed(this.length);
  }
}

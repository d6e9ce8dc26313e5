/* What was decided and is not stored yet: sent one after the other, in the order of the keys, until the site has it.
 *
 * Each entry names its submission, and the site does nothing twice, so whatever may have got lost is simply sent again.
 * What is unsent survives a reload of the page. */

import { call, Problem, sleep } from "./api.js";

const STORE = "digits.unsent-reviews";
const LONGEST_PAUSE = 10_000;

export class Outbox {
  #entries = JSON.parse(sessionStorage.getItem(STORE) ?? "[]");
  #isSending = false;
  #changed;
  #answered;
  #refused;
  #waiting;

  /* changed(count), answered(entry, body), refused(entry, problem), waiting(problem or null). */
  constructor({ changed, answered, refused, waiting }) {
    this.#changed = changed;
    this.#answered = answered;
    this.#refused = refused;
    this.#waiting = waiting;
  }

  get length() {
    return this.#entries.length;
  }

  /* Whether something about this submission is not stored yet. */
  isAbout(submission) {
    return this.#entries.some((entry) => entry.body.submission === submission);
  }

  /* entry: {url, body}. */
  add(entry) {
    this.#entries.push(entry);
    this.#keep();
    this.send();
  }

  async send() {
    if (this.#isSending) return;
    this.#isSending = true;
    this.#changed(this.length);
    for (let pause = 500; this.length > 0; ) {
      const [entry] = this.#entries;
      try {
        const { body } = await call("POST", entry.url, { json: entry.body });
        this.#waiting(null);
        this.#done(entry);
        this.#answered(entry, body);
        pause = 500;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.isPassing) {
          this.#waiting(error);
          await sleep(pause);
          pause = Math.min(pause * 2, LONGEST_PAUSE);
        } else {
          this.#done(entry);
          this.#refused(entry, error);
        }
      }
    }
    this.#isSending = false;
  }

  #done(entry) {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    this.#keep();
  }

  #keep() {
    sessionStorage.setItem(STORE, JSON.stringify(this.#entries));
    this.#changed(this.length);
  }
}

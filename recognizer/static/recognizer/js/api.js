/* Talks to the JSON API: one way to call it, one kind of error, one way to wait for an answer. */

import { account, csrfToken, signInUrl } from "./account.js";

// After so many milliseconds without an answer the line is taken for broken; what is sent may be sent again.
const TIMEOUT = 60_000;
const UNREACHABLE = "The site cannot be reached. Check your connection.";

/* What went wrong, in words for the person at the screen. status 0: the site could not be reached. */
export class Problem extends Error {
  /* code: of the problem document; retryAfter: seconds after which the same may work. */
  constructor(status, message, { code = "", retryAfter = 0 } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /* Nothing is wrong with what was sent; the same again may work later. */
  get isPassing() {
    return [0, 408, 429].includes(this.status) || this.status >= 500;
  }

  /* Nothing is wrong with what was sent, but with who sends it: signed out, another account, a role taken away. */
  get isAboutAccount() {
    return this.status === 401 || this.status === 403;
  }
}

export const unreachable = () => new Problem(0, UNREACHABLE);

/* A problem document says it itself (RFC 9457); anything else gets a plain sentence. */
export function problemOf(status, body, retryAfter) {
  const more = { code: body?.code, retryAfter: Number(retryAfter) || 0 };
  if (status === 429)
    return new Problem(status, body?.detail ?? "That was a lot at once. Wait a minute and try again.", more);
  const detail = body?.detail ?? body?.title;
  return new Problem(status, detail ?? `The site answered with an error (${status}).`, more);
}

/* Names a request that stores something, so that it can be sent again without being stored twice. Given what the last
 * one was, the same content keeps its key. (crypto.randomUUID is not there for a phone on the local network.) */
export function keyed(last, content) {
  if (last?.content === content) return last;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { content, key: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
}

/* The headers of a request that is made by the page's account and by no other. */
export function headersOf({ isForAnyAccount = false } = {}) {
  const headers = { Accept: "application/json", "X-CSRFToken": csrfToken() };
  if (account && !isForAnyAccount) headers["X-Page-Account"] = account;
  return headers;
}

/* A page with a form brings a new cookie: the old one was deleted, or replaced while a request was under way. */
export async function renewCsrfToken() {
  await fetch(signInUrl).catch(() => null);
}

/* Sends `json` or the fields of `form`. isForAnyAccount: whoever is signed in, nothing is stored. A request that stores
 * something is sent again by the caller, after a Problem that passes.
 * Returns {status, body, location}; throws Problem, or AbortError when `signal` was aborted. */
export async function call(method, url, options = {}) {
  try {
    return await send(method, url, options);
  } catch (error) {
    if (error.code !== "csrf_failed") throw error;
    await renewCsrfToken();
    return send(method, url, options);
  }
}

async function send(method, url, { json, form, key, signal, prefer, isForAnyAccount }) {
  const headers = headersOf({ isForAnyAccount });
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  if (prefer) headers.Prefer = prefer;
  const broken = new AbortController();
  const timer = setTimeout(() => broken.abort(), TIMEOUT);
  const abort = () => broken.abort();
  signal?.addEventListener("abort", abort);
  let response, body;
  try {
    signal?.throwIfAborted();
    const content = json === undefined ? form : JSON.stringify(json);
    response = await fetch(url, { method, headers, body: content, signal: broken.signal });
    body = await bodyOf(response);
  } catch {
    // Cut off while it was sent or answered.
    if (signal?.aborted) throw signal.reason;
    throw unreachable();
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
  if (!response.ok) throw problemOf(response.status, body, response.headers.get("Retry-After"));
  return { status: response.status, body, location: response.headers.get("Location") };
}

async function bodyOf(response) {
  const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
  return isJson ? response.json() : null;
}

export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/* Polls a stored submission until it is answered or failed; slower as it takes longer. While its account is signed out
 * it waits: the answer is there when it comes back. */
export async function untilAnswered(url, { signal } = {}) {
  for (let pause = 400; ; pause = Math.min(pause * 1.5, 5000)) {
    await sleep(pause, signal);
    try {
      const { body } = await call("GET", url, { signal });
      if (body.state !== "pending") return body;
    } catch (error) {
      if (!(error instanceof Problem) || !(error.isPassing || error.isAboutAccount)) throw error;
    }
  }
}

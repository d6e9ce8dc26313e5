// @ts-check
/* Client of the JSON API: requests, errors and polling for predictions. */

import { account, csrfToken, signInUrl } from "./account.js";

// A request without a response after this time counts as failed and may be repeated.
const TIMEOUT_MS = 60_000;
const UNREACHABLE = "The site cannot be reached. Check your connection.";

/**
 * An item of the review queue, as the API returns it.
 *
 * @typedef {object} ReviewItem
 * @property {string} id
 * @property {string} image
 * @property {number} width
 * @property {number} height
 * @property {number[] | null} crop
 * @property {string} pixels
 * @property {string} why
 * @property {boolean} blind
 * @property {boolean} demo
 * @property {import("./answer.js").Answer | null} answer
 * @property {string} suggestion
 */

/**
 * @typedef {object} RequestOptions
 * @property {unknown} [json]
 * @property {BodyInit} [form]
 * @property {string} [key] Idempotency key.
 * @property {AbortSignal} [signal]
 * @property {string} [prefer]
 * @property {boolean} [isForAnyAccount]
 */

/**
 * A request with the key under which it is stored once.
 *
 * @typedef {{content: string, key: string}} KeyedRequest
 */

/* A failed request, with a message for the user. status 0: the site could not be reached. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {{code?: string, retryAfter?: number}} options The code of the problem document, and the seconds after which
   * the request may succeed.
   */
  constructor(status, message, { code = "", retryAfter = 0 } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /* Whether the same request may succeed later. */
  get isTransient() {
    return [0, 408, 429].includes(this.status) || this.status >= 500;
  }

  /* Whether the account is the cause: signed out, another account, or a role that was removed. */
  get isAboutAccount() {
    return this.status === 401 || this.status === 403;
  }
}

export const unreachable = () => new Problem(0, UNREACHABLE);

/**
 * Returns the Problem of a response, with the text of its problem document (RFC 9457) if there is one.
 *
 * @param {number} status
 * @param {{code?: string, detail?: string, title?: string} | null} body
 * @param {string | null} retryAfter
 */
export function createProblem(status, body, retryAfter) {
  const more = { code: body?.code, retryAfter: Number(retryAfter) || 0 };
  if (status === 429)
    return new Problem(status, body?.detail ?? "That was a lot at once. Wait a minute and try again.", more);
  const detail = body?.detail ?? body?.title;
  return new Problem(status, detail ?? `The site answered with an error (${status}).`, more);
}

/**
 * Returns `content` with an idempotency key, so that a repeated request is stored once. The same content keeps the key of
 * the last request. (crypto.randomUUID exists in secure contexts only, not for a phone on the local network.)
 *
 * @param {KeyedRequest | null} last
 * @param {string} content
 * @returns {KeyedRequest}
 */
export function withIdempotencyKey(last, content) {
  if (last?.content === content) return last;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { content, key: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
}

/* Returns the headers of a request, which only the page's account may make unless isForAnyAccount. */
export function createHeaders({ isForAnyAccount = false } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", "X-CSRFToken": csrfToken() };
  if (account && !isForAnyAccount) headers["X-Page-Account"] = account;
  return headers;
}

/* Gets a new CSRF cookie from a page with a form, after the old one was deleted or replaced during a request. */
export async function renewCsrfToken() {
  await fetch(signInUrl).catch(/** @returns {null} */ () => null);
}

/**
 * Sends `json` or the fields of `form`. isForAnyAccount: skip the check of the page's account; for requests that store
 * nothing. Callers repeat requests after a transient Problem. Throws Problem, or AbortError if `signal` was aborted.
 *
 * @param {string} method
 * @param {string} url
 * @param {RequestOptions} options
 * @returns {Promise<{status: number, body: any, location: string | null}>}
 */
export async function call(method, url, options = {}) {
  try {
    return await send(method, url, options);
  } catch (error) {
    if (/** @type {Problem} */ (error).code !== "csrf_failed") throw error;
    await renewCsrfToken();
    return send(method, url, options);
  }
}

/**
 * @param {string} method
 * @param {string} url
 * @param {RequestOptions} options
 */
async function send(method, url, { json, form, key, signal, prefer, isForAnyAccount }) {
  const headers = createHeaders({ isForAnyAccount });
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  if (prefer) headers.Prefer = prefer;
  const broken = new AbortController();
  const timer = setTimeout(() => broken.abort(), TIMEOUT_MS);
  const abort = () => broken.abort();
  signal?.addEventListener("abort", abort);
  /** @type {Response} */
  let response;
  let body;
  try {
    signal?.throwIfAborted();
    const content = json === undefined ? form : JSON.stringify(json);
    response = await fetch(url, { method, headers, body: content, signal: broken.signal });
    body = await bodyOf(response);
  } catch {
    // The connection broke while sending or receiving.
    if (signal?.aborted) throw signal.reason;
    throw unreachable();
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
  if (!response.ok) throw createProblem(response.status, body, response.headers.get("Retry-After"));
  return { status: response.status, body, location: response.headers.get("Location") };
}

/** @param {Response} response */
async function bodyOf(response) {
  const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
  return isJson ? response.json() : null;
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/**
 * Polls a submission, at growing intervals, until its prediction succeeded or failed. Goes on while the account is signed
 * out.
 *
 * @param {string} url
 * @param {{signal?: AbortSignal}} options
 */
export async function pollUntilDone(url, { signal } = {}) {
  for (let pause = 400; ; pause = Math.min(pause * 1.5, 5000)) {
    await sleep(pause, signal);
    try {
      const { body } = await call("GET", url, { signal });
      if (body.state !== "pending") return body;
    } catch (error) {
      if (!(error instanceof Problem) || !(error.isTransient || error.isAboutAccount)) throw error;
    }
  }
}

/* Talks to the JSON API: one way to call it, one kind of error, one way to wait for an answer. */

/* What went wrong, in words for the visitor. status 0: the site could not be reached. */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /* Nothing is wrong with what was sent; the same again may work later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

const UNREACHABLE = "The site cannot be reached. Check your connection and try again.";

/* From the cookie and not from the page: signing in on another tab gives a new one. */
export function csrfToken() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";
}

/* A problem document says it itself (RFC 9457); anything else gets a plain sentence. */
export function problemOf(status, body) {
  if (status === 429) return new Problem(status, body?.detail ?? "That was a lot at once. Wait a minute and try again.");
  const detail = body?.detail ?? body?.title;
  return new Problem(status, detail ?? `The site answered with an error (${status}). Try again in a moment.`);
}

async function bodyOf(response) {
  const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
  return isJson ? response.json() : null;
}

/* Names a request that stores something, so that it can be sent again without being stored twice. Given what the last
 * one was, the same content keeps its key. (crypto.randomUUID is not there for a phone on the local network.) */
export function keyed(last, content) {
  if (last?.content === content) return last;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { content, key: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
}

/* Returns {status, body, location}; throws Problem, or AbortError when `signal` was aborted. */
export async function call(method, url, { json, key, signal, prefer } = {}) {
  const headers = { Accept: "application/json", "X-CSRFToken": csrfToken() };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  if (prefer) headers.Prefer = prefer;
  let response;
  try {
    response = await fetch(url, { method, headers, body: json === undefined ? undefined : JSON.stringify(json), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, UNREACHABLE);
  }
  const body = await bodyOf(response);
  if (!response.ok) throw problemOf(response.status, body);
  return { status: response.status, body, location: response.headers.get("Location") };
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

/* Polls a stored submission until it is answered or failed; slower as it takes longer. */
export async function untilAnswered(url, { signal } = {}) {
  for (let pause = 400; ; pause = Math.min(pause * 1.5, 5000)) {
    await sleep(pause, signal);
    try {
      const { body } = await call("GET", url, { signal });
      if (body.state !== "pending") return body;
    } catch (error) {
      if (!(error instanceof Problem) || !error.isPassing) throw error;
    }
  }
}

// @ts-check
/* The Upload page: a row for each file, with its progress, and its prediction or error. */

import { hintOf, sentenceOf } from "./answer.js";
import {
  createHeaders,
  createProblem,
  Problem,
  pollUntilDone,
  renewCsrfToken,
  unreachable,
  withIdempotencyKey,
} from "./api.js";
import { rememberConsent } from "./consent.js";
import { CropBox } from "./crop.js";
import { hideNotice, showNotice } from "./notice.js";

// Images with a longer side than this count as photos, for which a crop box is offered.
const PHOTO_SIDE = 640;
const MAX_CONCURRENT = 2;
// Transient errors are retried automatically, unless Retry-After is longer than the maximum.
const FIRST_RETRY_SECONDS = 5;
const MAX_RETRY_SECONDS = 60;
const UNSENT = ["ready", "queued", "sending", "retry"].map((state) => `[data-state="${state}"]`).join();

/** @type {HTMLFormElement} */
const form = document.querySelector("[data-upload]");
const rows = document.querySelector("[data-rows]");
/** @type {HTMLTemplateElement} */
const template = document.querySelector("template[data-row]");
const news = document.querySelector("[data-news]");
/** @type {HTMLInputElement} */
const mayTrain = form.querySelector("[data-may-train]");
const maxBytes = Number(form.dataset.maxBytes);

/** @param {number} bytes */
const megabytes = (bytes) => `${Number((bytes / 1024 / 1024).toPrecision(3))}\u00a0MB`;

/* --- Sending ------------------------------------------------------------------------------------------------ */

let running = 0;
/** @type {(() => Promise<void>)[]} */
const waiting = [];

/** @param {() => Promise<void>} job */
function enqueue(job) {
  waiting.push(job);
  startNext();
}

async function startNext() {
  if (running >= MAX_CONCURRENT || waiting.length === 0) return;
  running += 1;
  try {
    await waiting.shift()();
  } finally {
    running -= 1;
    startNext();
  }
}

/**
 * @param {FormData} body
 * @param {string} key
 * @param {(share: number) => void} onProgress
 */
async function send(body, key, onProgress) {
  try {
    return await post(body, key, onProgress);
  } catch (error) {
    if (/** @type {Problem} */ (error).code !== "csrf_failed") throw error;
    await renewCsrfToken();
    return post(body, key, onProgress);
  }
}

/**
 * Uses XMLHttpRequest because fetch reports no upload progress.
 *
 * @param {FormData} body
 * @param {string} key
 * @param {(share: number) => void} onProgress
 * @returns {Promise<any>}
 */
function post(body, key, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", form.dataset.submissionsUrl);
    for (const [name, value] of Object.entries(createHeaders())) request.setRequestHeader(name, value);
    request.setRequestHeader("Idempotency-Key", key);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      const { status, response } = request;
      if (status >= 300) reject(createProblem(status, response, request.getResponseHeader("Retry-After")));
      else if (response === null)
        reject(unreachable()); // connection closed early
      else resolve(response);
    });
    for (const name of ["error", "abort", "timeout"]) request.addEventListener(name, () => reject(unreachable()));
    request.send(body);
  });
}

/* --- Rows of an account that was signed out ----------------------------------------------------------------- */

/** @type {Set<Row>} */
const waitingForAccount = new Set();

/**
 * Keeps a row on the page, to send it when the account is signed in again.
 *
 * @param {Row} row
 * @param {Problem} problem
 */
function waitForAccount(row, problem) {
  waitingForAccount.add(row);
  const number = waitingForAccount.size;
  const assurance =
    number === 1 ? "your picture is kept on this page" : `your ${number} pictures are kept on this page`;
  showNotice(problem, { assurance, inNewTab: true, resumed: sendAgain });
}

function sendAgain() {
  const rowsToSend = [...waitingForAccount];
  waitingForAccount.clear();
  for (const row of rowsToSend) row.send();
}

// Warn before leaving the page with unsent files.
window.addEventListener("beforeunload", (event) => {
  if (rows.querySelector(UNSENT)) event.preventDefault();
});

/* --- One row ------------------------------------------------------------------------------------------------ */

/**
 * A submission of the API.
 *
 * @typedef {object} Stored
 * @property {string} state
 * @property {string} url
 * @property {string} page
 * @property {import("./answer.js").Answer | null} prediction
 * @property {string} failure
 */

class Row {
  #file;
  /** @type {CropBox | null} */
  #crop = null;
  #isSending = false;
  /** @type {import("./api.js").KeyedRequest | null} The last request, so that a repeated one is stored once. */
  #sending = null;
  #pause = FIRST_RETRY_SECONDS;
  #retryTimer = 0;

  /** @param {File} file */
  constructor(file) {
    this.#file = file;
    // importNode instead of cloneNode: images load only in the active document.
    this.element = document.importNode(template.content, true).querySelector("li");
    this.#part("name").textContent = file.name;
    this.#part("send").addEventListener("click", () => this.send());
    this.#part("remove").addEventListener("click", () => this.#remove());
    this.#start();
  }

  /**
   * @param {string} name
   * @returns {any} An element of the row; its kind depends on the name.
   */
  #part(name) {
    return this.element.querySelector(`[data-${name}]`);
  }

  /**
   * @param {string} state
   * @param {string} text
   */
  #setState(state, text) {
    this.element.dataset.state = state;
    this.#part("state").textContent = text;
    this.#part("progress").hidden = state !== "sending";
    this.#part("send").hidden = !["ready", "retry"].includes(state);
    this.#part("remove").hidden = !["ready", "retry", "refused"].includes(state);
    if (["done", "refused", "retry"].includes(state))
      news.textContent = `${this.#file.name}: ${this.#part("digit").textContent} ${text}`;
  }

  async #start() {
    if (this.#file.size > maxBytes) {
      this.#setState(
        "refused",
        `This file has ${megabytes(this.#file.size)}. We read pictures of up to ${megabytes(maxBytes)}.`,
      );
      return;
    }
    this.#setState("queued", "Looking at it…");
    const isPhoto = await this.#showThumbnail();
    if (isPhoto) {
      this.#offerCrop();
      this.#setState("ready", "Not sent yet.");
    } else this.send();
  }

  /* Returns whether the image is large enough to be a photo. False if the browser cannot decode it; the server may. */
  async #showThumbnail() {
    const picture = this.#part("thumb");
    picture.src = URL.createObjectURL(this.#file);
    try {
      await picture.decode();
    } catch {
      return false;
    }
    picture.hidden = false;
    this.#part("no-thumb").hidden = true;
    return Math.max(picture.naturalWidth, picture.naturalHeight) > PHOTO_SIDE;
  }

  #offerCrop() {
    this.#part("crop-picture").src = this.#part("thumb").src;
    this.#part("crop").hidden = false;
    this.#crop ??= new CropBox({
      stage: this.#part("stage"),
      picture: this.#part("crop-picture"),
      overlay: this.#part("box"),
      changed: () => this.#cropChanged(),
    });
    this.#cropChanged();
  }

  #cropChanged() {
    this.#part("send").textContent = this.#crop.values ? "Read the box" : "Read the whole picture";
    this.#part("crop-status").textContent = this.#crop.description;
  }

  #remove() {
    clearTimeout(this.#retryTimer);
    this.element.remove();
    if (waitingForAccount.delete(this) && waitingForAccount.size === 0) hideNotice();
  }

  send() {
    if (this.#isSending) return;
    this.#isSending = true;
    clearTimeout(this.#retryTimer);
    waitingForAccount.delete(this);
    this.#part("crop").hidden = true;
    this.#setState("queued", "Waiting for its turn…");
    enqueue(() => this.#sendNow());
  }

  async #sendNow() {
    const body = new FormData();
    body.set("image", this.#file);
    body.set("may_train", String(mayTrain.checked));
    if (this.#crop?.values) body.set("crop", JSON.stringify(this.#crop.values));
    this.#sending = withIdempotencyKey(this.#sending, `${body.get("may_train")} ${body.get("crop")}`);
    this.#setState("sending", "Sending…");
    try {
      const submission = await send(body, this.#sending.key, (share) => {
        this.#part("progress").value = share;
        if (share === 1) this.#part("state").textContent = "Reading…";
      });
      if (waitingForAccount.size === 0) hideNotice();
      this.#showAnswer(submission.state === "pending" ? await this.#follow(submission) : submission);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#isSending = false;
      this.#part("send").textContent = "Try again";
      if (error.isAboutAccount) {
        this.#setState("retry", "Not sent yet.");
        waitForAccount(this, error);
        return;
      }
      // 409: the first request is still being processed.
      if (error.isTransient || error.status === 409) this.#sendLater(error);
      else if (error.code === "blank" && !this.#part("thumb").hidden) {
        this.#offerCrop();
        this.#setState("retry", `${error.message} Is the digit only a part of it? Draw a box round it.`);
      } else this.#setState("refused", error.message);
    }
  }

  /** @param {Problem} problem */
  #sendLater(problem) {
    const seconds = Math.max(this.#pause, problem.retryAfter);
    const isSoon = seconds <= MAX_RETRY_SECONDS;
    this.#setState("retry", isSoon ? `${problem.message} Trying again in ${seconds} seconds…` : problem.message);
    if (isSoon) this.#retryTimer = setTimeout(() => this.send(), seconds * 1000);
    this.#pause = Math.min(this.#pause * 2, MAX_RETRY_SECONDS);
  }

  /** @param {Stored} submission */
  #follow(submission) {
    this.#setState("stored", "Stored. The answer follows as soon as there is one.");
    this.#link(submission);
    return pollUntilDone(submission.url);
  }

  /** @param {Stored} submission */
  #link(submission) {
    const open = this.#part("open");
    open.href = submission.page;
    open.hidden = false;
  }

  /** @param {Stored} submission */
  #showAnswer(submission) {
    this.#link(submission);
    const answer = submission.prediction;
    if (!answer) {
      this.#setState("refused", submission.failure);
      return;
    }
    this.#part("digit").textContent = answer.digit;
    this.element.dataset.verdict = answer.verdict;
    this.#setState("done", `${sentenceOf(answer)} · ${hintOf(answer)}`);
    if (answer.verdict !== "sure" && !this.#crop?.values) this.#offerBox(submission);
  }

  /** @param {Stored} submission */
  #offerBox(submission) {
    this.#part("try-box").href = `${submission.page}#box`;
    this.#part("box-hint").hidden = false;
  }
}

/* --- Inputs: file chooser, camera, drop, paste --------------------------------------------------------------- */

/** @param {FileList} files */
function addFiles(files) {
  rows.prepend(...Array.from(files, (file) => new Row(file).element));
}

for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll('input[type="file"]'))) {
  input.addEventListener("change", () => {
    addFiles(input.files);
    input.value = "";
  });
}

const drop = form.querySelector("[data-drop]");
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("is-over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) drop.classList.remove("is-over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("is-over");
  addFiles(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => addFiles(event.clipboardData.files));

form.addEventListener("submit", (event) => event.preventDefault());
rememberConsent(mayTrain);

// @ts-check
/* Review of one submission at a time. The next ones are prefetched, and decisions are sent in order in the background.
 *
 * A key applies to the image on the screen. Keys are ignored while there is none. */

import { hintOf, sentenceOf } from "./answer.js";
import { call, Problem } from "./api.js";
import { focusNotice, hideNotice, showNotice } from "./notice.js";
import { Outbox } from "./outbox.js";

// Items to prefetch; more are requested when fewer than REFILL_BELOW are left.
const PREFETCH_COUNT = 16;
const REFILL_BELOW = 12;
const MAX_REQUEST_COUNT = 60;

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {import("./api.js").ReviewItem} Item */

/**
 * An item that is shown or prefetched. decision: a label, "skip" or null.
 *
 * @typedef {{
 *   item: Item, picture: HTMLImageElement | SVGElement, input: HTMLImageElement, isReady: boolean, decision: string | null
 * }} CachedItem
 */

/** @type {HTMLFormElement} */
const page = document.querySelector("[data-review]");
/** @type {(name: string) => any} An element of this page; its kind depends on the name. */
const find = (name) => document.querySelector(`[data-${name}]`);
/** @type {Record<string, string>} */
const TRUTHS = JSON.parse(document.getElementById("truths").textContent);
/** @type {Record<string, string>} */
const LABEL_BY_VERDICT = { not_a_digit: "not_a_digit", several: "several" };
/** @type {Record<string, string>} */
const KEYS = { x: "not_a_digit", m: "several", r: "unreadable" };
const rule = find("rule").value;

/** @type {CachedItem[]} */
const itemCache = [];
/** @type {{index: number, before: string | null}[]} The decisions, in order. */
const history = [];
let position = 0;
let isFetching = false;
let isExhausted = false;
let isLeaving = false;
/** @type {Problem | null} The problem with the account; decisions are disabled until it is solved. */
let stoppedBy = null;
const canUndoEarlier = !find("undo").disabled;

const current = () => itemCache[position];
const countUndecided = () => itemCache.filter((entry) => entry.decision === null).length;

/* --- Pictures ----------------------------------------------------------------------------------------------- */

const SVG = "http://www.w3.org/2000/svg";

/** @param {Item} item */
function createPicture(item) {
  const plain = new Image(item.width, item.height);
  plain.src = item.image;
  if (!item.crop) return plain;
  const [left, top, right, bottom] = item.crop;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
  const image = document.createElementNS(SVG, "image");
  image.setAttribute("href", item.image);
  image.setAttribute("width", String(item.width));
  image.setAttribute("height", String(item.height));
  svg.append(image);
  return svg;
}

/** @param {Item} item */
function cacheItem(item) {
  const picture = createPicture(item);
  picture.setAttribute("class", "stage-picture");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", "The picture to be reviewed");
  const input = new Image(28, 28);
  input.src = item.pixels;
  input.className = "model-input-image";
  input.alt = "The 28 by 28 pixels that the model saw";
  /** @type {CachedItem} */
  const entry = { item, picture, input, isReady: false, decision: null };
  // Decode the image before it is shown, for a fast change. Unreadable images are shown too, and can be labelled.
  const copy = new Image();
  copy.src = item.image;
  const ready = () => {
    entry.isReady = true;
    if (current() === entry) showBusy();
  };
  copy.decode().then(ready, ready);
  itemCache.push(entry);
}

/* --- Prefetching -------------------------------------------------------------------------------------------- */

async function refill() {
  if (isFetching || stoppedBy || isExhausted || countUndecided() >= REFILL_BELOW) return;
  isFetching = true;
  try {
    // Items with unsent decisions are still leased to this reviewer and are returned again.
    const count = Math.min(PREFETCH_COUNT + outbox.length, MAX_REQUEST_COUNT);
    const { body } = await call("POST", page.dataset.nextUrl, { json: { rule, count } });
    const known = new Map(itemCache.map((entry) => [entry.item.id, entry]));
    const unsent = outbox.submissions;
    /** @type {Item[]} */
    const items = body.items;
    const fresh = items.filter((item) => !known.has(item.id) && !unsent.has(item.id));
    fresh.forEach(cacheItem);
    // Skipped items are returned when no others are left.
    const skipped = items.map((item) => known.get(item.id)).filter((entry) => entry?.decision === "skip");
    for (const entry of skipped) if (!unsent.has(entry.item.id)) entry.decision = null;
    isExhausted = items.length < count;
    showProgress(body.progress);
    setTrouble("asking", "");
    if (!current() && countUndecided() > 0) position = itemCache.findIndex((entry) => entry.decision === null);
    if (page.dataset.item !== (current()?.item.id ?? "")) show();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.isAboutAccount) {
      stop(error);
    } else {
      setTrouble("asking", error.message);
      setTimeout(refill, Math.max(2000, error.retryAfter * 1000));
    }
  } finally {
    isFetching = false;
  }
  if (!current()) show();
}

/* --- Rendering ---------------------------------------------------------------------------------------------- */

/** @param {Answer | null} answer */
const confirmedLabel = (answer) => (answer ? (LABEL_BY_VERDICT[answer.verdict] ?? String(answer.digit)) : "");

function show() {
  const entry = current();
  const isEmpty = entry === undefined;
  find("reading").hidden = isEmpty;
  find("empty").hidden = !isEmpty;
  page.classList.toggle("is-empty", isEmpty);
  find("stage").replaceChildren(...(isEmpty ? [] : [entry.picture]));
  showBusy();
  page.dataset.item = isEmpty ? "" : entry.item.id;
  find("submission").value = page.dataset.item;
  find("undo").disabled = history.length === 0 && !canUndoEarlier;
  if (isEmpty) {
    find("empty-title").textContent = isExhausted ? "Nothing waits here" : "Fetching the next pictures…";
    find("empty-text").hidden = !isExhausted;
    return;
  }
  const { item } = entry;
  find("seen").replaceWith(entry.input);
  entry.input.dataset.seen = "";
  find("reason").textContent = item.why;
  find("blind").hidden = !item.blind;
  find("demo").hidden = !item.demo;
  showAnswer(item.answer);
  find("suggested").hidden = !item.suggestion;
  find("suggestion").textContent = TRUTHS[item.suggestion] ?? "";
  find("back").disabled = position === 0;
  find("forth").disabled = position >= itemCache.length - 1;
  showDecision(entry.decision);
}

/* Keys are ignored until the image is visible. */
function showBusy() {
  find("stage").setAttribute("aria-busy", String(current() !== undefined && !current().isReady));
}

/** @param {Answer | null} answer */
function showAnswer(answer) {
  const value = confirmedLabel(answer);
  find("verdict-box").dataset.verdict = answer?.verdict ?? "blind";
  find("digit").textContent = answer?.digit ?? "?";
  find("sentence").textContent = answer ? sentenceOf(answer) : "What is it?";
  find("hint").textContent = answer
    ? `${hintOf(answer)} · runner-up ${answer.runner_up}`
    : "The answer is not shown here";
  const confirm = find("confirm");
  confirm.value = value;
  confirm.disabled = !value;
  const isDigit = value.length === 1;
  find("confirm-text").textContent = isDigit ? `Right, it is ${value}` : value ? "Right" : "Press what you see";
}

/** @param {string | null} decision */
function showDecision(decision) {
  const mark = find("decided");
  mark.hidden = decision === null;
  mark.textContent = decision === "skip" ? "You skipped this" : decision ? `You said: ${TRUTHS[decision]}` : "";
  for (const key of /** @type {NodeListOf<HTMLButtonElement>} */ (page.querySelectorAll(".key")))
    key.setAttribute("aria-pressed", String(key.value === decision));
}

/** @param {{today: number, per_minute: number | null, waiting: number, until_training: number | null}} progress */
function showProgress(progress) {
  find("today").textContent = progress.today;
  find("pace").textContent = progress.per_minute === null ? "–" : Math.round(progress.per_minute);
  find("waiting").textContent = progress.waiting;
  find("until").textContent = progress.until_training ?? "";
}

/**
 * Updates the counters for an unsent decision; the next refill returns the real ones.
 *
 * @param {number} difference
 */
function addToCounters(difference) {
  for (const [name, sign] of Object.entries({ today: 1, waiting: -1 })) {
    find(name).textContent = Math.max(0, Number(find(name).textContent) + sign * difference);
  }
}

/* Error messages by source: prefetching, sending decisions, and a decision itself. */
const troubles = { asking: "", sending: "", decision: "" };

/** @type {(about: keyof typeof troubles, text: string) => void} */
function setTrouble(about, text) {
  if (troubles[about] === text) return;
  troubles[about] = text;
  const sentences = [...new Set(Object.values(troubles))].filter(Boolean);
  find("trouble").hidden = sentences.length === 0;
  find("trouble").textContent = sentences.join(" ");
}

/* --- Deciding ----------------------------------------------------------------------------------------------- */

const ACTS = { decide: page.dataset.decisionsUrl, skip: page.dataset.skipsUrl, undo: page.dataset.undoUrl };
/** @param {number} number */
const decisions = (number) => `${number} decision${number === 1 ? "" : "s"}`;
let lost = 0; // decisions that the site has refused

const outbox = new Outbox(ACTS, {
  changed: (length) => {
    find("unsent-box").hidden = length < 2;
    find("unsent").textContent = length;
    if (stoppedBy) showStopped();
    if (length === 0 && isExhausted && countUndecided() === 0) {
      isExhausted = false;
      refill();
    }
  },
  answered: (entry, body) => {
    resume();
    setTrouble("sending", "");
    if (entry.act === "undo" && body.item === null) {
      setTrouble("decision", "Taken back. Another reviewer has it in front of them now.");
    }
  },
  refused: (_entry, problem) => {
    lost += 1;
    setTrouble("decision", `${decisions(lost)} could not be stored: ${problem.message}`);
  },
  waiting: (problem) => setTrouble("sending", `${problem.message} Your decisions are kept and sent again.`),
  stopped: stop,
});

/**
 * Signed out: disables the keys until the account is signed in again. Decisions are kept and sent then.
 *
 * @param {Problem} problem
 */
function stop(problem) {
  stoppedBy = problem;
  setTrouble("sending", "");
  page.classList.add("is-stopped");
  showStopped();
}

function showStopped() {
  const number = outbox.length;
  const assurance = number === 0 ? "nothing is lost" : `your ${decisions(number)} ${number === 1 ? "is" : "are"} kept`;
  showNotice(stoppedBy, { assurance, resumed: handleResume });
}

function handleResume() {
  resume();
  outbox.send();
}

function resume() {
  if (!stoppedBy) return;
  stoppedBy = null;
  page.classList.remove("is-stopped");
  hideNotice();
  refill();
}

function advance() {
  const next = itemCache.findIndex((entry, index) => index > position && entry.decision === null);
  const first = itemCache.findIndex((entry) => entry.decision === null);
  position = next >= 0 ? next : first >= 0 ? first : itemCache.length;
  show();
  refill();
}

/** @param {string} value */
function decide(value) {
  if (stoppedBy) focusNotice();
  const entry = current();
  if (stoppedBy || !entry?.isReady || !value) return;
  if (entry.decision === value) {
    advance();
    return;
  }
  if (value !== "skip" && (entry.decision ?? "skip") === "skip") addToCounters(1);
  history.push({ index: position, before: entry.decision });
  entry.decision = value;
  const submission = entry.item.id;
  if (value === "skip") outbox.add({ act: "skip", body: { submission } });
  else outbox.add({ act: "decide", body: { submission, value } });
  advance();
}

function undo() {
  if (stoppedBy) return;
  const last = history.pop();
  if (last === undefined) {
    undoEarlier();
    return;
  }
  const entry = itemCache[last.index];
  const before = last.before === "skip" ? null : last.before;
  if (entry.decision !== "skip" && before === null) addToCounters(-1);
  entry.decision = before;
  outbox.add({ act: "undo", body: { submission: entry.item.id } });
  position = last.index;
  show();
}

/* Undoes a decision from before this page was opened, by submitting the form. */
function undoEarlier() {
  if (find("undo").disabled || outbox.length > 0) return;
  isLeaving = true;
  page.requestSubmit(find("undo"));
}

/** @param {number} step */
function move(step) {
  const to = position + step;
  if (to < 0 || to >= itemCache.length) return;
  position = to;
  show();
  refill();
}

function zoom() {
  const isLarge = page.classList.toggle("is-zoomed");
  find("zoom").setAttribute("aria-pressed", String(isLarge));
}

/* --- Keys, buttons ------------------------------------------------------------------------------------------ */

/** @param {Element} element */
const isField = (element) => element.matches("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.repeat || event.isComposing) return;
  const target = /** @type {Element} */ (event.target);
  if (isField(target)) return;
  const key = event.key.toLowerCase();
  if (/^[0-9]$/.test(key)) decide(key);
  else if (key in KEYS) decide(KEYS[key]);
  else if (key === "s") decide("skip");
  else if (key === "u") undo();
  else if (key === "z" || (key === "escape" && page.classList.contains("is-zoomed"))) zoom();
  else if (key === "arrowleft") move(-1);
  else if (key === "arrowright") move(1);
  // Enter activates a focused button or link instead.
  else if (key === "enter" && !target.closest("a, button, summary")) decide(confirmedLabel(current()?.item.answer));
  else return;
  event.preventDefault();
});

page.addEventListener("submit", (event) => {
  if (isLeaving) return;
  event.preventDefault();
  const { value } = /** @type {HTMLButtonElement} */ (event.submitter);
  if (value === "undo") undo();
  else decide(value);
});
// A clicked button loses the focus, so that Enter confirms the next item instead of pressing the button again.
page.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("button");
  if (button && event.detail > 0) button.blur();
});
find("zoom").addEventListener("click", zoom);
find("back").addEventListener("click", () => move(-1));
find("forth").addEventListener("click", () => move(1));
find("rule").addEventListener("change", () => find("rule-form").requestSubmit());

page.dataset.item = "";

outbox.send();
refill();

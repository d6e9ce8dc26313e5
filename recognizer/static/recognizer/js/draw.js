// @ts-check
/* The Draw page: a live prediction after each stroke, saving, and labelling. */

import { AccountStore, account } from "./account.js";
import { hintOf, renderBars, renderPixels, sentenceOf } from "./answer.js";
import { call, Problem, pollUntilDone, sleep, withIdempotencyKey } from "./api.js";
import { Board } from "./board.js";
import { rememberConsent } from "./consent.js";
import { hideNotice, showNotice } from "./notice.js";

const NAME = "drawing";
const store = new AccountStore("sessionStorage");
// Delay before "Reading…" is shown, so that fast predictions do not flicker.
const READING_DELAY_MS = 200;
const FIRST_RETRY_MS = 2000;
const MAX_RETRY_MS = 15_000;
// Attempts while an earlier request with the same key is still being processed (409).
const MAX_ATTEMPTS = 8;

/** @typedef {import("./answer.js").Answer} Answer */

/** @type {HTMLElement} */
const page = document.querySelector("[data-draw]");
/** @type {(name: string) => any} An element of this page; its kind depends on the name. */
const find = (name) => document.querySelector(`[data-${name}]`);
/** @type {Record<string, any>} */
const elements = {};
for (const name of [
  ...["canvas", "hint", "undo", "redo", "clear"],
  ...["digit", "spoken", "sentence", "sentence-hint", "seen", "bars"],
  ...["save", "right", "note", "note-text", "note-more", "note-link", "next", "may-train"],
]) {
  elements[name] = find(name);
}
const verdictBox = find("verdict-box");
const keys = [.../** @type {NodeListOf<HTMLButtonElement>} */ (page.querySelectorAll("[data-value]"))];
const pens = [.../** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('input[name="pen"]'))];

/**
 * answer: the prediction that is shown. saved: the stored submission of exactly this drawing. saving: promise of the
 * request that stores it. sending: the last request, unless it is known to be stored. drawing: number of changes, to
 * recognize responses for an older drawing.
 *
 * @typedef {{id: string, url: string, api: string, label: string | null}} Saved
 *
 * @type {{
 *   answer: Answer | null,
 *   saved: Saved | null,
 *   saving: Promise<Saved | null> | null,
 *   sending: import("./api.js").KeyedRequest | null,
 *   drawing: number,
 *   isLabelling: boolean,
 * }}
 */
const state = {
  answer: null,
  saved: null,
  saving: null,
  sending: null,
  drawing: 0,
  isLabelling: false,
};

const board = new Board(elements.canvas, {
  began: () => {
    elements.hint.hidden = true;
  },
  changed: () => {
    state.drawing += 1;
    state.saved = null;
    // First, so that the rest runs while the request is under way.
    preview();
    storeDrawing();
    note("");
    refresh();
  },
  full: () => note("This drawing is full. Undo a stroke or clear it.", "error"),
});

/* --- Rendering ---------------------------------------------------------------------------------------------- */

/**
 * @param {string} verdict
 * @param {string} digit
 * @param {string} sentence
 * @param {string} hint
 */
function show(verdict, digit, sentence, hint) {
  verdictBox.dataset.verdict = verdict;
  elements.digit.textContent = digit;
  elements.spoken.textContent = digit === "–" ? "" : `${digit}. `;
  elements.sentence.textContent = sentence;
  elements["sentence-hint"].textContent = hint;
}

/** @param {Answer} answer */
function showAnswer(answer) {
  state.answer = answer;
  show(answer.verdict, answer.verdict === "blank" ? "–" : String(answer.digit), sentenceOf(answer), hintOf(answer));
  renderBars(elements.bars, answer.verdict === "blank" ? null : answer);
  refresh();
}

function showBlank() {
  renderPixels(elements.seen, null);
  showAnswer({ verdict: "blank", digit: null });
}

/**
 * Clears the last prediction while there is none for this drawing.
 *
 * @param {string} verdict
 * @param {string} sentence
 * @param {string} hint
 */
function showPlaceholder(verdict, sentence, hint) {
  state.answer = null;
  show(verdict, "–", sentence, hint);
  renderPixels(elements.seen, null);
  renderBars(elements.bars, null);
  refresh();
}

/**
 * @param {string} text
 * @param {string} kind
 * @param {string | null} link
 */
function note(text, kind = "", link = null) {
  elements["note-text"].textContent = text;
  elements.note.dataset.kind = kind;
  elements["note-more"].hidden = link === null;
  if (link) elements["note-link"].href = link;
}

function refresh() {
  const isBusy = state.saving !== null || state.isLabelling;
  elements.hint.hidden = !board.isEmpty || board.isDrawing;
  elements.undo.disabled = !board.canUndo;
  elements.redo.disabled = !board.canRedo;
  elements.clear.disabled = board.isEmpty;
  elements.save.disabled = board.isEmpty || isBusy || state.saved !== null;
  elements.save.firstChild.textContent = state.saved ? "Saved " : state.saving ? "Saving… " : "Save ";
  const hasGuess = state.answer !== null && state.answer.verdict !== "blank";
  elements.right.disabled = board.isEmpty || isBusy || !hasGuess;
  elements.right.textContent = hasGuess ? `Right, it is ${state.answer.digit}` : "Right";
  elements.right.setAttribute("aria-pressed", String(hasGuess && state.saved?.label === String(state.answer.digit)));
  for (const key of keys) {
    key.disabled = board.isEmpty || isBusy;
    key.setAttribute("aria-pressed", String(state.saved?.label === key.dataset.value));
  }
}

/* --- Live prediction ---------------------------------------------------------------------------------------- */

let previewAbort = new AbortController();
let retryTimer = 0;

async function preview(retryAfter = FIRST_RETRY_MS) {
  previewAbort.abort();
  clearTimeout(retryTimer);
  if (board.isEmpty) {
    showBlank();
    return;
  }
  previewAbort = new AbortController();
  const { signal } = previewAbort;
  // Retries leave the last message in place.
  const isRetry = retryAfter > FIRST_RETRY_MS;
  const readingTimer = isRetry
    ? 0
    : setTimeout(() => showPlaceholder("waiting", "Reading…", "The answer is on its way"), READING_DELAY_MS);
  try {
    const { body } = await call("POST", page.dataset.previewUrl, {
      json: { strokes: board },
      signal,
      isForAnyAccount: true,
    });
    clearTimeout(readingTimer);
    if (signal.aborted) return;
    renderPixels(elements.seen, body.pixels.flat());
    showAnswer(body);
  } catch (error) {
    clearTimeout(readingTimer);
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    if (error.isTransient) {
      showPlaceholder("unavailable", "No answer right now", "Your drawing is safe. Trying again…");
      const pause = Math.max(retryAfter, error.retryAfter * 1000);
      retryTimer = setTimeout(() => preview(Math.min(retryAfter * 2, MAX_RETRY_MS)), pause);
    } else {
      showPlaceholder("unavailable", "This drawing cannot be read", error.message);
    }
  }
}

/* --- Saving and labelling ----------------------------------------------------------------------------------- */

async function submit() {
  const drawing = state.drawing;
  const json = { strokes: board, pen: board.pens, may_train: elements["may-train"].checked };
  state.sending = withIdempotencyKey(state.sending, JSON.stringify(json));
  storeDrawing();
  const body = await send(json, state.sending.key);
  state.sending = null;
  hideNotice();
  if (state.drawing !== drawing) return null;
  state.saved = { id: body.id, url: body.page, api: body.url, label: null };
  storeDrawing();
  if (body.state === "pending") followUp(body.url, drawing);
  else if (body.prediction) showPrediction(body);
  return state.saved;
}

/**
 * @param {object} json
 * @param {string} key
 */
async function send(json, key) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return (await call("POST", page.dataset.submissionsUrl, { json, key })).body;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 409 || attempt === MAX_ATTEMPTS) throw error;
      await sleep(1000);
    }
  }
}

/** @param {{prediction: Answer}} submission */
function showPrediction(submission) {
  previewAbort.abort();
  clearTimeout(retryTimer);
  showAnswer(submission.prediction);
}

/**
 * Waits for the prediction of a stored drawing.
 *
 * @param {string} url
 * @param {number} drawing
 */
async function followUp(url, drawing) {
  try {
    const submission = await pollUntilDone(url);
    if (state.drawing === drawing && submission.prediction) showPrediction(submission);
  } catch (error) {
    if (!(error instanceof Problem)) throw error; // deleted: the next action reports it
  }
}

/* Stores the drawing, at most once until it changes. Returns the stored submission. */
async function save() {
  if (state.saved) return state.saved;
  if (!state.saving) {
    state.saving = submit().finally(() => {
      state.saving = null;
      refresh();
    });
    refresh();
  }
  return state.saving;
}

/** @param {unknown} error */
function showError(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 410 || (error.status === 404 && state.saved)) {
    state.saved = state.sending = null;
    storeDrawing();
    note("What was saved has been deleted meanwhile. Press again to save the drawing again.", "error");
    return;
  }
  if (error.isAboutAccount) {
    showNotice(error, {
      assurance: "your drawing is kept",
      resumed: () => note("You are signed in again. Press once more."),
    });
    note(state.saved ? "Your drawing is saved, but not yet what it is." : "Not saved yet.", "error");
    return;
  }
  note(error.isTransient ? `${error.message} Your drawing is still here.` : error.message, "error");
}

async function handleSave() {
  if (board.isEmpty) {
    note("Nothing drawn yet.", "error");
    return;
  }
  if (state.saved || board.isDrawing) return;
  try {
    const saved = await save();
    if (saved) note(savedText(), "done", saved.url);
  } catch (error) {
    showError(error);
  }
}

const savedText = () =>
  verdictBox.dataset.verdict === "unavailable" ? "Saved. The answer follows as soon as there is one." : "Saved.";

/** @param {string} value */
async function handleLabel(value) {
  if (board.isEmpty || state.isLabelling || state.saved?.label === value) return;
  state.isLabelling = true;
  refresh();
  try {
    const saved = await save();
    if (!saved) return;
    await call("POST", `${page.dataset.submissionsUrl}/${saved.id}/labels`, { json: { value, reason: "own_page" } });
    saved.label = value;
    storeDrawing();
    note(`Saved as ${value === "not_a_digit" ? "not a digit" : `a ${value}`}. Thank you.`, "done", saved.url);
  } catch (error) {
    showError(error);
  } finally {
    state.isLabelling = false;
    refresh();
  }
}

/* --- Storing the drawing for a reload ----------------------------------------------------------------------- */

function storeDrawing() {
  const { saved, sending } = state;
  store.set(NAME, JSON.stringify({ strokes: board.snapshot(), saved, sending }));
}

function restoreDrawing() {
  const json = store.get(NAME) ?? takeVisitorDrawing();
  if (!json) return;
  const { strokes, saved, sending } = JSON.parse(json);
  // On a new visit, neither a reload nor a step back, a saved drawing is not restored.
  const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  if (saved && navigation.type === "navigate") return;
  board.restore(strokes);
  state.saved = saved;
  state.sending = sending;
  storeDrawing();
}

/* Returns the drawing of a visitor who has signed in since. Drawings are not moved between accounts. */
function takeVisitorDrawing() {
  if (!account) return null;
  const visitors = new AccountStore("sessionStorage", "");
  const json = visitors.get(NAME);
  visitors.remove(NAME);
  return json;
}

/* --- Events ------------------------------------------------------------------------------------------------- */

elements.undo.addEventListener("click", () => board.undo());
elements.redo.addEventListener("click", () => board.redo());
elements.clear.addEventListener("click", () => board.clear());
elements.next.addEventListener("click", () => board.clear());
elements.save.addEventListener("click", handleSave);
elements.right.addEventListener("click", () => handleLabel(String(state.answer.digit)));
for (const key of keys) key.addEventListener("click", () => handleLabel(key.dataset.value));
for (const pen of pens) {
  pen.addEventListener("change", () => {
    board.pen = Number(pen.value);
  });
}

rememberConsent(elements["may-train"]);

/**
 * Whether an element handles Enter itself; radio buttons and checkboxes do not.
 *
 * @param {Element} element
 */
const handlesEnter = (element) => element.closest("a, button") !== null;

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && key === "z") event.shiftKey ? board.redo() : board.undo();
  else if (isCommand && key === "y") board.redo();
  else if (!isCommand && key === "escape") board.clear();
  else if (!isCommand && key === "enter" && !handlesEnter(/** @type {Element} */ (event.target))) handleSave();
  else return;
  event.preventDefault();
});

board.pen = Number(pens.find((pen) => pen.checked).value);
restoreDrawing();
refresh();
preview();

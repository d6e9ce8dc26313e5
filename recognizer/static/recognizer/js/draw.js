/* The Draw page: a live answer after each stroke, saving, and saying what the digit really was. */

import { AccountStore, account } from "./account.js";
import { hintOf, paintBars, paintPixels, sentenceOf } from "./answer.js";
import { call, keyed, Problem, sleep, untilAnswered } from "./api.js";
import { Board } from "./board.js";
import { rememberConsent } from "./consent.js";
import { hideNotice, showNotice } from "./notice.js";

const NAME = "drawing";
const store = new AccountStore("sessionStorage");
// An answer faster than this needs no "Reading…" in between: it would only flicker.
const PATIENCE = 200;
const FIRST_RETRY = 2000;
const LONGEST_RETRY = 15_000;
// A press whose answer was lost may still be being stored when it is pressed again: so often it is asked for.
const MOST_TRIES = 8;

const page = document.querySelector("[data-draw]");
const find = (name) => document.querySelector(`[data-${name}]`);
const parts = {};
for (const name of [
  ...["canvas", "hint", "undo", "redo", "clear"],
  ...["digit", "spoken", "sentence", "sentence-hint", "seen", "bars"],
  ...["save", "right", "note", "note-text", "note-more", "note-link", "next", "may-train"],
]) {
  parts[name] = find(name);
}
const verdictBox = find("verdict-box");
const keys = [...page.querySelectorAll("[data-value]")];
const pens = [...document.querySelectorAll('input[name="pen"]')];

const state = {
  answer: null, // what is shown
  saved: null, // {id, url, api, label}: the stored submission of exactly this drawing
  saving: null, // the one request that stores it
  sending: null, // {content, key}: what was sent last and is not known to be stored
  drawing: 0, // counts changes, so that a late reply is known to be about an older drawing
  isLabelling: false,
};

const board = new Board(parts.canvas, {
  began: () => {
    parts.hint.hidden = true;
  },
  changed: () => {
    state.drawing += 1;
    state.saved = null;
    // First: while the site answers there is time for everything else.
    preview();
    remember();
    note("");
    refresh();
  },
  full: () => note("This drawing is full. Undo a stroke or clear it.", "error"),
});

/* --- What is shown ------------------------------------------------------------------------------------------ */

function show(verdict, digit, sentence, hint) {
  verdictBox.dataset.verdict = verdict;
  parts.digit.textContent = digit;
  parts.spoken.textContent = digit === "–" ? "" : `${digit}. `;
  parts.sentence.textContent = sentence;
  parts["sentence-hint"].textContent = hint;
}

function showAnswer(answer) {
  state.answer = answer;
  show(answer.verdict, answer.verdict === "blank" ? "–" : String(answer.digit), sentenceOf(answer), hintOf(answer));
  paintBars(parts.bars, answer.verdict === "blank" ? null : answer);
  refresh();
}

function showBlank() {
  paintPixels(parts.seen, null);
  showAnswer({ verdict: "blank", digit: null });
}

/* Honest while there is no answer: nothing of the last one stays. */
function showNone(verdict, sentence, hint) {
  state.answer = null;
  show(verdict, "–", sentence, hint);
  paintPixels(parts.seen, null);
  paintBars(parts.bars, null);
  refresh();
}

function note(text, kind = "", link = null) {
  parts["note-text"].textContent = text;
  parts.note.dataset.kind = kind;
  parts["note-more"].hidden = link === null;
  if (link) parts["note-link"].href = link;
}

function refresh() {
  const isBusy = state.saving !== null || state.isLabelling;
  parts.hint.hidden = !board.isEmpty || board.isDrawing;
  parts.undo.disabled = !board.canUndo;
  parts.redo.disabled = !board.canRedo;
  parts.clear.disabled = board.isEmpty;
  parts.save.disabled = board.isEmpty || isBusy || state.saved !== null;
  parts.save.firstChild.textContent = state.saved ? "Saved " : state.saving ? "Saving… " : "Save ";
  const hasGuess = state.answer !== null && state.answer.verdict !== "blank";
  parts.right.disabled = board.isEmpty || isBusy || !hasGuess;
  parts.right.textContent = hasGuess ? `Right, it is ${state.answer.digit}` : "Right";
  parts.right.setAttribute("aria-pressed", String(hasGuess && state.saved?.label === String(state.answer.digit)));
  for (const key of keys) {
    key.disabled = board.isEmpty || isBusy;
    key.setAttribute("aria-pressed", String(state.saved?.label === key.dataset.value));
  }
}

/* --- Live answer -------------------------------------------------------------------------------------------- */

let asking = new AbortController();
let retryTimer = 0;

async function preview(retryAfter = FIRST_RETRY) {
  asking.abort();
  clearTimeout(retryTimer);
  if (board.isEmpty) {
    showBlank();
    return;
  }
  asking = new AbortController();
  const { signal } = asking;
  // While it is tried again, what was said the last time stays.
  const isRetry = retryAfter > FIRST_RETRY;
  const patience = isRetry
    ? 0
    : setTimeout(() => showNone("waiting", "Reading…", "The answer is on its way"), PATIENCE);
  try {
    const { body } = await call("POST", page.dataset.previewUrl, {
      json: { strokes: board },
      signal,
      isForAnyAccount: true,
    });
    clearTimeout(patience);
    if (signal.aborted) return;
    paintPixels(parts.seen, body.pixels.flat());
    showAnswer(body);
  } catch (error) {
    clearTimeout(patience);
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    if (error.isPassing) {
      showNone("unavailable", "No answer right now", "Your drawing is safe. Trying again…");
      const pause = Math.max(retryAfter, error.retryAfter * 1000);
      retryTimer = setTimeout(() => preview(Math.min(retryAfter * 2, LONGEST_RETRY)), pause);
    } else {
      showNone("unavailable", "This drawing cannot be read", error.message);
    }
  }
}

/* --- Saving and labelling ----------------------------------------------------------------------------------- */

async function submit() {
  const drawing = state.drawing;
  const json = { strokes: board, pen: board.pens, may_train: parts["may-train"].checked };
  state.sending = keyed(state.sending, JSON.stringify(json));
  remember();
  const body = await send(json, state.sending.key);
  state.sending = null;
  hideNotice();
  if (state.drawing !== drawing) return null;
  state.saved = { id: body.id, url: body.page, api: body.url, label: null };
  remember();
  if (body.state === "pending") follow(body.url, drawing);
  else if (body.prediction) settle(body);
  return state.saved;
}

async function send(json, key) {
  for (let tries = 1; ; tries += 1) {
    try {
      return (await call("POST", page.dataset.submissionsUrl, { json, key })).body;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 409 || tries === MOST_TRIES) throw error;
      await sleep(1000);
    }
  }
}

function settle(submission) {
  asking.abort();
  clearTimeout(retryTimer);
  showAnswer(submission.prediction);
}

/* The worker is slow or away: the drawing is stored, its answer comes when it comes. */
async function follow(url, drawing) {
  try {
    const submission = await untilAnswered(url);
    if (state.drawing === drawing && submission.prediction) settle(submission);
  } catch (error) {
    if (!(error instanceof Problem)) throw error; // deleted meanwhile: the next press says so
  }
}

/* Stores the drawing once, however often it is asked to; gives the stored one until the drawing changes. */
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

function complain(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 410 || (error.status === 404 && state.saved)) {
    state.saved = state.sending = null;
    remember();
    note("What was saved has been deleted meanwhile. Press again to save the drawing anew.", "error");
    return;
  }
  if (error.isAboutAccount) {
    showNotice(error, {
      kept: "your drawing is kept",
      resumed: () => note("You are signed in again. Press once more."),
    });
    note(state.saved ? "Your drawing is saved, but not yet what it is." : "Not saved yet.", "error");
    return;
  }
  note(error.isPassing ? `${error.message} Your drawing is still here.` : error.message, "error");
}

async function pressSave() {
  if (board.isEmpty) {
    note("Nothing drawn yet.", "error");
    return;
  }
  if (state.saved || board.isDrawing) return;
  try {
    const saved = await save();
    if (saved) note(savedText(), "done", saved.url);
  } catch (error) {
    complain(error);
  }
}

const savedText = () =>
  verdictBox.dataset.verdict === "unavailable" ? "Saved. The answer follows as soon as there is one." : "Saved.";

async function pressLabel(value) {
  if (board.isEmpty || state.isLabelling || state.saved?.label === value) return;
  state.isLabelling = true;
  refresh();
  try {
    const saved = await save();
    if (!saved) return;
    await call("POST", `${page.dataset.submissionsUrl}/${saved.id}/labels`, { json: { value, reason: "own_page" } });
    saved.label = value;
    remember();
    note(`Saved as ${value === "not_a_digit" ? "not a digit" : `a ${value}`}. Thank you.`, "done", saved.url);
  } catch (error) {
    complain(error);
  } finally {
    state.isLabelling = false;
    refresh();
  }
}

/* --- The drawing survives a reload -------------------------------------------------------------------------- */

function remember() {
  const { saved, sending } = state;
  store.set(NAME, JSON.stringify({ strokes: board.snapshot(), saved, sending }));
}

function recall() {
  const kept = store.get(NAME) ?? takeOver();
  if (!kept) return;
  const { strokes, saved, sending } = JSON.parse(kept);
  // Whoever comes anew, and neither reloads nor goes back, has done with what is saved.
  if (saved && performance.getEntriesByType("navigation")[0].type === "navigate") return;
  board.restore(strokes);
  state.saved = saved;
  state.sending = sending;
  remember();
}

/* A visitor who draws and then signs in takes the drawing along; from one account to another none is taken. */
function takeOver() {
  if (!account) return null;
  const visitors = new AccountStore("sessionStorage", "");
  const kept = visitors.get(NAME);
  visitors.remove(NAME);
  return kept;
}

/* --- Wiring ------------------------------------------------------------------------------------------------- */

parts.undo.addEventListener("click", () => board.undo());
parts.redo.addEventListener("click", () => board.redo());
parts.clear.addEventListener("click", () => board.clear());
parts.next.addEventListener("click", () => board.clear());
parts.save.addEventListener("click", pressSave);
parts.right.addEventListener("click", () => pressLabel(String(state.answer.digit)));
for (const key of keys) key.addEventListener("click", () => pressLabel(key.dataset.value));
for (const pen of pens) {
  pen.addEventListener("change", () => {
    board.pen = Number(pen.value);
  });
}

rememberConsent(parts["may-train"]);

// What does something of its own on Enter; a radio button or a checkbox does not.
const takesEnter = (element) => element.closest("a, button") !== null;

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && key === "z") event.shiftKey ? board.redo() : board.undo();
  else if (isCommand && key === "y") board.redo();
  else if (!isCommand && key === "escape") board.clear();
  else if (!isCommand && key === "enter" && !takesEnter(event.target)) pressSave();
  else return;
  event.preventDefault();
});

board.pen = Number(pens.find((pen) => pen.checked).value);
recall();
refresh();
preview();

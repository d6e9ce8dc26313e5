/* Review, one picture at a time: the next ones are here already, decisions go out in order behind the scenes.
 *
 * A key means the picture that is on the screen when it is pressed. While none is, keys mean nothing. */

import { hintOf, sentenceOf } from "./answer.js";
import { call, Problem } from "./api.js";
import { focusNotice, hideNotice, showNotice } from "./notice.js";
import { Outbox } from "./outbox.js";

// As many pictures are kept at hand; more are asked for when fewer than the second number are left.
const AHEAD = 16;
const REFILL_BELOW = 12;
const MOST_AT_ONCE = 60;

const page = document.querySelector("[data-review]");
const find = (name) => document.querySelector(`[data-${name}]`);
const TRUTHS = JSON.parse(document.getElementById("truths").textContent);
const CONFIRMED = { not_a_digit: "not_a_digit", several: "several" };
const KEYS = { x: "not_a_digit", m: "several", r: "unreadable" };
const rule = find("rule").value;

/* Every item shown or at hand: {item, picture, seen, isReady, decided}. `decided`: a value, "skip", or null. */
const shelf = [];
const history = []; // {index, before} of each decision, in their order
let at = 0;
let isAsking = false;
let isExhausted = false;
let isLeaving = false;
let stoppedBy = null; // the Problem with the account: nothing is decided until it is back
const canUndoEarlier = !find("undo").disabled;

const current = () => shelf[at];
const left = () => shelf.filter((one) => one.decided === null).length;

/* --- Pictures ----------------------------------------------------------------------------------------------- */

const SVG = "http://www.w3.org/2000/svg";

function pictureOf(item) {
  const plain = new Image(item.width, item.height);
  plain.src = item.image;
  if (!item.crop) return plain;
  const [left_, top, right, bottom] = item.crop;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `${left_} ${top} ${right - left_} ${bottom - top}`);
  const image = document.createElementNS(SVG, "image");
  image.setAttribute("href", item.image);
  image.setAttribute("width", item.width);
  image.setAttribute("height", item.height);
  svg.append(image);
  return svg;
}

function shelve(item) {
  const picture = pictureOf(item);
  picture.setAttribute("class", "stage-picture");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", "The picture to be reviewed");
  const seen = new Image(28, 28);
  seen.src = item.pixels;
  seen.className = "seen-picture";
  seen.alt = "The 28 by 28 pixels that the model saw";
  const one = { item, picture, seen, isReady: false, decided: null };
  // Decoded before it is shown: the change of pictures then costs nothing. One that cannot be read can be said to be so.
  const copy = new Image();
  copy.src = item.image;
  const ready = () => {
    one.isReady = true;
    if (current() === one) showWhetherBusy();
  };
  copy.decode().then(ready, ready);
  shelf.push(one);
}

/* --- Getting more ------------------------------------------------------------------------------------------- */

async function refill() {
  if (isAsking || stoppedBy || isExhausted || left() >= REFILL_BELOW) return;
  isAsking = true;
  try {
    // What is decided and not stored yet is still leased to us, and comes back among the items.
    const count = Math.min(AHEAD + outbox.length, MOST_AT_ONCE);
    const { body } = await call("POST", page.dataset.nextUrl, { json: { rule, count } });
    const known = new Map(shelf.map((one) => [one.item.id, one]));
    const unsent = outbox.submissions;
    const fresh = body.items.filter((item) => !known.has(item.id) && !unsent.has(item.id));
    fresh.forEach(shelve);
    // What was passed over comes back when nothing else is left.
    const again = body.items.map((item) => known.get(item.id)).filter((one) => one?.decided === "skip");
    for (const one of again) if (!unsent.has(one.item.id)) one.decided = null;
    isExhausted = body.items.length < count;
    showProgress(body.progress);
    tell("asking", "");
    if (!current() && left() > 0) at = shelf.findIndex((one) => one.decided === null);
    if (page.dataset.item !== (current()?.item.id ?? "")) show();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.isAboutAccount) {
      stop(error);
    } else {
      tell("asking", error.message);
      setTimeout(refill, Math.max(2000, error.retryAfter * 1000));
    }
  } finally {
    isAsking = false;
  }
  if (!current()) show();
}

/* --- Showing ------------------------------------------------------------------------------------------------ */

const confirmedBy = (answer) => (answer ? (CONFIRMED[answer.verdict] ?? String(answer.digit)) : "");

function show() {
  const one = current();
  const isEmpty = one === undefined;
  find("reading").hidden = isEmpty;
  find("empty").hidden = !isEmpty;
  page.classList.toggle("is-empty", isEmpty);
  find("stage").replaceChildren(...(isEmpty ? [] : [one.picture]));
  showWhetherBusy();
  page.dataset.item = isEmpty ? "" : one.item.id;
  find("submission").value = page.dataset.item;
  find("undo").disabled = history.length === 0 && !canUndoEarlier;
  if (isEmpty) {
    find("empty-title").textContent = isExhausted ? "Nothing waits here" : "Fetching the next pictures…";
    find("empty-text").hidden = !isExhausted;
    return;
  }
  const { item } = one;
  find("seen").replaceWith(one.seen);
  one.seen.dataset.seen = "";
  find("reason").textContent = item.why;
  find("blind").hidden = !item.blind;
  find("demo").hidden = !item.demo;
  showAnswer(item.answer);
  find("suggested").hidden = !item.suggestion;
  find("suggestion").textContent = TRUTHS[item.suggestion] ?? "";
  find("back").disabled = at === 0;
  find("forth").disabled = at >= shelf.length - 1;
  showDecided(one.decided);
}

/* Keys count as soon as the picture can be seen, and not before. */
function showWhetherBusy() {
  find("stage").setAttribute("aria-busy", String(current() !== undefined && !current().isReady));
}

function showAnswer(answer) {
  const value = confirmedBy(answer);
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

function showDecided(decided) {
  const mark = find("decided");
  mark.hidden = decided === null;
  mark.textContent = decided === "skip" ? "You skipped this" : decided ? `You said: ${TRUTHS[decided]}` : "";
  for (const key of page.querySelectorAll(".key")) key.setAttribute("aria-pressed", String(key.value === decided));
}

function showProgress(progress) {
  find("today").textContent = progress.today;
  find("pace").textContent = progress.per_minute === null ? "–" : Math.round(progress.per_minute);
  find("waiting").textContent = progress.waiting;
  find("until").textContent = progress.until_training ?? "";
}

/* What the figures will be when what is on its way has arrived; the next refill brings the real ones. */
function count(difference) {
  for (const [name, sign] of [
    ["today", 1],
    ["waiting", -1],
  ]) {
    find(name).textContent = Math.max(0, Number(find(name).textContent) + sign * difference);
  }
}

/* What is wrong, in sentences: while pictures are asked for, while decisions are sent, and of a decision itself. */
const troubles = { asking: "", sending: "", decision: "" };

function tell(about, text) {
  if (troubles[about] === text) return;
  troubles[about] = text;
  const sentences = [...new Set(Object.values(troubles))].filter(Boolean);
  find("trouble").hidden = sentences.length === 0;
  find("trouble").textContent = sentences.join(" ");
}

/* --- Deciding ----------------------------------------------------------------------------------------------- */

const ACTS = { decide: page.dataset.decisionsUrl, skip: page.dataset.skipsUrl, undo: page.dataset.undoUrl };
const decisions = (number) => `${number} decision${number === 1 ? "" : "s"}`;
let lost = 0; // decisions that the site has refused

const outbox = new Outbox(ACTS, {
  changed: (length) => {
    find("unsent-box").hidden = length < 2;
    find("unsent").textContent = length;
    if (stoppedBy) showKept();
    if (length === 0 && isExhausted && left() === 0) {
      isExhausted = false;
      refill();
    }
  },
  answered: (entry, body) => {
    resume();
    tell("sending", "");
    if (entry.act === "undo" && body.item === null) {
      tell("decision", "Taken back. Another reviewer has it in front of them now.");
    }
  },
  refused: (_entry, problem) => {
    lost += 1;
    tell("decision", `${decisions(lost)} could not be stored: ${problem.message}`);
  },
  waiting: (problem) => tell("sending", `${problem.message} Your decisions are kept and sent again.`),
  stopped: stop,
});

/* The account has gone. Keys mean nothing until it is back; what was decided is kept and sent then. */
function stop(problem) {
  stoppedBy = problem;
  tell("sending", "");
  page.classList.add("is-stopped");
  showKept();
}

function showKept() {
  const number = outbox.length;
  const kept = number === 0 ? "nothing is lost" : `your ${decisions(number)} ${number === 1 ? "is" : "are"} kept`;
  showNotice(stoppedBy, { kept, resumed: goOn });
}

function goOn() {
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
  const next = shelf.findIndex((one, index) => index > at && one.decided === null);
  const first = shelf.findIndex((one) => one.decided === null);
  at = next >= 0 ? next : first >= 0 ? first : shelf.length;
  show();
  refill();
}

function decide(value) {
  if (stoppedBy) focusNotice();
  const one = current();
  if (stoppedBy || !one?.isReady || !value) return;
  if (one.decided === value) {
    advance();
    return;
  }
  if (value !== "skip" && (one.decided ?? "skip") === "skip") count(1);
  history.push({ index: at, before: one.decided });
  one.decided = value;
  const submission = one.item.id;
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
  const one = shelf[last.index];
  const before = last.before === "skip" ? null : last.before;
  if (one.decided !== "skip" && before === null) count(-1);
  one.decided = before;
  outbox.add({ act: "undo", body: { submission: one.item.id } });
  at = last.index;
  show();
}

/* What was decided before this page was opened: the site knows what it was. */
function undoEarlier() {
  if (find("undo").disabled || outbox.length > 0) return;
  isLeaving = true;
  page.requestSubmit(find("undo"));
}

function move(step) {
  const to = at + step;
  if (to < 0 || to >= shelf.length) return;
  at = to;
  show();
  refill();
}

function zoom() {
  const isLarge = page.classList.toggle("is-zoomed");
  find("zoom").setAttribute("aria-pressed", String(isLarge));
}

/* --- Keys, buttons ------------------------------------------------------------------------------------------ */

const isField = (element) => element.matches("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.repeat || event.isComposing) return;
  if (isField(event.target)) return;
  const key = event.key.toLowerCase();
  if (/^[0-9]$/.test(key)) decide(key);
  else if (key in KEYS) decide(KEYS[key]);
  else if (key === "s") decide("skip");
  else if (key === "u") undo();
  else if (key === "z" || (key === "escape" && page.classList.contains("is-zoomed"))) zoom();
  else if (key === "arrowleft") move(-1);
  else if (key === "arrowright") move(1);
  // A button or a link that has the focus is what Enter presses.
  else if (key === "enter" && !event.target.closest("a, button, summary")) decide(confirmedBy(current()?.item.answer));
  else return;
  event.preventDefault();
});

page.addEventListener("submit", (event) => {
  if (isLeaving) return;
  event.preventDefault();
  const { value } = event.submitter;
  if (value === "undo") undo();
  else decide(value);
});
// Pressed by hand, a button does not keep the focus: Enter then confirms the next picture and presses nothing twice.
page.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && event.detail > 0) button.blur();
});
find("zoom").addEventListener("click", zoom);
find("back").addEventListener("click", () => move(-1));
find("forth").addEventListener("click", () => move(1));
find("rule").addEventListener("change", () => find("rule-form").requestSubmit());

page.dataset.item = "";

outbox.send();
refill();

// @ts-check
/* The notice that the page's account is no longer signed in, with a link to sign in again. */

import { account, accountName, meUrl, onReturn, signInUrl } from "./account.js";
import { call, Problem } from "./api.js";

/**
 * assurance: text such as "your drawing is kept". inNewTab: sign in on a new tab, because this page has data that a reload
 * would lose. resumed(): called once when the account is signed in again.
 *
 * @typedef {{assurance: string, inNewTab?: boolean, resumed?: () => void}} NoticeOptions
 */

/** @type {HTMLElement} */
const box = document.querySelector("[data-notice]");

/** @type {NoticeOptions | null} Options of the notice while it waits for the account. */
let waiting = null;
let isChecking = false;

/**
 * Shows a problem with the account and what to do.
 *
 * @param {Problem} problem Status 401 or 403.
 * @param {NoticeOptions} options
 */
export function showNotice(problem, options) {
  const { assurance, inNewTab = false } = options;
  const { text, link, isOver } = describe(problem, inNewTab);
  waiting = isOver ? null : options;
  show(text, link ?? "", link ? `; ${assurance}.` : ` ${sentence(assurance)}`);
}

/**
 * Shows a problem that is not about the account.
 *
 * @param {Problem} problem
 * @param {string} assurance
 */
export function showFailure(problem, assurance) {
  waiting = null;
  show(`${problem.message} ${sentence(assurance)}`);
}

/** @param {string} text */
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

/** @param {(Node | string)[]} parts */
function show(...parts) {
  const text = parts.map((part) => (part instanceof Node ? part.textContent : part)).join("");
  if (!box.hidden && box.textContent === text) return; // avoids repeated announcements by screen readers
  box.replaceChildren(...parts);
  box.hidden = false;
}

export function hideNotice() {
  box.hidden = true;
  box.replaceChildren();
  waiting = null;
}

/* Focuses the link of the notice, for keys that are disabled while it is shown. */
export const focusNotice = () => box.querySelector("a")?.focus();

/**
 * @param {Problem} problem
 * @param {boolean} inNewTab
 * @returns {{text: string, link?: HTMLAnchorElement, isOver?: boolean}}
 */
function describe(problem, inNewTab) {
  if (problem.status === 401) return { text: "You are signed out. ", link: signInLink("Sign in again", inNewTab) };
  if (problem.code === "other_account") {
    const link = signInLink(`Sign in again as ${accountName}`, inNewTab, "&switch=1");
    return { text: "This browser is signed in with another account now. ", link };
  }
  if (problem.code === "csrf_failed") {
    return {
      text: "The site could not tell that this came from you. Allow its cookies, then try again.",
      isOver: true,
    };
  }
  // Signed in without permission: a role was removed. Not signed in: offer to sign in.
  if (account) return { text: "Your account may not do this any more: ask an operator.", isOver: true };
  return { text: `${problem.message} `, link: signInLink("Sign in", inNewTab) };
}

/**
 * @param {string} text
 * @param {boolean} inNewTab
 */
function signInLink(text, inNewTab, more = "") {
  const link = document.createElement("a");
  link.href = `${signInUrl}?next=${encodeURIComponent(location.pathname + location.search)}${more}`;
  link.textContent = inNewTab ? `${text} in a new tab` : text;
  if (inNewTab) link.target = "_blank";
  return link;
}

/* The account is signed in again if a request of this page's account succeeds. */
onReturn(async () => {
  if (!waiting || isChecking || !account) return;
  isChecking = true;
  const options = waiting;
  try {
    await call("GET", meUrl);
    hideNotice();
    options.resumed?.();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.isAboutAccount && waiting === options) showNotice(error, options);
  } finally {
    isChecking = false;
  }
});

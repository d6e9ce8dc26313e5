/* The notice that a page's account is not signed in any more: what is kept meanwhile, and the way back. */

import { account, accountName, meUrl, onReturn, signInUrl } from "./account.js";
import { call, Problem } from "./api.js";

const box = document.querySelector("[data-notice]");

let waiting = null; // the options of the notice while it waits for the account, else null
let isChecking = false;

/* Shows what happened and what to do.
 *
 * problem: about the account (401 or 403). kept: what is not lost, as in "your drawing is kept". inNewTab: this page
 * holds what a reload would lose, so signing in must not leave it. resumed(): called once when the account is back. */
export function showNotice(problem, options) {
  const { kept, inNewTab = false } = options;
  const { text, link, isOver } = describe(problem, inNewTab);
  waiting = isOver ? null : options;
  say(text, link ?? "", link ? `; ${kept}.` : ` ${sentence(kept)}`);
}

/* Shows why something was not stored that has nothing to do with the account. */
export function showTrouble(problem, kept) {
  waiting = null;
  say(`${problem.message} ${sentence(kept)}`);
}

const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}.`;

function say(...parts) {
  const words = parts.map((part) => part.textContent ?? part).join("");
  if (!box.hidden && box.textContent === words) return; // read aloud once
  box.replaceChildren(...parts);
  box.hidden = false;
}

export function hideNotice() {
  box.hidden = true;
  box.replaceChildren();
  waiting = null;
}

/* For a key that means nothing while the notice is shown. */
export const focusNotice = () => box.querySelector("a")?.focus();

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
  // Signed in, and not allowed: a role was taken away. Without an account, one is asked for.
  if (account) return { text: "Your account may not do this any more: ask an operator.", isOver: true };
  return { text: `${problem.message} `, link: signInLink("Sign in", inNewTab) };
}

function signInLink(text, inNewTab, more = "") {
  const link = document.createElement("a");
  link.href = `${signInUrl}?next=${encodeURIComponent(location.pathname + location.search)}${more}`;
  link.textContent = inNewTab ? `${text} in a new tab` : text;
  if (inNewTab) link.target = "_blank";
  return link;
}

/* The account is back when a request that is made in its name is answered. */
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

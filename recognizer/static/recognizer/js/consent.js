// @ts-check
/* Consent to training: stored in this browser for each account, for Draw and Upload. */

import { AccountStore, account } from "./account.js";

const NAME = "may-train";
const store = new AccountStore("localStorage");

/* Returns the account's choice, or else the choice made in this browser without an account, so that an opt-out persists. */
function choice() {
  const stored = store.get(NAME) ?? (account ? new AccountStore("localStorage", "").get(NAME) : null);
  return stored ?? (hasOldOptOut() ? "no" : "yes");
}

/* Whether release 0.9.0 stored an opt-out, which had no account. */
function hasOldOptOut() {
  try {
    return localStorage.getItem("digits.opt-out") !== null;
  } catch {
    return false; // blocked
  }
}

/** @param {HTMLInputElement} checkbox */
export function rememberConsent(checkbox) {
  if (checkbox.disabled) return; // the actor opted out on My data
  checkbox.checked = choice() === "yes";
  checkbox.addEventListener("change", () => store.set(NAME, checkbox.checked ? "yes" : "no"));
}

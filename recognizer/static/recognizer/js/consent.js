/* "It may help this site to learn": remembered in this browser for each account, for Draw and Upload alike. */

import { AccountStore, account } from "./account.js";

const NAME = "may-train";
const store = new AccountStore("localStorage");

/* The account's own choice, else what was chosen in this browser without an account: who has opted out stays so. */
function choice() {
  const chosen = store.get(NAME) ?? (account ? new AccountStore("localStorage", "").get(NAME) : null);
  return chosen ?? (isOptedOutBefore() ? "no" : "yes");
}

/* By release 0.9.0, whose opt-out named no account. */
function isOptedOutBefore() {
  try {
    return localStorage.getItem("digits.opt-out") !== null;
  } catch {
    return false; // blocked
  }
}

export function rememberConsent(checkbox) {
  if (checkbox.disabled) return; // a standing choice, made on My data
  checkbox.checked = choice() === "yes";
  checkbox.addEventListener("change", () => store.set(NAME, checkbox.checked ? "yes" : "no"));
}

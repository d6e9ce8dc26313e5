// @ts-check
/* Adds the current CSRF token and the account of the page to every form that is submitted.
 *
 * Signing in again on another tab invalidates the token of the page. After signing in with another account, a form must
 * not be sent under that account. */

import { account, csrfToken } from "./account.js";

document.addEventListener(
  "submit",
  ({ target }) => {
    const form = /** @type {HTMLFormElement} */ (target);
    const token = /** @type {HTMLInputElement | null} */ (form.elements.namedItem("csrfmiddlewaretoken"));
    if (!token) return;
    token.value = csrfToken() || token.value;
    if (account && !form.hasAttribute("data-any-account")) addAccount(form);
  },
  true,
);

/** @param {HTMLFormElement} form */
function addAccount(form) {
  if (form.elements.namedItem("page_account")) return;
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "page_account";
  field.value = account;
  form.append(field);
}

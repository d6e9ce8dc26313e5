// @ts-check
/* Submits forms by script, so that a failed request does not lose the selection on the page. */

import { call, Problem } from "./api.js";
import { hideNotice, showFailure, showNotice } from "./notice.js";

/**
 * Buttons with `data-native` submit as usual.
 *
 * @param {HTMLFormElement} form
 * @param {string} assurance Text shown when sending fails, such as "what you marked is kept".
 */
export function guard(form, assurance) {
  let isSending = false;
  form.addEventListener("submit", async (event) => {
    const submitter = /** @type {HTMLButtonElement | null} */ (event.submitter);
    if (submitter?.hasAttribute("data-native")) return;
    event.preventDefault();
    if (isSending) return;
    isSending = true;
    hideNotice();
    const fields = new FormData(form);
    if (submitter?.name) fields.append(submitter.name, submitter.value);
    try {
      const { location: next } = await call("POST", form.action, {
        form: new URLSearchParams(/** @type {any} */ (fields)), // TypeScript does not know this use
      });
      location.assign(next ?? location.href);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      isSending = false;
      if (error.isAboutAccount) showNotice(error, { assurance, inNewTab: true });
      else showFailure(error, assurance);
    }
  });
  // Enable the form again after a step back in the browser.
  window.addEventListener("pageshow", () => {
    isSending = false;
  });
}

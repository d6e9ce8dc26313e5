/* Forms that hold minutes of work: sent by script, so that whatever fails leaves the page and what was marked on it. */

import { call, Problem } from "./api.js";
import { hideNotice, showNotice, showTrouble } from "./notice.js";

/* kept: what is not lost when sending fails, as in "what you marked is kept". A button with `data-native` is left alone. */
export function guard(form, kept) {
  let isSending = false;
  form.addEventListener("submit", async (event) => {
    if (event.submitter?.hasAttribute("data-native")) return;
    event.preventDefault();
    if (isSending) return;
    isSending = true;
    hideNotice();
    const fields = new FormData(form);
    if (event.submitter?.name) fields.append(event.submitter.name, event.submitter.value);
    try {
      const { location: next } = await call("POST", form.action, { form: new URLSearchParams(fields) });
      location.assign(next ?? location.href);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      isSending = false;
      if (error.isAboutAccount) showNotice(error, { kept, inNewTab: true });
      else showTrouble(error, kept);
    }
  });
  // Back in the browser's history the form works again.
  window.addEventListener("pageshow", () => {
    isSending = false;
  });
}

// @ts-check
/* A submission's page: reloads when the prediction has finished, and copies the share link. */

import { Problem, pollUntilDone } from "./api.js";

/** @type {HTMLElement | null} */
const pending = document.querySelector("[data-pending-url]");
if (pending) {
  try {
    await pollUntilDone(pending.dataset.pendingUrl);
  } catch (error) {
    // Deleted or no longer shared: the reloaded page reports it.
    if (!(error instanceof Problem)) throw error;
  }
  location.reload();
}

/** @type {HTMLInputElement | null} */
const link = document.querySelector("[data-share-link]");
/** @type {HTMLElement | null} */
const copy = document.querySelector("[data-copy]");
link?.addEventListener("focus", () => link.select());
// The clipboard exists in secure contexts only.
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(link.value);
    copy.textContent = "Copied";
  });
}

/* A submission's page: shows the answer as soon as there is one, and copies the share link. */

import { Problem, untilAnswered } from "./api.js";

const pending = document.querySelector("[data-pending-url]");
if (pending) {
  try {
    await untilAnswered(pending.dataset.pendingUrl);
  } catch (error) {
    // Deleted meanwhile, or no longer shared: the page itself says so best.
    if (!(error instanceof Problem)) throw error;
  }
  location.reload();
}

const link = document.querySelector("[data-share-link]");
const copy = document.querySelector("[data-copy]");
link?.addEventListener("focus", () => link.select());
// The clipboard is offered to secure contexts only.
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(link.value);
    copy.textContent = "Copied";
  });
}

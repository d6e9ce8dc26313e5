// @ts-check
/* Selection in History for reviewers: count, all or none, and ranges with Shift. */

import { guard } from "./guard.js";

/** @type {HTMLFormElement | null} */
const form = document.querySelector("[data-bulk]");
const boxes = [.../** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[data-choose]"))];
/** @type {HTMLInputElement} */
const all = form?.querySelector("[data-all]");
const count = form?.querySelector("[data-chosen]");
let last = -1;

function refresh() {
  const selectedCount = boxes.filter((box) => box.checked).length;
  count.textContent = selectedCount === 0 ? "None chosen" : `${selectedCount} chosen`;
  all.checked = selectedCount === boxes.length;
  all.indeterminate = selectedCount > 0 && selectedCount < boxes.length;
  for (const button of form.querySelectorAll("button")) button.disabled = selectedCount === 0;
}

if (form && boxes.length > 0) {
  boxes.forEach((box, index) => {
    box.addEventListener("click", (event) => {
      if (event.shiftKey && last >= 0) {
        for (const item of boxes.slice(Math.min(last, index), Math.max(last, index) + 1)) item.checked = box.checked;
      }
      last = index;
      refresh();
    });
  });
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    refresh();
  });
  // The browser may have restored the checkboxes.
  window.addEventListener("pageshow", refresh);
  refresh();
  guard(form, "what you chose is kept");
}

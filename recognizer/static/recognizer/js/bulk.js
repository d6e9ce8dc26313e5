/* History for reviewers: how many are chosen, all or none of a page, and a range with Shift. */

import { guard } from "./guard.js";

const form = document.querySelector("[data-bulk]");
const boxes = [...document.querySelectorAll("[data-choose]")];
const all = form?.querySelector("[data-all]");
const count = form?.querySelector("[data-chosen]");
let last = -1;

function refresh() {
  const chosen = boxes.filter((box) => box.checked).length;
  count.textContent = chosen === 0 ? "None chosen" : `${chosen} chosen`;
  all.checked = chosen === boxes.length;
  all.indeterminate = chosen > 0 && chosen < boxes.length;
  for (const button of form.querySelectorAll("button")) button.disabled = chosen === 0;
}

if (form && boxes.length > 0) {
  boxes.forEach((box, index) => {
    box.addEventListener("click", (event) => {
      if (event.shiftKey && last >= 0) {
        for (const one of boxes.slice(Math.min(last, index), Math.max(last, index) + 1)) one.checked = box.checked;
      }
      last = index;
      refresh();
    });
  });
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    refresh();
  });
  // What the browser kept from before is shown as it is.
  window.addEventListener("pageshow", refresh);
  refresh();
  guard(form, "what you chose is kept");
}

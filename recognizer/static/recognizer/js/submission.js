// @ts-check
/* A submission's page: reloads when the prediction has finished, draws a crop box, and copies the share link. */

import { Problem, pollUntilDone } from "./api.js";
import { CropBox } from "./crop.js";

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

/** @type {HTMLFormElement | null} */
const cropForm = document.querySelector("[data-crop-form]");
if (cropForm) {
  for (const button of document.querySelectorAll("[data-crop-open]"))
    button.addEventListener("click", () => openCropTool(cropForm));
  if (location.hash === "#box") openCropTool(cropForm);
}

/** @param {HTMLFormElement} form */
async function openCropTool(form) {
  for (const start of document.querySelectorAll("[data-crop-start], [data-crop-hint], [data-crop-outline]"))
    start.remove();
  /** @type {HTMLElement} */
  const stage = document.querySelector("[data-stage]");
  /** @type {HTMLImageElement} */
  const picture = stage.querySelector("[data-crop-picture]");
  await picture.decode();
  /** @type {HTMLButtonElement} */
  const send = form.querySelector("[data-crop-send]");
  const crop = new CropBox({
    stage,
    picture,
    overlay: stage.querySelector("[data-box]"),
    changed: () => {
      send.disabled = crop.values === null;
      send.value = JSON.stringify(crop.values);
      form.querySelector("[data-crop-status]").textContent = crop.values ? crop.description : "";
    },
  });
  if (stage.dataset.crop) crop.show(JSON.parse(stage.dataset.crop));
  Object.assign(stage, { tabIndex: 0, role: "group", ariaLabel: "Crop box" });
  /** @type {HTMLElement} */ (form.querySelector("[data-crop-tool]")).hidden = false;
  stage.scrollIntoView({ block: "nearest" });
  stage.focus();
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

// @ts-check
/* Grid review: mark a wrong image, then press a key for its label. Without scripts each image has a select instead.
 *
 * Arrow keys move between the images, Space marks one, 0 to 9, X, M and R label it, Enter confirms the others. */

import { guard } from "./guard.js";

/** @type {HTMLFormElement | null} */
const form = document.querySelector("[data-grid]");
/** @type {Record<string, string>} */
const KEYS = { x: "not_a_digit", m: "several", r: "unreadable" };

function start() {
  const cells = [...form.querySelectorAll("[data-cell]")];
  const digit = form.dataset.digit;
  /** @type {HTMLButtonElement} */
  const confirm = form.querySelector("[data-confirm]");
  const number = form.querySelector("[data-right]");

  const faces = cells.map((cell) => {
    const face = document.createElement("button");
    face.type = "button";
    face.className = "cell-face";
    const mark = document.createElement("span");
    mark.className = "cell-mark";
    face.append(cell.querySelector(".stage-picture"), mark);
    cell.prepend(face);
    return face;
  });
  /**
   * @param {number} index
   * @returns {HTMLSelectElement}
   */
  const choiceOf = (index) => cells[index].querySelector("[data-choice]");

  /** @param {number} index */
  function update(index) {
    const choice = choiceOf(index);
    const { text } = choice.selectedOptions[0];
    const isWrong = choice.value !== "";
    faces[index].setAttribute("aria-pressed", String(isWrong));
    faces[index].setAttribute("aria-label", `Picture ${index + 1}: ${isWrong ? text : digit}`);
    faces[index].lastChild.textContent = !isWrong ? "" : choice.value === "wrong" ? `Not a ${digit}` : text;
    number.textContent = String(cells.filter((_, cell) => choiceOf(cell).value === "").length);
  }

  /**
   * @param {number} index
   * @param {string} value
   */
  function setLabel(index, value) {
    choiceOf(index).value = value === digit ? "" : value;
    update(index);
  }

  const columns = () => getComputedStyle(form.querySelector(".cells")).gridTemplateColumns.split(" ").length;
  /** @type {Record<string, () => number>} */
  const steps = { arrowleft: () => -1, arrowright: () => 1, arrowup: () => -columns(), arrowdown: columns };
  let last = -1;

  faces.forEach((face, index) => {
    update(index);
    face.addEventListener("click", () => {
      last = index;
      setLabel(index, choiceOf(index).value === "" ? "wrong" : "");
    });
    choiceOf(index).addEventListener("change", () => update(index));
    face.addEventListener("focus", () => {
      last = index;
    });
  });

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    const target = /** @type {Element} */ (event.target);
    if (target.matches("input, textarea, select, [contenteditable]")) return;
    const key = event.key.toLowerCase();
    const value = /^[0-9]$/.test(key) ? key : KEYS[key];
    if (value && last >= 0 && !event.repeat) setLabel(last, value);
    else if (key in steps) faces[Math.max(0, Math.min(faces.length - 1, last < 0 ? 0 : last + steps[key]()))].focus();
    else if (key === "enter" && !event.repeat && !target.closest("a, summary")) form.requestSubmit(confirm);
    else return;
    event.preventDefault();
  });

  guard(form, "what you marked is kept");
}

if (form) start();

/* Grid mode: press a picture to mark it as wrong, then a key for what it is. Without scripts each has a list to choose from.
 *
 * Arrows move between the pictures, Space marks one, 0 to 9, X, M, R say what it is, Enter confirms all the others. */

import { guard } from "./guard.js";

const form = document.querySelector("[data-grid]");
const KEYS = { x: "not_a_digit", m: "several", r: "unreadable" };

function start() {
  const cells = [...form.querySelectorAll("[data-cell]")];
  const digit = form.dataset.digit;
  const confirm = form.querySelector("[data-confirm]");
  const number = form.querySelector("[data-right]");

  const faces = cells.map((cell) => {
    const face = document.createElement("button");
    face.type = "button";
    face.className = "cell-face";
    face.append(cell.querySelector(".stage-picture"), document.createElement("span"));
    face.lastChild.className = "cell-mark";
    cell.prepend(face);
    return face;
  });
  const choiceOf = (index) => cells[index].querySelector("[data-choice]");

  function paint(index) {
    const choice = choiceOf(index);
    const { text } = choice.selectedOptions[0];
    const isWrong = choice.value !== "";
    faces[index].setAttribute("aria-pressed", String(isWrong));
    faces[index].setAttribute("aria-label", `Picture ${index + 1}: ${isWrong ? text : digit}`);
    faces[index].lastChild.textContent = !isWrong ? "" : choice.value === "wrong" ? `Not a ${digit}` : text;
    number.textContent = cells.filter((_, one) => choiceOf(one).value === "").length;
  }

  function choose(index, value) {
    choiceOf(index).value = value === digit ? "" : value;
    paint(index);
  }

  const columns = () => getComputedStyle(form.querySelector(".cells")).gridTemplateColumns.split(" ").length;
  const steps = { arrowleft: () => -1, arrowright: () => 1, arrowup: () => -columns(), arrowdown: columns };
  let last = -1;

  faces.forEach((face, index) => {
    paint(index);
    face.addEventListener("click", () => {
      last = index;
      choose(index, choiceOf(index).value === "" ? "wrong" : "");
    });
    choiceOf(index).addEventListener("change", () => paint(index));
    face.addEventListener("focus", () => {
      last = index;
    });
  });

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    if (event.target.matches("input, textarea, select, [contenteditable]")) return;
    const key = event.key.toLowerCase();
    const value = /^[0-9]$/.test(key) ? key : KEYS[key];
    if (value && last >= 0 && !event.repeat) choose(last, value);
    else if (key in steps) faces[Math.max(0, Math.min(faces.length - 1, last < 0 ? 0 : last + steps[key]()))].focus();
    else if (key === "enter" && !event.repeat && !event.target.closest("a, summary")) form.requestSubmit(confirm);
    else return;
    event.preventDefault();
  });

  guard(form, "what you marked is kept");
}

if (form) start();

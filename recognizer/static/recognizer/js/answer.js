// @ts-check
/* Renders a prediction: sentence, hint, bars and pixels. The texts come from the server, which uses the same ones. */

/**
 * A prediction of the API.
 *
 * @typedef {object} Answer
 * @property {string} verdict
 * @property {number | null} digit
 * @property {number} [runner_up]
 * @property {number} [certainty]
 * @property {number[]} [probabilities]
 */

/** @type {{sentences: Record<string, string>, hints: Record<string, string>}} */
const WORDS = JSON.parse(document.getElementById("words").textContent);

/**
 * 0.99403 → 99.4 %, 0.9999 → > 99.9 %. The same rule as the server's `percent` filter.
 *
 * @param {number} share
 */
export function percent(share) {
  if (share >= 0.9995) return ">\u00a099.9\u00a0%";
  if (share < 0.0005) return "<\u00a00.1\u00a0%";
  return `${(share * 100).toFixed(1)}\u00a0%`;
}

/**
 * @param {string} sentence
 * @param {Answer} answer
 */
const fill = (sentence, answer) =>
  sentence
    .replaceAll("{digit}", String(answer.digit))
    .replaceAll("{runner_up}", String(answer.runner_up))
    .replaceAll("{certainty}", percent(answer.certainty ?? 0));

/** @param {Answer} answer */
export const sentenceOf = (answer) => fill(WORDS.sentences[answer.verdict], answer);
/** @param {Answer} answer */
export const hintOf = (answer) => fill(WORDS.hints[answer.verdict], answer);

/**
 * @param {Element} list
 * @param {Answer | null} answer
 */
export function renderBars(list, answer) {
  for (const row of /** @type {NodeListOf<HTMLElement>} */ (list.querySelectorAll("[data-bar]"))) {
    const digit = Number(row.dataset.bar);
    const share = answer ? answer.probabilities[digit] : 0;
    row.classList.toggle("leads", answer !== null && digit === answer.digit);
    row.querySelector(".bar-fill").setAttribute("width", `${(share * 100).toFixed(2)}%`);
    row.querySelector(".bar-share").textContent = answer ? percent(share) : "";
  }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number[] | null} pixels 784 numbers from 0 to 255, row by row; null: blank.
 */
export function renderPixels(canvas, pixels) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(28, 28);
  for (let i = 0; i < 784; i += 1) {
    const ink = pixels ? pixels[i] : 0;
    image.data.set([ink, ink, ink, 255], i * 4);
  }
  context.putImageData(image, 0, 0);
}

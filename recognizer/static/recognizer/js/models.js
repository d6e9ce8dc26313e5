// @ts-check
/* The page of a training run: polls the progress every second and reloads the page when the run has ended. */

import { call, Problem, sleep } from "./api.js";
import { showNotice } from "./notice.js";

/** @type {HTMLElement} */
const page = document.querySelector("[data-progress-url]");
/** @type {(name: string) => any} An element of this page; its kind depends on the name. */
const find = (name) => page.querySelector(`[data-${name}]`);

/** @param {{title: string, share: number, line: string, curves: string, log: [string, string][]}} now */
function show(now) {
  find("title").textContent = now.title;
  find("share").value = now.share;
  if (find("line").textContent !== now.line) find("line").textContent = now.line;
  const curves = find("curves");
  if (curves.dataset.shown !== now.curves) {
    curves.dataset.shown = now.curves;
    curves.innerHTML = now.curves; // SVG rendered by the server from numbers
  }
  const log = find("log");
  for (const [when, line] of now.log.slice(log.children.length)) {
    const time = document.createElement("span");
    time.className = "text-muted";
    time.textContent = when.slice(11, 19);
    const item = document.createElement("li");
    item.append(time, ` ${line}`);
    log.append(item);
  }
}

async function watch() {
  for (;;) {
    try {
      const { body } = await call("GET", page.dataset.progressUrl);
      if (body.ended) {
        location.reload();
        return;
      }
      show(body);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.isAboutAccount) {
        showNotice(error, { assurance: "the training goes on", resumed: watch });
        return;
      }
      find("line").textContent = error.message;
      if (!error.isTransient) return;
    }
    await sleep(document.hidden ? 5000 : 1000);
  }
}

watch();

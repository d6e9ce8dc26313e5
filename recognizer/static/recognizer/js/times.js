// @ts-check
/* Formats every <time data-local-time> in the time zone and locale of the browser. Without scripts it stays in UTC. */

const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export function localise(root = document) {
  for (const element of /** @type {NodeListOf<HTMLTimeElement>} */ (root.querySelectorAll("time[data-local-time]"))) {
    const when = new Date(element.dateTime);
    element.textContent = format.format(when);
    element.title = exact.format(when);
  }
}

localise();

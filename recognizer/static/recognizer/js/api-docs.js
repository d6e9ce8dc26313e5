/* Swagger UI knows a dark mode, but not when: here it follows the reader's system as the rest of the site does. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);

dark.addEventListener("change", follow);
follow();

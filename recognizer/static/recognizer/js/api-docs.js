// @ts-check
/* The API page: copy buttons, and Swagger UI's dark mode, which follows the system's setting. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);

dark.addEventListener("change", follow);
follow();

/* The clipboard exists in secure contexts only. Elsewhere the code is selected, for Ctrl+C. */
for (const figure of document.querySelectorAll(".example")) {
  const button = figure.querySelector(".copy");
  const code = figure.querySelector("code");
  const says = /** @type {Text} */ (button.firstChild);
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);
    if (!navigator.clipboard) {
      says.data = "Selected";
      return;
    }
    await navigator.clipboard.writeText(code.textContent);
    getSelection().removeAllRanges();
    says.data = "Copied";
  });
}

/* The API page: copy buttons; and Swagger UI knows a dark mode, but not when: it follows the reader's system here. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);

dark.addEventListener("change", follow);
follow();

/* Copy buttons. The clipboard is there only in a secure context; elsewhere the code is selected, ready for Ctrl+C. */
for (const figure of document.querySelectorAll(".example")) {
  const button = figure.querySelector(".copy");
  const code = figure.querySelector("code");
  const says = button.firstChild;
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

/* "It may help this site to learn": remembered in this browser, for Draw and Upload alike. */

const OPT_OUT = "digits.opt-out";

export function rememberConsent(checkbox) {
  if (checkbox.disabled) return; // a standing choice, made on My data
  checkbox.checked = localStorage.getItem(OPT_OUT) === null;
  checkbox.addEventListener("change", () => {
    if (checkbox.checked) localStorage.removeItem(OPT_OUT);
    else localStorage.setItem(OPT_OUT, "1");
  });
}

/* Every form that is sent carries the CSRF token of this moment and the account of its page.
 *
 * After signing in again on another tab the token that the page came with is void, and after signing in with another
 * account the form must not be sent in that one's name. */

import { account, csrfToken } from "./account.js";

document.addEventListener(
  "submit",
  ({ target: form }) => {
    const token = form.elements.namedItem("csrfmiddlewaretoken");
    if (!token) return;
    token.value = csrfToken() || token.value;
    if (account && !form.hasAttribute("data-any-account")) state(form);
  },
  true,
);

function state(form) {
  if (form.elements.namedItem("page_account")) return;
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "page_account";
  field.value = account;
  form.append(field);
}

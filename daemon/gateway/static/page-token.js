// The token of a page: out of the address, or out of the form that says how to get one.

import { keepToken, takeToken, token } from "./page-api.js";
import { byId } from "./page-dom.js";

/** Shows the form until there is a token, then what the page is for. `why` says what was wrong with the last one. */
export function withToken(start) {
  takeToken();
  window.addEventListener("hashchange", () => {
    if (!location.hash.startsWith("#token=")) return;
    takeToken();
    location.reload();
  });
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(byId("token-input").value);
    location.reload();
  });
  if (token()) start();
  else askForToken("");
}

/** The form, with what was wrong. */
export function askForToken(why) {
  if (!byId("token").hidden) return; // somebody may be typing already
  byId("token").hidden = false;
  byId("work").hidden = true;
  byId("token-why").textContent = why;
  byId("token-input").focus();
}

/*
The editor of a number: it warns before what was typed is lost, and gives the phone beside it what stands in the form.
What is wrong is told by the service (htmx, see number.html); all of it works by plain forms, too.
*/

import { Problem } from "./phone.js";

const form = document.getElementById("editor");
const panel = document.querySelector("phonebot-phone");
const unsaved = form.querySelector('[data-part="unsaved"]');
const before = snapshot();
let leaving = false;

/* What would be sent, without what is no part of the profile. */
function fields() {
  const sent = new FormData(form);
  sent.delete("recording");
  return new URLSearchParams(sent);
}

function snapshot() {
  return `${fields()} ${form.elements.recording?.value ?? ""}`;
}

function isChanged() {
  return form.dataset.changed === "yes" || snapshot() !== before;
}

form.addEventListener("input", () => {
  unsaved.textContent = isChanged() ? "Not saved yet" : "";
});

form.addEventListener("submit", () => {
  leaving = true;
});

addEventListener("beforeunload", (event) => {
  if (!leaving && isChanged()) event.preventDefault();
});

/* The page may come back by the Back key as it was left. */
addEventListener("pageshow", () => {
  leaving = false;
});

/* What the service said is beside the fields now; here it is told to those who do not see it. */
document.body.addEventListener("htmx:afterSettle", () => {
  for (const error of form.querySelectorAll('[id^="error-"]')) {
    const input = document.getElementById(error.id.replace("error-", "field-"));
    if (error.textContent) input?.setAttribute("aria-invalid", "true");
    else input?.removeAttribute("aria-invalid");
  }
});

form.addEventListener("click", ({ target }) => {
  const insert = target.closest("[data-insert]");
  if (!insert) return;
  const text = document.getElementById(insert.dataset.into);
  text.focus();
  text.setRangeText(insert.dataset.insert, text.selectionStart, text.selectionEnd, "end");
  text.dispatchEvent(new Event("input", { bubbles: true }));
});

/* A link to a field under "More" opens it. */
document.addEventListener("click", ({ target }) => {
  const link = target.closest?.('a[href^="#field-"]');
  const field = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!field) return;
  const more = field.closest("details");
  if (more) more.open = true;
  field.focus();
});

panel.profile = async () => {
  let response;
  try {
    response = await fetch(form.dataset.table, { method: "POST", body: fields() });
  } catch {
    throw new Problem("The service cannot be reached: check that it runs, then call again.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(...(answer.problems ?? [`The service answered ${response.status}.`]));
  return answer.profile;
};

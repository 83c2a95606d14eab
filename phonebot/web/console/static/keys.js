/*
Keys that every page has: `/` goes to the page's search, Ctrl+S or Cmd+S saves the page's form.

A page marks them with `data-search` and `data-save`; the form's button with `data-save-button`. What is shown to be
copied has `data-secret`: it is selected whole.
*/

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("[data-search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
    const form = document.querySelector("form[data-save]");
    const button = form?.querySelector("[data-save-button]");
    if (!button) return;
    event.preventDefault();
    form.requestSubmit(button);
  }
});

document.addEventListener("focusin", ({ target }) => {
  if (target.matches?.("[data-secret]")) target.select();
});
document.querySelector("[data-secret]")?.focus();

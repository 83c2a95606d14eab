/* Keys of the list of calls: J and K lead through it; Enter opens, as with any link. */

const TYPED_INTO = "input, select, textarea";

function step(by) {
  const links = [...document.querySelectorAll(".call-link")];
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
  links[next]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches(TYPED_INTO)) {
    if (event.key === "ArrowDown" && event.target.id === "text") {
      event.preventDefault();
      step(1);
    }
    return;
  }
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
});

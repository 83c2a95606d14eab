/* Days of a chart: what one points at is told in its head; the arrow keys lead from day to day. */

const KEYS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const heads = new WeakMap(); // what stood in a head before a day was told there

function tell(slot) {
  const told = slot.closest("[data-chart]").querySelector("[data-told]");
  if (!heads.has(told)) heads.set(told, [...told.childNodes]);
  told.textContent = slot.getAttribute("aria-label");
}

function forget(chart) {
  const told = chart.querySelector("[data-told]");
  const focused = chart.querySelector(".chart-slot:focus");
  if (focused) tell(focused);
  else if (heads.has(told)) told.replaceChildren(...heads.get(told));
}

const slotOf = ({ target }) => (target instanceof Element ? target.closest(".chart-slot") : null);

document.addEventListener("pointerover", (event) => {
  const slot = slotOf(event);
  if (slot) tell(slot);
});
document.addEventListener("pointerout", (event) => {
  const slot = slotOf(event);
  if (slot && !slotOf({ target: event.relatedTarget })) forget(slot.closest("[data-chart]"));
});
document.addEventListener("focusin", (event) => {
  const slot = slotOf(event);
  if (!slot) return;
  // One stop of the Tab key for each chart: where one has been last.
  for (const other of slot.parentElement.querySelectorAll(".chart-slot")) other.setAttribute("tabindex", "-1");
  slot.setAttribute("tabindex", "0");
  tell(slot);
});
document.addEventListener("focusout", (event) => {
  const slot = slotOf(event);
  if (slot) queueMicrotask(() => forget(slot.closest("[data-chart]")));
});
document.addEventListener("keydown", (event) => {
  const slot = slotOf(event);
  const by = KEYS[event.key];
  if (!slot || by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const slots = [...slot.parentElement.querySelectorAll(".chart-slot")];
  slots[Math.min(Math.max(slots.indexOf(slot) + by, 0), slots.length - 1)].focus();
});

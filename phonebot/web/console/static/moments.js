/*
Writes moments in the browser's time zone, and tells the server which one that is.

    <time datetime="2026-11-27T12:00:00+00:00" title="2026-11-27 12:00:00 UTC" data-local>2026-11-27 12:00 UTC</time>
    <input type="hidden" name="zone" data-zone>
*/

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

function words(moment) {
  const at = new Date(moment);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86_400_000);
  const name = days === 0 ? "Today" : days === 1 ? "Yesterday" : day.format(at);
  return `${name}, ${clock.format(at)}`;
}

function localise(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    time.textContent = words(time.dateTime);
    delete time.dataset.local;
  }
}

const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
for (const input of document.querySelectorAll("[data-zone]")) input.value = timeZone ?? "";
localise(document);
document.addEventListener("htmx:afterSettle", () => localise(document));

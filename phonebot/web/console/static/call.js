/*
The player of a call's page: audio, picture and transcript at one position.

The picture and the events come after the page (htmx), so both are looked for when they are needed. Without this
script the browser's own controls play the recording.
*/

const SKIP_S = 5;
const ZOOMS = 4; // each shows half the time of the one before
const TYPED_INTO = "input, select, textarea, [contenteditable]";
const PRESSED = "a, button, summary, audio";

class Player {
  #panel;
  #audio;
  #lines;
  #current = null;
  #frame = 0;

  constructor(panel) {
    this.#panel = panel;
    this.#audio = this.#part("audio");
    this.#lines = [...document.querySelectorAll("[data-part='lines'] [data-start]")].map((element) => ({
      element,
      startMs: Number(element.dataset.start),
    }));
    this.#audio.controls = false;
    for (const part of ["toggle", "time", "speed", "zoom", "keys"]) this.#part(part).hidden = false;
    this.#part("toggle").disabled = false;
    this.#listen();
    this.#show();
  }

  #part(name) {
    return this.#panel.querySelector(`[data-part="${name}"]`);
  }

  #listen() {
    const audio = this.#audio;
    this.#part("toggle").addEventListener("click", () => this.toggle());
    this.#part("speed").querySelector("select").addEventListener("change", ({ target }) => {
      audio.playbackRate = Number(target.value);
    });
    for (const type of ["play", "pause", "ended", "seeked", "timeupdate", "loadedmetadata"]) {
      audio.addEventListener(type, () => this.#show());
    }
    audio.addEventListener("error", () => this.#complain());
    this.#panel.addEventListener("pointerdown", (event) => this.#point(event));
    this.#panel.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-zoom-by]");
      if (button) this.#zoom(Number(button.dataset.zoomBy));
    });
    document.addEventListener("click", (event) => this.#pick(event));
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("htmx:afterSettle", () => this.#show());
  }

  get lengthMs() {
    const known = Number(this.#panel.querySelector(".wave[data-length]")?.dataset.length ?? this.#panel.dataset.length);
    return known || this.#audio.duration * 1000 || 1;
  }

  get positionMs() {
    return this.#audio.currentTime * 1000;
  }

  toggle() {
    if (this.#audio.paused) this.#audio.play().catch(() => {});
    else this.#audio.pause();
  }

  seek(ms) {
    this.#audio.currentTime = Math.min(Math.max(ms, 0), this.lengthMs - 1) / 1000;
    // Before it is loaded an element tells of no seek.
    if (this.#audio.readyState === 0) this.#audio.load();
    this.#show(ms);
  }

  step(by) {
    const starts = this.#lines.map(({ startMs }) => startMs);
    const now = this.positionMs;
    // Within a second of its begin, back is to the line before.
    const next = by > 0 ? starts.find((start) => start > now + 50) : starts.findLast((start) => start < now - 1000);
    if (next !== undefined) this.seek(next);
    else if (by < 0) this.seek(0);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches(TYPED_INTO)) return;
    const does = {
      " ": event.target.matches(PRESSED) ? null : () => this.toggle(),
      ArrowLeft: () => this.seek(this.positionMs - SKIP_S * 1000),
      ArrowRight: () => this.seek(this.positionMs + SKIP_S * 1000),
      Home: event.target.matches("[role='slider']") ? () => this.seek(0) : null,
      End: event.target.matches("[role='slider']") ? () => this.seek(this.lengthMs) : null,
      j: () => this.step(1),
      k: () => this.step(-1),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  /* A press on the picture, and moving while it is pressed. */
  #point(event) {
    const wave = event.target.closest("[data-part='wave']");
    if (!wave || event.button !== 0) return;
    const seek = ({ clientX }) => {
      const { left, width } = wave.getBoundingClientRect();
      this.seek(((clientX - left) / width) * this.lengthMs);
    };
    seek(event);
    wave.setPointerCapture(event.pointerId);
    wave.addEventListener("pointermove", seek);
    const release = () => wave.removeEventListener("pointermove", seek);
    for (const type of ["pointerup", "pointercancel"]) wave.addEventListener(type, release, { once: true });
  }

  /* A line or a time that was clicked; text that was selected is left alone. */
  #pick({ target }) {
    const button = target.closest("[data-seek]");
    const line = target.closest("[data-part='lines'] [data-start]");
    if (button) this.seek(Number(button.dataset.seek));
    else if (line && getSelection().isCollapsed) this.seek(Number(line.dataset.start));
  }

  #zoom(by) {
    const scroller = this.#panel.querySelector("[data-zoom]");
    if (!scroller) return;
    scroller.dataset.zoom = Math.min(Math.max(Number(scroller.dataset.zoom) + by, 0), ZOOMS);
    this.#follow(scroller);
  }

  #show(atMs = this.positionMs) {
    const playing = !this.#audio.paused && !this.#audio.ended;
    this.#part("play-icon").hidden = playing;
    this.#part("pause-icon").hidden = !playing;
    this.#part("toggle-words").textContent = playing ? "Pause" : "Play";
    this.#part("position").textContent = `${clock(atMs)}.${Math.floor((atMs % 1000) / 100)}`;
    this.#panel.dataset.positionMs = Math.round(atMs);
    this.#cursor(atMs);
    this.#highlight(atMs);
    cancelAnimationFrame(this.#frame);
    if (playing) this.#frame = requestAnimationFrame(() => this.#show());
  }

  #cursor(atMs) {
    const percent = `${Math.min((atMs / this.lengthMs) * 100, 100)}%`;
    const cursor = this.#part("cursor");
    const wave = this.#part("wave");
    if (!cursor || !wave) return;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, percent);
    wave.setAttribute("aria-valuenow", String(Math.floor(atMs / 1000)));
    wave.setAttribute("aria-valuetext", clock(atMs));
    const scroller = wave.parentElement;
    if (!this.#audio.paused) this.#follow(scroller);
  }

  #follow(scroller) {
    const at = (this.positionMs / this.lengthMs) * scroller.scrollWidth;
    if (at < scroller.scrollLeft || at > scroller.scrollLeft + scroller.clientWidth - 40) {
      scroller.scrollLeft = at - scroller.clientWidth / 4;
    }
  }

  #highlight(atMs) {
    const begun = atMs > 0 || !this.#audio.paused;
    const line = begun ? this.#lines.findLast(({ startMs }) => startMs <= atMs + 20)?.element ?? null : null;
    if (line === this.#current) return;
    this.#current?.removeAttribute("aria-current");
    line?.setAttribute("aria-current", "true");
    this.#current = line;
    if (line) reveal(line);
  }

  #complain() {
    const problem = this.#part("problem");
    problem.textContent = "The recording cannot be played: load the page again, or download it.";
    problem.hidden = false;
  }
}

/* Scroll the transcript, and never the page. */
function reveal(line) {
  const scroller = line.parentElement;
  const above = line.offsetTop - scroller.offsetTop;
  const isSeen = above >= scroller.scrollTop && above + line.offsetHeight <= scroller.scrollTop + scroller.clientHeight;
  if (!isSeen) scroller.scrollTop = above - scroller.clientHeight / 3;
}

function clock(ms) {
  const s = Math.max(Math.floor(ms / 1000), 0);
  const [hours, minutes, seconds] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

const panel = document.querySelector("[data-player]");
if (panel) new Player(panel);

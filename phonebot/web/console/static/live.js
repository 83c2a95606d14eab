/*
The page Live: a card for each call in progress, in any process, kept up to date by the service's events (live_events.py).

One call may be open: its transcript grows as it is said. The service tells of all calls on one stream, and of the open
one in full; so the stream is asked for anew when another one is opened. While nobody sees the page it is not asked
for.
*/

import { Ear } from "./ear.js";
import { showLevel } from "./levels.js";
import { element, ROLE_WORDS, Transcript, TranscriptView, whoOf } from "./transcript.js";

const ENDED_MS = 8000; // how long a call that has ended stays, unless it is open or has the focus
const HANG_UP_MS = 6000; // another process has about a second to do it
const AGAIN_MS = 5000;
const LAST_LINES = 2;

const TURN_WORDS = { idle: "Nobody speaks", caller: "Caller speaks", thinking: "Bot thinks", bot: "Bot speaks" };
const TURN_BADGES = { caller: "success", bot: "accent" };

/* One call, and its card. */
class Card {
  ended = false;
  snapshot = null;
  node;
  #transcript = new Transcript();
  #view;
  #turn = "idle";
  #endings;
  #ending = null; // how it ended; null: it goes on

  /* `endings`: {words, badge} of each outcome. */
  constructor(template, endings) {
    this.#endings = endings;
    this.node = template.content.firstElementChild.cloneNode(true);
    this.#view = new TranscriptView(this.node, ROLE_WORDS);
  }

  part(name) {
    return this.node.querySelector(`[data-part="${name}"]`);
  }

  get caller() {
    return this.snapshot.caller || "Unknown caller";
  }

  get isOpen() {
    return "open" in this.node.dataset;
  }

  receive(event) {
    if (event.type === "snapshot") this.#begin(event);
    if (event.type === "snapshot" || event.type === "turn") this.#turn = event.turn;
    if (event.type === "ended") this.#end(event.outcome);
    if (this.#transcript.receive(event)) this.#showLines();
    this.#showTurn();
  }

  open(is) {
    this.node.toggleAttribute("data-open", is);
    this.part("open").setAttribute("aria-expanded", String(is));
    this.part("open").textContent = is ? "Close" : "Transcript";
    this.part("transcript").hidden = !is;
    this.part("last").hidden = is;
    if (is) this.#view.show(this.#transcript);
  }

  /* `skewMs` is by how much the service's clock is ahead of ours. */
  keepTime(skewMs) {
    if (this.ended) return;
    const seconds = Math.max(0, Math.floor((Date.now() + skewMs - Date.parse(this.snapshot.started)) / 1000));
    const minutes = Math.floor(seconds / 60);
    const rest = String(seconds % 60).padStart(2, "0");
    this.part("timer").textContent =
      minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
  }

  problem(sentence) {
    this.part("call-problem").textContent = sentence;
    this.part("call-problem").hidden = !sentence;
  }

  /* Whether one can type to the bot. */
  telling(is) {
    this.part("tell-form").hidden = !is;
    this.part("tell").setAttribute("aria-expanded", String(is));
    this.part("told").textContent = "";
    if (is) this.part("tell-form").elements.text.focus();
  }

  listening(is) {
    this.part("listen")?.setAttribute("aria-pressed", String(is));
    if (this.part("listen")) this.part("listen-words").textContent = is ? "Stop listening" : "Listen in";
    this.part("levels").hidden = !is;
  }

  levels({ caller, bot }) {
    showLevel(this.part("level-caller"), caller);
    showLevel(this.part("level-bot"), bot);
  }

  #begin(snapshot) {
    this.snapshot = snapshot;
    this.node.dataset.callSid = snapshot.call_sid;
    const { number, profile, process } = snapshot;
    this.part("caller").textContent = this.caller;
    this.part("number").textContent = [number && `to ${number}`, profile].filter(Boolean).join(" · ") || "default profile";
    this.part("process").textContent = process;
    this.part("stale").hidden = !snapshot.stale;
    const listen = this.part("listen");
    if (listen) listen.hidden = !snapshot.audible;
    this.part("unnoticed").hidden = !(snapshot.audible && !snapshot.noticed);
  }

  #end(outcome) {
    this.ended = true;
    this.#turn = "idle";
    this.#ending = this.#endings[outcome] ?? { words: "Ended", badge: "" };
    this.node.dataset.ended = outcome;
    this.part("stale").hidden = this.part("unnoticed").hidden = true;
    for (const name of ["open", "listen", "tell", "tell-form", "hang-up"]) this.part(name)?.setAttribute("hidden", "");
    this.part("link").hidden = false;
    this.problem("");
    this.#showTurn();
  }

  #showTurn() {
    this.node.dataset.turn = this.#turn;
    const badge = this.part("turn");
    const { words, badge: look } = this.#ending ?? { words: TURN_WORDS[this.#turn], badge: TURN_BADGES[this.#turn] };
    if (badge.textContent === words) return;
    badge.className = look ? `badge badge-${look}` : "badge";
    badge.textContent = words;
  }

  #showLines() {
    if (this.isOpen) this.#view.show(this.#transcript);
    const lines = this.#transcript.lines.filter(({ role }) => role !== "note").slice(-LAST_LINES);
    this.part("last").replaceChildren(
      ...lines.map((line) => {
        const item = element("li", "");
        const text = line.cut ? `${line.text} …` : line.text || "…";
        item.append(element("span", "live-role", `${whoOf(line, ROLE_WORDS)} `), text);
        return item;
      }),
    );
  }
}

export class LivePage extends HTMLElement {
  #cards = new Map(); // by CallSid, in the order in which they came
  #open = "";
  #source = null;
  #again = 0;
  #timer = 0;
  #skewMs = 0;
  #ear = null; // {callSid, ear}
  #endings = {};
  #expected = new Set(); // calls that are told of because they were there already

  connectedCallback() {
    this.#endings = JSON.parse(this.dataset.outcomes);
    this.addEventListener("click", (event) => this.#clicked(event));
    this.addEventListener("submit", (event) => this.#submitted(event));
    document.addEventListener("visibilitychange", this.#seen);
    this.#timer = setInterval(() => this.#keepTime(), 500);
    this.#follow();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#seen);
    clearInterval(this.#timer);
    this.#leave();
    this.#listenTo(null);
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }

  // ------------------------------------------------------------------------------ what the service tells

  #seen = () => {
    if (document.hidden && !this.#ear) this.#leave();
    else if (!document.hidden && !this.#source) this.#follow();
  };

  #follow() {
    this.#leave();
    const source = (this.#source = new EventSource(`${this.dataset.live}/events?open=${encodeURIComponent(this.#open)}`));
    source.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    source.onerror = () => {
      this.#say("problem", "The calls cannot be followed right now; the page tries again. You may have been signed out: then load it again.");
      if (source.readyState === EventSource.CLOSED) this.#again = setTimeout(() => this.#follow(), AGAIN_MS);
    };
  }

  #leave() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
  }

  #receive(event) {
    if (event.type === "calls") this.#begin(event);
    else if (event.type === "snapshot" && !this.#cards.has(event.call_sid)) this.#add(event);
    else this.#cards.get(event.call_sid)?.receive(event);
    if (event.type === "ended") this.#ended(event.call_sid);
    this.#count();
  }

  /* All calls that there are will be told next. Those that ended while nobody told us go. */
  #begin({ call_sids: callSids, now }) {
    this.#skewMs = Date.parse(now) - Date.now();
    this.#say("problem", "");
    this.#expected = new Set(callSids);
    for (const [callSid, card] of this.#cards) {
      if (!this.#expected.has(callSid) && !card.ended) this.#remove(callSid);
    }
  }

  #add(snapshot) {
    const card = new Card(this.#part("call"), this.#endings);
    card.receive(snapshot);
    card.keepTime(this.#skewMs);
    this.#cards.set(snapshot.call_sid, card);
    this.#part("calls").append(card.node);
    // Those that were there before the page was are no news.
    if (!this.#expected.delete(snapshot.call_sid)) this.#announce(`A call from ${card.caller} has begun.`);
  }

  #ended(callSid) {
    const card = this.#cards.get(callSid);
    if (!card) return;
    card.part("link").href = `${this.dataset.calls}/${encodeURIComponent(callSid)}`;
    card.part("dismiss").hidden = !card.isOpen;
    if (this.#ear?.callSid === callSid) this.#listenTo(null);
    this.#announce(`The call from ${card.caller} has ended: ${card.part("turn").textContent}.`);
    const remove = () => {
      if (this.#cards.get(callSid) !== card) return;
      if (card.isOpen || card.node.contains(document.activeElement)) setTimeout(remove, ENDED_MS);
      else this.#remove(callSid);
    };
    setTimeout(remove, ENDED_MS);
  }

  #remove(callSid) {
    const card = this.#cards.get(callSid);
    if (this.#ear?.callSid === callSid) this.#listenTo(null);
    if (this.#open === callSid) this.#open = "";
    card.node.remove();
    this.#cards.delete(callSid);
    this.#count();
  }

  #count() {
    const count = [...this.#cards.values()].filter(({ ended }) => !ended).length;
    this.#say("count", count === 1 ? "1 call in progress" : `${count || "no"} calls in progress`);
    this.#part("none").hidden = this.#cards.size > 0;
  }

  #keepTime() {
    for (const card of this.#cards.values()) card.keepTime(this.#skewMs);
  }

  #say(part, text) {
    const place = this.#part(part);
    if (place.textContent !== text) place.textContent = text;
    if (part === "problem") place.hidden = !text;
  }

  #announce(text) {
    this.#say("announcement", text);
  }

  // ------------------------------------------------------------------------------ what a person does

  #clicked(event) {
    const button = event.target.closest("button");
    const callSid = button?.closest("[data-call-sid]")?.dataset.callSid;
    if (!callSid) return;
    const card = this.#cards.get(callSid);
    switch (button.dataset.part) {
      case "open":
        return this.#toggle(callSid);
      case "listen":
        return this.#listenTo(this.#ear?.callSid === callSid ? null : card);
      case "tell":
        return card.telling(card.part("tell-form").hidden);
      case "hang-up":
        return this.#hangUp(card);
      case "dismiss":
        return this.#dismiss(callSid);
    }
  }

  #toggle(callSid) {
    const before = this.#open;
    this.#cards.get(before)?.open(false);
    this.#open = before === callSid ? "" : callSid;
    const card = this.#cards.get(this.#open);
    card?.open(true);
    this.#follow();
  }

  #dismiss(callSid) {
    this.#remove(callSid);
    (this.querySelector("[data-call-sid] button") ?? document.querySelector("#main")).focus();
  }

  /* A card, or null: to none. */
  #listenTo(card) {
    const before = this.#ear;
    this.#ear = null;
    if (before) {
      before.ear.stop();
      this.#cards.get(before.callSid)?.listening(false);
    }
    if (!card) return;
    const { call_sid: callSid } = card.snapshot;
    const ear = new Ear(`${this.dataset.live}/${encodeURIComponent(callSid)}/listen`, csrf());
    this.#ear = { callSid, ear };
    card.problem("");
    card.listening(true);
    ear.onlevels = (levels) => card.levels(levels);
    ear.onended = (problem) => {
      if (this.#ear?.ear !== ear) return;
      this.#ear = null;
      card.listening(false);
      card.problem(problem);
    };
    ear.start();
  }

  #submitted(event) {
    const form = event.target;
    const card = this.#cards.get(form.closest("[data-call-sid]")?.dataset.callSid);
    if (!card || form.dataset.part !== "tell-form") return;
    event.preventDefault();
    this.#tell(card, form);
  }

  async #tell(card, form) {
    const button = form.querySelector("button");
    button.disabled = true;
    card.part("told").textContent = "";
    const problem = await this.#ask(card.snapshot.call_sid, "text", new URLSearchParams(new FormData(form)));
    button.disabled = false;
    card.problem(problem);
    if (problem || card.ended) return;
    form.elements.text.value = "";
    form.elements.text.focus();
    card.part("told").textContent = form.elements.interrupt.checked ? "Told." : "Told. The bot answers when nobody speaks.";
  }

  async #hangUp(card) {
    const dialog = this.#part("confirm");
    this.#say("confirm-caller", card.caller);
    dialog.returnValue = "no";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue !== "yes" || card.ended) return;
    const button = card.part("hang-up");
    button.disabled = true;
    button.textContent = "Hanging up …";
    const problem = await this.#ask(card.snapshot.call_sid, "hang-up");
    card.problem(problem);
    if (!problem) await new Promise((resolve) => setTimeout(resolve, HANG_UP_MS));
    if (card.ended) return;
    button.disabled = false;
    button.textContent = "Hang up";
    if (!problem) card.problem("The process that holds the call has not hung up yet: try again.");
  }

  /* What went wrong, as a sentence; "" if nothing did. */
  async #ask(callSid, what, body = undefined) {
    try {
      const headers = { "x-csrf-token": csrf() };
      const response = await fetch(`${this.dataset.live}/${encodeURIComponent(callSid)}/${what}`, { method: "POST", headers, body });
      if (response.ok) return "";
      const { problems } = await response.json().catch(() => ({}));
      return problems?.[0] ?? "You may not do this: load the page again.";
    } catch {
      return "The service cannot be reached: try again.";
    }
  }
}

function csrf() {
  return document.querySelector("meta[name=csrf-token]")?.content ?? "";
}

customElements.define("phonebot-live", LivePage);

/*
A phone in the browser. It speaks the protocol of Twilio's media streams, so the service holds its calls as it holds
the carrier's; phone-worklet.js is the line, this is the set.

    const phone = new Phone({ tryUrl: "/console/try" });
    phone.addEventListener("state", ({ detail }) => ...);
    await phone.call({ number: "+15550100000", profile: { greeting: "Hello" } });

Events, each with its `detail`:

    state    {state, turn, outcome, problems, muted, startedAt}, see STATES; problems are sentences
    lines    {lines, texts}: settled lines, and what the bot is about to have said, by item
    levels   {said, heard}: 0 (silence) to 1 (full scale), twenty times a second
    heard    {heardMs, waitingMs, unheardMs?}: of the bot's audio, since the call began; unheardMs comes with a clear

`<phonebot-phone>` below is the panel around it; the markup is templates/_phone.html.
*/

import { level, showLevel } from "./levels.js";
import { element, ROLE_WORDS, Transcript, TranscriptView } from "./transcript.js";

const BYTES_PER_MS = 8;
const FRAME_MS = 20;
const LEVELS_MS = 50;
const GOODBYE_MS = 2000; // so long the service has to say how the call ended
const ACCOUNT_SID = `AC${"0".repeat(32)}`; // a browser has none

export const STATES = ["ready", "asking", "connecting", "talking", "ending", "ended"];
const IDLE = new Set(["ready", "ended"]);

/* Something that a person can do something about; its sentences are for him. */
export class Problem extends Error {
  constructor(...sentences) {
    super(sentences.join(" "));
    this.sentences = sentences;
  }
}

export class Phone extends EventTarget {
  #tryUrl;
  #sampleRate;
  #echoCancellation;
  #line = null; // the call in progress
  #state = { state: "ready", turn: "idle", outcome: null, problems: [], muted: false, startedAt: null };
  #transcript = new Transcript();

  constructor({ tryUrl = "try", sampleRate = 8000, echoCancellation = true } = {}) {
    super();
    this.#tryUrl = tryUrl;
    this.#sampleRate = sampleRate;
    this.#echoCancellation = echoCancellation;
  }

  get state() {
    return this.#state.state;
  }

  get transcript() {
    return this.#transcript;
  }

  /* Call from a click: browsers play sound only for a person. `profile` null: the one that is saved for `number`. */
  async call({ number = "", profile = null } = {}) {
    if (this.#line) return;
    const line = (this.#line = new Line(this.#sampleRate));
    this.#transcript = new Transcript();
    this.#tell("lines", this.#transcript);
    this.#become({ state: "asking", turn: "idle", outcome: null, problems: [], muted: false, startedAt: null });
    try {
      await line.open(this.#echoCancellation);
      if (this.#line !== line) return;
      this.#become({ state: "connecting" });
      const ticket = await this.#ticket({ number, profile });
      if (this.#line !== line) return;
      this.#follow(line);
      line.connect(ticket);
    } catch (error) {
      if (this.#line === line) this.#end({ problems: sentencesOf(error) });
    }
  }

  hangUp() {
    const line = this.#line;
    if (!line || this.state === "ending") return;
    if (!line.hangUp()) {
      this.#end({ outcome: "caller_hung_up" });
      return;
    }
    this.#become({ state: "ending" });
    setTimeout(() => this.#line === line && this.#end({ outcome: "caller_hung_up" }), GOODBYE_MS);
  }

  mute(muted) {
    this.#line?.mute(muted);
    this.#become({ muted });
  }

  press(digit) {
    if (this.state !== "talking" || !/^[0-9*#A-D]$/.test(digit)) return false;
    this.#line.press(digit);
    return true;
  }

  async #ticket(wanted) {
    const headers = { "content-type": "application/json" };
    const token = document.querySelector("meta[name=csrf-token]")?.content;
    if (token) headers["x-csrf-token"] = token;
    let response;
    try {
      response = await fetch(this.#tryUrl, { method: "POST", headers, body: JSON.stringify(wanted) });
    } catch {
      throw new Problem("The service cannot be reached: check that it runs, then call again.");
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Problem(...(answer.problems ?? [`The service answered ${response.status}.`]));
    return answer;
  }

  #follow(line) {
    line.onstarted = () => this.#become({ state: "talking", startedAt: Date.now() });
    line.onlevels = (levels) => this.#tell("levels", levels);
    line.onheard = (heard) => this.#tell("heard", heard);
    line.onevent = (event) => this.#receive(event);
    line.onclosed = (code) => {
      if (this.#line !== line) return;
      const problems = this.#state.outcome ? [] : sentencesOf(code, this.state);
      this.#end({ problems });
    };
  }

  #receive(event) {
    if (this.#transcript.receive(event)) this.#tell("lines", this.#transcript);
    if (event.type === "snapshot" || event.type === "turn") this.#become({ turn: event.turn });
    if (event.type === "ended") this.#become({ outcome: event.outcome, turn: "idle" });
  }

  #end(changes) {
    this.#line?.close();
    this.#line = null;
    this.#become({ state: "ended", turn: "idle", ...changes });
  }

  #become(changes) {
    this.#state = { ...this.#state, ...changes };
    this.#tell("state", this.#state);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/* One call: microphone, audio graph and socket. */
class Line {
  onstarted = () => {};
  onlevels = () => {};
  onheard = () => {};
  onevent = () => {};
  onclosed = () => {};
  #sampleRate;
  #context = null;
  #microphone = null;
  #node = null;
  #socket = null;
  #levels = 0; // an interval
  #sequence = 0;
  #chunk = 0;
  #ids = null;
  #closed = false;

  constructor(sampleRate) {
    this.#sampleRate = sampleRate;
    this.#context = makeContext(sampleRate); // within the click
  }

  async open(echoCancellation) {
    this.#microphone = await askForMicrophone(echoCancellation);
    if (this.#closed) return this.close();
    try {
      await this.#build();
    } catch (error) {
      if (!this.#sampleRate) throw error;
      // Not every browser connects a microphone to a context of another rate than its own.
      this.#sampleRate = null;
      clearInterval(this.#levels);
      await this.#context?.close();
      this.#context = makeContext(null);
      await this.#build();
    }
    if (this.#closed) this.close();
  }

  async #build() {
    const context = this.#context;
    await context.resume();
    await context.audioWorklet.addModule(new URL("phone-worklet.js", import.meta.url));
    const options = { numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1], channelCount: 1 };
    this.#node = new AudioWorkletNode(context, "phone-line", { ...options, channelCountMode: "explicit" });
    this.#node.port.onmessage = ({ data }) => this.#fromLine(data);
    const source = context.createMediaStreamSource(this.#microphone);
    const said = new AnalyserNode(context, { fftSize: 512 });
    const heard = new AnalyserNode(context, { fftSize: 512 });
    source.connect(said);
    source.connect(this.#node).connect(heard).connect(context.destination);
    this.#levels = setInterval(() => this.onlevels({ said: level(said), heard: level(heard) }), LEVELS_MS);
  }

  connect({ url, token, call_sid: callSid }) {
    this.#ids = { callSid, streamSid: `MZ${crypto.getRandomValues(new Uint8Array(16)).reduce(hex, "")}` };
    const socket = (this.#socket = new WebSocket(url));
    socket.onopen = () => this.#start(token);
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => this.onclosed(code);
  }

  #start(token) {
    this.#socket.send(JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" }));
    const { callSid, streamSid } = this.#ids;
    this.#send("start", {
      streamSid,
      accountSid: ACCOUNT_SID,
      callSid,
      tracks: ["inbound"],
      mediaFormat: { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 },
      customParameters: { token },
    });
    this.#node.port.postMessage({ start: true });
    this.onstarted();
  }

  #receive(message) {
    const { port } = this.#node;
    switch (message.event) {
      case "media":
        port.postMessage({ audio: Uint8Array.from(atob(message.media.payload), (byte) => byte.charCodeAt(0)) });
        break;
      case "mark":
        port.postMessage({ mark: message.mark.name });
        break;
      case "clear":
        port.postMessage({ clear: true });
        break;
      case "phonebot":
        this.onevent(message.phonebot);
    }
  }

  #fromLine({ frame, echo, cleared, progress }) {
    if (frame) this.#sendFrame(frame);
    else if (echo !== undefined) this.#send("mark", { name: echo });
    else if (cleared) this.#tellHeard({ heard: cleared.heard, waiting: 0, unheard: cleared.unheard });
    else if (progress) this.#tellHeard(progress);
  }

  #tellHeard({ heard, waiting, unheard }) {
    const detail = { heardMs: heard / BYTES_PER_MS, waitingMs: waiting / BYTES_PER_MS };
    this.onheard(unheard === undefined ? detail : { ...detail, unheardMs: unheard / BYTES_PER_MS });
  }

  #sendFrame(frame) {
    this.#chunk += 1;
    this.#send("media", {
      track: "inbound",
      chunk: String(this.#chunk),
      timestamp: String(this.#chunk * FRAME_MS), // by samples: frames arrive in bursts
      payload: btoa(String.fromCharCode(...frame)),
    });
  }

  #send(event, body) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#sequence += 1;
    const head = { event, sequenceNumber: String(this.#sequence), streamSid: this.#ids.streamSid };
    this.#socket.send(JSON.stringify({ ...head, [event]: body }));
  }

  mute(muted) {
    this.#node?.port.postMessage({ mute: muted });
  }

  press(digit) {
    this.#send("dtmf", { track: "inbound_track", digit });
  }

  /* False if there is nobody to tell. */
  hangUp() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#send("stop", { accountSid: ACCOUNT_SID, callSid: this.#ids.callSid });
    this.#silence();
    return true;
  }

  close() {
    this.#closed = true;
    this.#silence();
    if (this.#socket) {
      this.#socket.onclose = this.#socket.onmessage = null;
      this.#socket.close(1000);
    }
  }

  #silence() {
    clearInterval(this.#levels);
    this.onlevels({ said: 0, heard: 0 });
    if (this.#node) this.#node.port.onmessage = null;
    this.#microphone?.getTracks().forEach((track) => track.stop());
    if (this.#context?.state !== "closed") this.#context?.close();
  }
}

/* `sampleRate` null: the browser's own. */
function makeContext(sampleRate) {
  if (typeof AudioContext === "undefined") return null;
  try {
    return new AudioContext(sampleRate ? { sampleRate, latencyHint: "interactive" } : { latencyHint: "interactive" });
  } catch {
    return new AudioContext({ latencyHint: "interactive" });
  }
}

async function askForMicrophone(echoCancellation) {
  if (!navigator.mediaDevices || typeof AudioWorkletNode === "undefined") {
    throw new Problem(
      "This browser gives pages no microphone here: open the console over https, or on the machine itself.",
    );
  }
  const audio = {
    channelCount: 1,
    echoCancellation,
    noiseSuppression: echoCancellation,
    autoGainControl: echoCancellation,
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    if (error.name === "NotAllowedError") {
      throw new Problem(
        "The microphone was refused: allow it for this page (the icon beside the address), then call again.",
      );
    }
    if (error.name === "NotFoundError") {
      throw new Problem("There is no microphone: connect one, then call again.");
    }
    throw new Problem(`The microphone cannot be used (${error.message}): close what else uses it, then call again.`);
  }
}

function sentencesOf(what, state) {
  if (what instanceof Problem) return what.sentences;
  if (what instanceof Error) return [`The phone does not work in this browser: ${what.message}.`];
  if (state === "connecting") return ["The service did not let the call in: reload the page, then call again."];
  if (what === 1008) return ["The service refused the call: reload the page, then call again."];
  return ["The connection broke off: check the network, then call again."];
}

function hex(text, byte) {
  return text + byte.toString(16).padStart(2, "0");
}

// ------------------------------------------------------------------------------------------------- the panel

const STATE_WORDS = {
  ready: "Ready",
  asking: "Waiting for the microphone",
  connecting: "Connecting",
  ending: "Hanging up",
  ended: "Call ended",
};
const TURN_WORDS = {
  idle: "Connected",
  caller: "You are speaking",
  thinking: "The bot is thinking",
  bot: "The bot is speaking",
};
const OUTCOME_WORDS = {
  caller_hung_up: "You hung up.",
  bot_hung_up: "The bot hung up.",
  operator_hung_up: "An operator ended the call.",
  guardrail: "A guardrail ended the call.",
  model_failed: "The model failed: a caller would have heard an apology.",
  stream_lost: "The connection broke off.",
  carrier_faults: "The service took this phone's messages for faulty.",
  cost_limit: "The call cost as much as it may.",
  service_stopped: "The service stopped, and the bot said goodbye.",
  moved: "The service stopped.",
  no_input: "You said nothing, and the bot hung up.",
  time_limit: "The call reached the profile's time limit.",
};
const WORDS = { ...ROLE_WORDS, caller: "You" };

/*
The phone as the page shows it. `data-try`, `data-number` say what is called; set `profile` to a function, which may be
async, to try a profile that is not saved; what it throws as a Problem is shown. `data-echo-cancellation="off"` and
`data-sample-rate` are for tests.
*/
export class PhonePanel extends HTMLElement {
  profile = () => null;
  phone = null;
  #timer = 0;
  #transcript = null;

  connectedCallback() {
    const { try: tryUrl, sampleRate, echoCancellation } = this.dataset;
    this.phone = new Phone({
      tryUrl,
      sampleRate: sampleRate === "default" ? null : Number(sampleRate ?? 8000),
      echoCancellation: echoCancellation !== "off",
    });
    this.phone.addEventListener("state", ({ detail }) => this.#showState(detail));
    this.#transcript = new TranscriptView(this, WORDS);
    this.phone.addEventListener("lines", ({ detail }) => this.#transcript.show(detail));
    this.phone.addEventListener("levels", ({ detail }) => this.#showLevels(detail));
    this.addEventListener("click", (event) => this.#clicked(event));
    document.addEventListener("keydown", this.#typed);
    this.#find("call").disabled = false;
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.#typed);
    this.phone.hangUp();
  }

  #find(part) {
    return this.querySelector(`[data-part="${part}"]`);
  }

  #clicked(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.key) this.#press(button.dataset.key);
    else if (button.dataset.part === "call") this.#call();
    else if (button.dataset.part === "hang-up") this.phone.hangUp();
    else if (button.dataset.part === "mute") this.phone.mute(button.getAttribute("aria-pressed") !== "true");
  }

  async #call() {
    try {
      const profile = await this.profile();
      this.phone.call({ number: this.dataset.number ?? "", profile });
    } catch (error) {
      this.#showProblems(sentencesOf(error));
    }
  }

  #typed = (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || this.phone.state !== "talking") return;
    if (/^[0-9*#]$/.test(event.key)) this.#press(event.key);
    else if (event.key === "m") this.#find("mute").click();
  };

  #press(digit) {
    if (!this.phone.press(digit)) return;
    const button = this.querySelector(`[data-key="${digit}"]`);
    button.classList.add("pressed");
    setTimeout(() => button.classList.remove("pressed"), 150);
    this.#find("pressed").textContent += digit;
  }

  #showState({ state, turn, outcome, problems, muted, startedAt }) {
    const idle = IDLE.has(state);
    const focused = document.activeElement;
    this.dataset.state = state;
    this.dataset.turn = turn;
    this.#find("state").textContent = wordsOf(state, turn, startedAt);
    this.#find("outcome").textContent = state === "ended" ? (OUTCOME_WORDS[outcome] ?? "") : "";
    const call = this.#find("call");
    const hangUp = this.#find("hang-up");
    call.hidden = !idle;
    hangUp.hidden = idle;
    const mute = this.#find("mute");
    mute.disabled = state !== "talking";
    mute.setAttribute("aria-pressed", String(muted));
    this.#find("mute-words").textContent = muted ? "Unmute" : "Mute";
    for (const key of this.querySelectorAll("[data-key]")) key.disabled = state !== "talking";
    // Who works with the keyboard is not thrown out of the phone when what he is at goes away.
    if (this.contains(focused) && (focused.hidden || focused.disabled)) (idle ? call : hangUp).focus();
    this.#showProblems(problems);
    this.#keepTime(state, startedAt);
  }

  #showProblems(problems) {
    const list = this.#find("problems");
    list.hidden = problems.length === 0;
    list.replaceChildren(...problems.map((problem) => element("li", "", problem)));
  }

  #keepTime(state, startedAt) {
    const show = () => {
      const seconds = startedAt ? Math.floor((Date.now() - startedAt) / 1000) : 0;
      this.#find("timer").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    };
    if (state === "asking") {
      this.#find("pressed").textContent = "";
      show();
    }
    if (state === "talking" && !this.#timer) this.#timer = setInterval(show, 250);
    if (state !== "talking") {
      clearInterval(this.#timer);
      this.#timer = 0;
    }
  }

  #showLevels({ said, heard }) {
    for (const [part, value] of [["level-said", said], ["level-heard", heard]]) {
      showLevel(this.#find(part), value);
    }
  }
}

function wordsOf(state, turn, startedAt) {
  if (state === "talking") return TURN_WORDS[turn];
  return state === "ended" && !startedAt ? "Not connected" : STATE_WORDS[state];
}

customElements.define("phonebot-phone", PhonePanel);

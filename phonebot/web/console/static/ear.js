/*
Listens to a call: the service sends mu-law at 8 kHz, a byte of the caller and one of the bot in turn, as it is heard.

    const ear = new Ear(url, csrf);
    ear.onlevels = ({ caller, bot }) => ...     // 0 to 1, ten times a second
    ear.onended = (problem) => ...              // a sentence, or "" when the call is over
    ear.start();                                // in a click: browsers play sound only for a person
    ear.stop();

The caller is on the left, the bot on the right. Sound comes in blocks; the first one waits a moment, so that the next
is there in time, and longer after each time that one was not.
*/

import { level } from "./levels.js";
import { LINEAR } from "./mulaw.js";

const RATE = 8000;
const FIRST_WAIT_S = 0.25;
const LONGEST_WAIT_S = 1.5;
const MAX_BEHIND_S = 1.0; // beyond the wait: then sound is left out
const LEVELS_MS = 100;

export class Ear {
  onlevels = () => {};
  onended = () => {};
  #url;
  #csrf;
  #context = null;
  #analysers = [];
  #input = null;
  #timer = 0;
  #request = new AbortController();
  #half = new Uint8Array(0); // the caller's byte whose fellow has yet to come
  #wait = FIRST_WAIT_S;
  #next = 0; // where in the context's time the next block begins

  constructor(url, csrf) {
    this.#url = url;
    this.#csrf = csrf;
  }

  async start() {
    const context = (this.#context = new AudioContext({ sampleRate: RATE }));
    this.#input = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
    this.#analysers = [0, 1].map((channel) => {
      const analyser = new AnalyserNode(context, { fftSize: 1024 });
      this.#input.connect(analyser, channel);
      return analyser;
    });
    this.#timer = setInterval(() => this.#measure(), LEVELS_MS);
    try {
      await this.#read();
      this.#end("");
    } catch (error) {
      this.#end(error instanceof Refused ? error.message : "The sound broke off: try again.");
    }
  }

  stop() {
    this.#request.abort();
    this.#close();
  }

  async #read() {
    const headers = { "x-csrf-token": this.#csrf };
    const response = await fetch(this.#url, { method: "POST", headers, signal: this.#request.signal });
    if (!response.ok) {
      const { problems } = await response.json().catch(() => ({}));
      throw new Refused(problems?.[0] ?? "You may not listen to this call: load the page again.");
    }
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) this.#play(part.value);
  }

  #play(bytes) {
    const all = new Uint8Array(this.#half.length + bytes.length);
    all.set(this.#half);
    all.set(bytes, this.#half.length);
    this.#half = all.slice(all.length - (all.length % 2));
    const length = all.length >> 1;
    if (!length || !this.#context) return;
    const { currentTime } = this.#context;
    if (this.#next < currentTime) {
      if (this.#next) this.#wait = Math.min(LONGEST_WAIT_S, this.#wait * 1.5);
      this.#next = currentTime + this.#wait;
    }
    if (this.#next > currentTime + this.#wait + MAX_BEHIND_S) return;
    const block = this.#context.createBuffer(2, length, RATE);
    for (const channel of [0, 1]) {
      const samples = block.getChannelData(channel);
      for (let n = 0; n < length; n++) samples[n] = LINEAR[all[2 * n + channel]];
    }
    const source = new AudioBufferSourceNode(this.#context, { buffer: block });
    source.connect(this.#context.destination);
    source.connect(this.#input);
    source.start(this.#next);
    this.#next += length / RATE;
  }

  #measure() {
    const [caller, bot] = this.#analysers.map(level);
    this.onlevels({ caller, bot });
  }

  #end(problem) {
    if (!this.#context) return; // it was stopped
    this.#close();
    this.onended(problem);
  }

  #close() {
    clearInterval(this.#timer);
    this.#context?.close();
    this.#context = null;
  }
}

/* Its message is for a person. */
class Refused extends Error {}

/*
The far end of a media stream, as the carrier keeps it: one queue of mu-law at 8 kHz, played in frames of 20 ms.

    page -> {start} {audio} {mark} {clear} {mute}        page <- {frame} {echo} {cleared} {progress}

With each frame that is played one of the caller's is handed over, so both have the same boundaries and the stamps of
the caller's frames tell where those of the bot's lie. At a boundary: the frame under way has ended; marks whose
audio has ended are echoed; the caller's frame goes out; the next 160 bytes leave the queue, filled with silence if
there are fewer. A clear drops the queue and echoes all marks in it at once; the frame under way is played to its
end. A mark on an empty queue comes back at once. (Twilio, Media Streams, mark and clear.)

"Played" means: handed to the browser. Its own output comes after that (AudioContext.baseLatency, outputLatency).
*/

import { LINEAR } from "./mulaw.js";

const RATE = 8000;
const FRAME = 160;
const QUEUE = 2 ** 20; // bytes: 131 s, and the service sends at most 30 s ahead
const PROGRESS_FRAMES = 5;
const SILENCE = 0xff; // mu-law zero (ITU-T G.711, Table 2)

function toMulaw(sample) {
  const linear = Math.max(-32635, Math.min(32635, Math.round(sample * 32768)));
  const magnitude = Math.abs(linear) + 0x84;
  const exponent = 31 - Math.clz32(magnitude) - 7;
  return ~((linear < 0 ? 0x80 : 0) | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0f)) & 0xff;
}

function besselI0(x) {
  let sum = 1;
  for (let n = 1, term = 1; n < 30; n++) {
    term *= (x / (2 * n)) ** 2;
    sum += term;
  }
  return sum;
}

/*
Changes the rate of a stream of samples, by any ratio: a sinc under a Kaiser window (beta 6: 60 dB), 24 zero
crossings to either side, which keeps 0 to 3.4 kHz. Late by 24 samples of the lower rate, 3 ms at 8 kHz.
*/
class Resampler {
  static PHASES = 512;
  static CROSSINGS = 24;

  constructor(from, to) {
    const scale = Math.min(1, to / from);
    this.step = from / to;
    this.half = Math.ceil(Resampler.CROSSINGS / scale);
    this.taps = 2 * this.half;
    this.kernels = new Float32Array((Resampler.PHASES + 1) * this.taps);
    for (let phase = 0; phase <= Resampler.PHASES; phase++) this.fill(phase, 0.925 * scale);
    // The newest `taps` samples, twice, so that they always lie in a row somewhere.
    this.history = new Float32Array(2 * this.taps);
    this.at = 0;
    this.due = 1; // the next output lies so many samples behind the middle of the history; from 1 on, wait for input
  }

  fill(phase, cutoff) {
    const kernel = this.kernels.subarray(phase * this.taps, (phase + 1) * this.taps);
    let sum = 0;
    for (let tap = 0; tap < this.taps; tap++) {
      const x = tap - (this.half - 1) - phase / Resampler.PHASES;
      const window = besselI0(6 * Math.sqrt(Math.max(0, 1 - (x / this.half) ** 2)));
      const angle = Math.PI * cutoff * x;
      kernel[tap] = window * (Math.abs(angle) < 1e-9 ? 1 : Math.sin(angle) / angle);
      sum += kernel[tap];
    }
    for (let tap = 0; tap < this.taps; tap++) kernel[tap] /= sum;
  }

  shift(sample) {
    this.history[this.at] = this.history[this.at + this.taps] = sample;
    this.at = (this.at + 1) % this.taps;
    this.due -= 1;
  }

  output() {
    const kernel = Math.round(this.due * Resampler.PHASES) * this.taps;
    let sum = 0;
    for (let tap = 0; tap < this.taps; tap++) sum += this.history[this.at + tap] * this.kernels[kernel + tap];
    this.due += this.step;
    return sum;
  }

  /* Give one sample in; `take` gets those that come out. */
  push(sample, take) {
    this.shift(sample);
    while (this.due < 1) take(this.output());
  }

  /* Get one sample out; `next` gives those that go in. */
  pull(next) {
    while (this.due >= 1) this.shift(next());
    return this.output();
  }
}

/* What the caller has said and was not yet handed over. */
class Said {
  constructor(lead) {
    this.samples = new Float32Array(8 * FRAME);
    this.length = lead;
  }

  append(sample) {
    if (this.length < this.samples.length) this.samples[this.length++] = sample;
  }

  takeFrame(muted) {
    const frame = new Uint8Array(FRAME).fill(SILENCE);
    const length = Math.min(FRAME, this.length);
    if (!muted) for (let n = 0; n < length; n++) frame[n] = toMulaw(this.samples[n]);
    this.samples.copyWithin(0, length, this.length);
    this.length -= length;
    return frame;
  }
}

class PhoneLine extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = new Uint8Array(QUEUE);
    this.head = 0; // bytes that have left the queue, and
    this.tail = 0; // that have entered it, since the call began
    // Positions count the bytes that were or will be played: a clear takes back what it dropped.
    this.accepted = 0;
    this.played = 0; // in frames that have ended
    this.inFlight = 0;
    this.marks = []; // {name, position}
    this.frame = new Float32Array(FRAME);
    this.at = FRAME; // the next sample of the frame under way
    this.frames = 0; // since the stream started
    this.started = this.muted = false;
    const native = sampleRate === RATE;
    this.down = native ? null : new Resampler(sampleRate, RATE);
    this.up = native ? null : new Resampler(RATE, sampleRate);
    // What is resampled comes late, and what is to be played is fetched early.
    this.lead = native ? 0 : 2 * Resampler.CROSSINGS + 16;
    this.said = new Said(this.lead);
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  receive({ start, audio, mark, clear, mute }) {
    if (start) this.start();
    else if (audio) this.append(audio);
    else if (mark !== undefined) this.mark(mark);
    else if (clear) this.clear();
    else if (mute !== undefined) this.muted = mute;
  }

  start() {
    this.started = true;
    this.said = new Said(this.lead);
  }

  append(audio) {
    if (this.tail - this.head + audio.length > QUEUE) return; // as a carrier drops what is too much
    for (let n = 0; n < audio.length; n++) this.queue[(this.tail + n) % QUEUE] = audio[n];
    this.tail += audio.length;
    this.accepted += audio.length;
  }

  mark(name) {
    if (this.accepted === this.played) this.port.postMessage({ echo: name });
    else this.marks.push({ name, position: this.accepted });
  }

  clear() {
    const unheard = this.tail - this.head;
    this.head = this.tail;
    this.accepted = this.played + this.inFlight;
    for (const { name } of this.marks.splice(0)) this.port.postMessage({ echo: name });
    this.port.postMessage({ cleared: { heard: this.accepted, unheard } });
  }

  /* A boundary between two frames. */
  tick() {
    this.played += this.inFlight;
    while (this.marks.length && this.marks[0].position <= this.played) {
      this.port.postMessage({ echo: this.marks.shift().name });
    }
    if (this.frames++) {
      const frame = this.said.takeFrame(this.muted);
      this.port.postMessage({ frame }, [frame.buffer]);
    }
    this.inFlight = Math.min(FRAME, this.tail - this.head);
    this.frame.fill(0);
    for (let n = 0; n < this.inFlight; n++) this.frame[n] = LINEAR[this.queue[(this.head + n) % QUEUE]];
    this.head += this.inFlight;
    this.at = 0;
    if (this.frames % PROGRESS_FRAMES === 0) {
      this.port.postMessage({ progress: { heard: this.played, waiting: this.tail - this.head + this.inFlight } });
    }
  }

  next() {
    if (this.at === FRAME) this.tick();
    return this.frame[this.at++];
  }

  process([input], [output]) {
    if (!this.started) return true;
    const said = input[0]; // none while no microphone is connected
    const heard = output[0];
    for (let n = 0; n < heard.length; n++) {
      const sample = said ? said[n] : 0;
      if (this.down) this.down.push(sample, (each) => this.said.append(each));
      else this.said.append(sample);
    }
    for (let n = 0; n < heard.length; n++) heard[n] = this.up ? this.up.pull(() => this.next()) : this.next();
    return true;
  }
}

registerProcessor("phone-line", PhoneLine);

/* How loud it is, and how that is shown. */

const FLOOR_DB = 54; // what is softer shows as nothing

/* 0 (silence) to 1 (full scale). */
export function level(analyser) {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}

/* `bar` is a `.level-bar`. */
export function showLevel(bar, value) {
  const shown = value > 0 ? Math.max(0, 1 + (20 * Math.log10(value)) / FLOOR_DB) : 0;
  bar.style.setProperty("--level", Math.min(1, shown * 1.15).toFixed(3));
}

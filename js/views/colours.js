import { general } from "../core/format.js";
import { LEAST_PEAK } from "../core/matrices.js";

// A scale's end is one of these times a power of ten, so that it can be read and seldom moves.
const ROUND_NUMBERS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
// A number rounded to float32 may lie this part above a round one.
const FLOAT32 = 1e-6;
// Rounding leaves a weight this much above 1.
const ROUNDING = 1e-3;

// Colours of a picture, and where its colour scale begins and ends.

/**
 * Index of the first key that the colour scale takes into account: 0, or if the first token is left out, one past
 * the first key that any query sees.
 *
 * @param {State} state
 * @param {AnySelection} selection
 * @returns {number}
 */
export function scaledFrom(state, selection) {
  if ("first" in selection) return selection.first;
  const { T, S, visible } = selection;
  if (!state.skip_first || S === 1) return 0;
  for (let key = 0; key < S; key++) {
    for (let query = 0; query < T; query++) if (visible[query * S + key] !== 0) return key + 1;
  }
  return 1;
}

/**
 * The end of a scale that holds the largest number: the next round one, 1 for next to nothing.
 *
 * @param {number} peak
 */
export function roundUp(peak) {
  if (!(peak >= LEAST_PEAK)) return 1;
  const [mantissa, exponent] = peak.toExponential().split("e");
  return Number(`${ROUND_NUMBERS.find((number) => number >= Number(mantissa) * (1 - FLOAT32))}e${exponent}`);
}

/**
 * Where a scale of weights ends: held ones at 1 if they can.
 *
 * @param {number} peak the largest weight
 * @param {boolean} held
 */
export function weightsEnd(peak, held) {
  return (peak > (held ? 0 : 1) && peak <= 1 + ROUNDING) || !peak ? 1 : roundUp(peak);
}

/**
 * Where the bars of a row end.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {number} peak the row's largest weight
 */
export function rowEnd(trace, state, peak) {
  return weightsEnd(peak, scaleOf(trace, state).ends === "one");
}

/**
 * Positions and labels of 0, half the end and the end, on an axis from one number to another.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} end
 * @returns {Tick[]}
 */
export function weightTicks(low, high, end) {
  return [0, 0.5, 1].map((part) => [low + part * (high - low), general(part * end, 6)]);
}

/**
 * The chosen row of the table of colour scales.
 *
 * @param {Trace} trace
 * @param {State} state
 */
export function scaleOf(trace, state) {
  return /** @type {WeightScale} */ (trace.scales.find(({ name }) => name === state.weight_scale));
}

/**
 * A colour scale centred at 0, so that signs are visible.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {number} reach
 * @returns {Colours}
 */
export function symmetric(trace, state, reach) {
  return { low: -reach, high: reach, palette: paletteOf(trace, state).diverging, power: 1 };
}

/**
 * Colours of weights from 0 up.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {number} high
 * @param {WeightScale} [scale] the first of the table where it is left out
 * @returns {Colours}
 */
export function sequential(trace, state, high, { ramp, power } = trace.scales[0]) {
  return { low: 0, high, palette: paletteOf(trace, state).sequential[ramp], power };
}

/** @param {Trace} trace @param {State} state */
function paletteOf(trace, state) {
  return trace.palettes[state.dark ? "dark" : "light"];
}

/** @param {Trace} trace @param {State} state */
export function lookOf(trace, state) {
  return trace.themes[state.dark ? "dark" : "light"];
}

const UNKNOWN = "#8a8f99";

/**
 * Formats an RGB colour in 0..1 as hex; NaN gives a neutral grey.
 *
 * @param {Floats} rgb
 */
export function hexColour(rgb) {
  if (!rgb.every(Number.isFinite)) return UNKNOWN;
  /** @param {number} channel */
  const digits = (channel) => roundToEven(clip(channel, 0, 1) * 255).toString(16).padStart(2, "0");
  return `#${Array.from(rgb, digits).join("")}`;
}

const READABLE = new Map();

/**
 * Returns black or white, whichever contrasts more with a hex colour (WCAG 2 relative luminance).
 *
 * @param {string} colour "#rrggbb"
 * @returns {string} hex
 */
export function readableOn(colour) {
  if (READABLE.size > 4096) READABLE.clear();
  if (!READABLE.has(colour)) READABLE.set(colour, luminance(colour) < 0.179 ? "#ffffff" : "#000000");
  return READABLE.get(colour);
}

// Contrast with white is 1.05 / (L + 0.05), with black (L + 0.05) / 0.05: equal at 0.179.
/** @param {string} colour */
function luminance(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const channel = parseInt(colour.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return red * 0.2126 + green * 0.7152 + blue * 0.0722;
}

/** @param {number} number @param {number} low @param {number} high */
export function clip(number, low, high) {
  return Math.min(Math.max(number, low), high);
}

/** @param {number} number */
export function roundToEven(number) {
  const rounded = Math.round(number);
  return rounded - number === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

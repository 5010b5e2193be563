import { ROUNDOFF, SMALLEST, lastBit, toHalf } from "./float16.js";
import { sizesOf } from "./inputs.js";

// What rounding explains of an output's error: attnpanel/bench/certify/judgement.py, error_units.py, sixteen_bits.py and
// sixteen_bit_statistics.py for float32, and for float16 that is computed in float32 and rounded once, when it is stored.

/** @typedef {import("./reference.js").Reference} Reference */

export const PASSING_UNITS = 8;
const DEVIATIONS = 1.25; // standard deviations in a unit of 16 bits
const MAX_EXPONENT = 600;
/** @type {Record<string, number>} */
export const LIMITS = { rms: 1.5, "rms of some rows": 2, gain: 6, "row gain": 2, bias: 6, edge: 8 };
const MIN_ELEMENTS = 512;
const FLIPS = 24;
const ROWS = 8;
const MIN_ROWS = 64;
const PARTS = 16;

/**
 * The relative error of each row's weights that is one unit.
 *
 * @param {BenchRequest} request
 * @param {Float64Array} kappa
 */
export function weightError({ key_len: S }, kappa) {
  return kappa.map((condition) => {
    const exponent = ROUNDOFF.float32 * (condition + Math.log2(S) + 4);
    return Math.expm1(Math.min(PASSING_UNITS * exponent, MAX_EXPONENT)) / PASSING_UNITS;
  });
}

/**
 * Of float16, what float32 leaves in each row's weights.
 *
 * @param {BenchRequest} request
 * @param {Float64Array} kappa
 */
function float32Error({ key_len: S }, kappa) {
  return kappa.map((condition) => ROUNDOFF.float32 * (condition + Math.log2(Math.max(S, 2)) + 4));
}

/**
 * One unit of each output element.
 *
 * @param {BenchRequest} request
 * @param {Reference} expected
 */
export function outputUnit(request, { kappa, magnitude, valueSum }) {
  const { Dv } = sizesOf(request);
  if (request.dtype === "float16") return deviation(request, { kappa, magnitude, valueSum }).map((x) => DEVIATIONS * x);
  const relative = weightError(request, kappa);
  return magnitude.map((size, at) => relative[Math.floor(at / Dv)] * size + SMALLEST.float32 * (1 + valueSum[at]));
}

/**
 * The standard deviation of each float16 output before it is stored.
 *
 * @param {BenchRequest} request
 * @param {Pick<Reference, "kappa" | "magnitude" | "valueSum">} expected
 */
function deviation(request, { kappa, magnitude, valueSum }) {
  const relative = float32Error(request, kappa);
  return magnitude.map((size, at) => {
    const row = Math.floor(at / request.value_dim);
    return relative[row] * size + SMALLEST.float16 / 2 + SMALLEST.float32 * valueSum[at];
  });
}

/**
 * One unit of each weight.
 *
 * @param {BenchRequest} request
 * @param {Reference} expected with its weights
 */
export function weightUnit(request, { kappa, weights }) {
  const { S } = sizesOf(request);
  const all = /** @type {Float64Array} */ (weights);
  if (request.dtype === "float32") {
    const relative = weightError(request, kappa);
    return all.map((weight, at) => relative[Math.floor(at / S)] * weight + 2 * SMALLEST.float32);
  }
  const relative = float32Error(request, kappa);
  const least = SMALLEST.float16;
  return all.map((w, at) => DEVIATIONS * (relative[Math.floor(at / S)] * w + Math.min(w, least) + least / 2));
}

/**
 * The largest error in units, and where; Infinity for what is not finite.
 *
 * @param {ArrayLike<number>} actual
 * @param {ArrayLike<number> | ((at: number) => number)} expected
 * @param {ArrayLike<number>} unit
 * @param {(at: number) => boolean} judged
 * @param {DType} stored the dtype of `actual`: half a last bit of float16 is no error
 * @returns {{ratio: number, at: number, ratios: Float64Array}}
 */
export function largestError(actual, expected, unit, judged, stored) {
  const right = typeof expected === "function" ? expected : (/** @type {number} */ at) => expected[at];
  const ratios = new Float64Array(actual.length);
  let worst = 0;
  for (let at = 0; at < actual.length; at++) {
    if (!judged(at)) continue;
    let error = Math.abs(actual[at] - right(at));
    if (!Number.isFinite(actual[at])) error = Infinity;
    else if (stored === "float16") {
      const half = lastBit(Math.max(Math.abs(actual[at]), Math.abs(right(at)))) / 2;
      error = Math.max(error - half * (1 + 1e-9), 0);
    }
    ratios[at] = error / unit[at];
    if (ratios[at] > ratios[worst]) worst = at;
  }
  return { ratio: ratios[worst] ?? 0, at: worst, ratios };
}

/**
 * Why the largest error fails; empty if it passes.
 *
 * @param {{ratio: number, at: number}} largest
 * @param {ArrayLike<number>} actual
 * @param {number} right
 * @param {number[]} shape
 */
export function describeExcess({ ratio, at }, actual, right, shape) {
  if (!(ratio > PASSING_UNITS)) return "";
  return (
    `up to ${PASSING_UNITS} units of rounding error pass; got ${digits(ratio, 3)} at (${positionOf(at, shape).join(", ")}): ` +
    `${digits(actual[at], 9)} where ${digits(right, 9)} is right`
  );
}

/** @param {number} number @param {number} count */
export function digits(number, count) {
  return Number.isFinite(number) ? String(Number(number.toPrecision(count))) : String(number).toLowerCase();
}

/** @param {number} at @param {number[]} shape */
export function positionOf(at, shape) {
  const position = [];
  for (const size of [...shape].reverse()) {
    position.unshift(at % size);
    at = Math.floor(at / size);
  }
  return position;
}

/**
 * What is wrong with an output; nothing if rounding explains it.
 *
 * @param {BenchRequest} request
 * @param {BenchInputs} inputs
 * @param {Float32Array} output
 * @param {Reference} expected
 */
export function judge(request, inputs, output, expected) {
  const { B, H, T, Dv } = sizesOf(request);
  const unit = outputUnit(request, expected);
  const sees = (/** @type {number} */ at) => expected.judged[Math.floor(at / Dv)] === 1;
  const largest = largestError(output, expected.output, unit, sees, request.dtype);
  const excess = describeExcess(largest, output, expected.output[largest.at], [B, H, T, Dv]);
  const failures = excess ? [excess] : [];
  if (request.dtype === "float16") {
    /** @type {Record<string, [number, number]>} */
    const worst = {};
    for (let head = 0; head < B * H; head++) {
      for (const [name, value] of Object.entries(headStatistics(request, inputs, output, expected, head))) {
        if (value > LIMITS[name] && value > (worst[name]?.[0] ?? 0)) worst[name] = [value, head];
      }
    }
    for (const [name, [value, head]] of Object.entries(worst)) {
      failures.push(`${name} up to ${LIMITS[name]} passes; got ${digits(value, 3)} in head ${head}`);
    }
  }
  return { ...largest, failures };
}

/**
 * Statistics of one head's float16 output, which tell wrong arithmetic from rounding.
 *
 * @param {BenchRequest} request
 * @param {BenchInputs} inputs
 * @param {Float32Array} output
 * @param {Reference} expected
 * @param {number} head
 * @returns {Record<string, number>}
 */
export function headStatistics(request, inputs, output, expected, head) {
  const { H, Hkv, T, S, Dv, group } = sizesOf(request);
  const kv = Math.floor(head / H) * Hkv + Math.floor((head % H) / group);
  const own = deviation(request, expected);
  const tests = [new Projection(), new Projection(), new Projection(), new Projection()];
  /** @type {number[]} */
  const squares = [];
  /** @type {number[]} */
  const due = [];
  let [gained, gainDue, flip, mostDue] = [0, 0, 0, 0];
  for (let row = head * T; row < (head + 1) * T; row++) {
    if (expected.judged[row] === 0) continue;
    let [square, ofSquare, mostFlip, uniformGain] = [0, 0, -Infinity, 0];
    for (const test of tests) test.startRow();
    for (let d = 0; d < Dv; d++) {
      const at = row * Dv + d;
      const right = expected.output[at];
      const step = lastBit(right);
      const full = own[at] ** 2;
      const known = roundingCorrelation(own[at] / step);
      const got = Number.isFinite(output[at]) ? output[at] : right;
      const error = got - right - known * (toHalf(right) - right);
      const uniform = step ** 2 / 12;
      const variance = uniform * (1 - known ** 2) + full;
      const plain = uniform + full;
      square += error ** 2 / plain;
      ofSquare += variance / plain;
      const edges = [
        [expected.first[row], expected.firstWeight[row]],
        [expected.last[row], expected.lastWeight[row]],
      ].map(([j, weight]) => inputs.value[(kv * S + j) * Dv + d] * weight);
      [right, 1, ...edges].forEach((value, index) => tests[index].add(value / plain, error, variance, own[at], step));
      uniformGain += uniform * (right / plain) ** 2;
      mostFlip = Math.max(mostFlip, (step * right) / plain);
    }
    squares.push(square);
    due.push(ofSquare);
    if (uniformGain > 0) {
      gained += tests[0].value ** 2 / uniformGain;
      const rowDue = (tests[0].variance + tests[0].float32 ** 2) / uniformGain;
      gainDue += rowDue;
      mostDue = Math.max(mostDue, rowDue);
      flip = Math.max(flip, mostFlip ** 2 / uniformGain);
    }
    for (const test of tests) test.endRow();
  }
  if (squares.length === 0) return {};
  const [gain, bias, first, last] = tests.map((test) => test.ratio());
  /** @type {Record<string, number>} */
  const found = { gain, bias, edge: S > 1 ? Math.max(first, last) : 0 };
  if (squares.length * Dv < MIN_ELEMENTS) return found;
  found.rms = Math.sqrt(sum(squares) / (sum(due) + FLIPS));
  if (squares.length >= MIN_ROWS) {
    const part = Math.floor(squares.length / PARTS);
    const shares = Array.from({ length: PARTS }, (_, index) => {
      const [found, expected] = [squares, due].map((x) => sum(x.slice(index * part, (index + 1) * part)));
      return found / (expected + FLIPS);
    });
    found["rms of some rows"] = Math.sqrt(Math.max(...shares));
  }
  const dueGain = gainDue + 2 * flip + ROWS * mostDue;
  found["row gain"] = dueGain > 0 ? Math.sqrt(gained / dueGain) : 0;
  return found;
}

/** The sums of errors under one test's weights, over the rows of a head. */
class Projection {
  total = { value: 0, variance: 0, float32: 0 };
  step = 0;
  value = 0;
  variance = 0;
  float32 = 0;

  startRow() {
    this.value = this.variance = this.float32 = 0;
  }

  /** @param {number} test @param {number} error @param {number} variance @param {number} float32 @param {number} step */
  add(test, error, variance, float32, step) {
    this.value += error * test;
    this.variance += variance * test ** 2;
    this.float32 += float32 * Math.abs(test);
    this.step = Math.max(this.step, step * Math.abs(test));
  }

  endRow() {
    this.total.value += this.value;
    this.total.variance += this.variance;
    this.total.float32 += this.float32;
  }

  ratio() {
    const excess = Math.abs(this.total.value) - this.total.float32 - 2 * this.step;
    return excess > 0 && this.total.variance > 0 ? excess / Math.sqrt(this.total.variance) : 0;
  }
}

/** @param {number} x errors before rounding, in last bits */
function roundingCorrelation(x) {
  if (x < 0.3) return 1 - 6 * (Math.sqrt(2 / Math.PI) * x - x ** 2);
  return (6 / Math.PI ** 2) * Math.exp(-2 * Math.PI ** 2 * x ** 2);
}

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

import { ROUNDOFF, SMALLEST, roundTo } from "./float16.js";
import { SharedGenerator, makeInputs } from "./inputs.js";
import { describeExcess, digits, judge, largestError, outputUnit, positionOf, weightUnit } from "./judge.js";
import { maskRow, reference } from "./reference.js";

// The checks of a certificate, by the names and rules of attnpanel/bench/certify/checks_*.py. Each returns why it fails, an
// empty text where it passes, or null where it does not apply.

/** @typedef {import("./certificate.js").Subject} Subject */

const PERTURBATION = 1e4;
/** @type {Record<DType, number>} a hidden key of 1e4 would overflow float16 scores */
const KEY_PERTURBATION = { float32: 1e4, float16: 100 };
const IDENTITY_BUDGET = 2 ** 21;
const MOST_CALLS = 8;
const SMALL = 2 ** 20; // scores times channels up to which a case is called 50 times
const MEDIUM = 2 ** 26;
const OTHER_SEED = 2 ** 20;

/** @param {Subject} subject */
function output({ request, inputs, first, expected }) {
  return judge(request, inputs, first.output, expected).failures.join("; ");
}

/** @param {Subject} subject */
function logsumexp(subject) {
  const { expected, sizes, prepared, first } = subject;
  const unit = expected.logsumexp.map((right, row) => {
    return prepared.relative[row] + ROUNDOFF.float32 * Math.abs(Number.isFinite(right) ? right : 0);
  });
  const judged = (/** @type {number} */ row) => expected.judged[row] === 1;
  const largest = largestError(first.logsumexp, expected.logsumexp, unit, judged, "float32");
  return describeExcess(largest, first.logsumexp, expected.logsumexp[largest.at], [sizes.B, sizes.H, sizes.T]);
}

/** @param {Subject} subject */
async function maskedKeys(subject) {
  const { inputs, request, expected, sizes } = subject;
  const { B, Hkv, S, D, Dv, H, T } = sizes;
  if (inputs.mask === null || inputs.mask.every((seen) => seen === 1)) return null;
  // Each channel of the output perturbs the keys from, or up to, a border of its own.
  const border = Array.from({ length: Dv }, (_, d) => halfEven(((d + 1) * S) / (Dv + 1)));
  const perturbed = inputs.value.map((x, at) => {
    const [d, j] = [at % Dv, Math.floor(at / Dv) % S];
    return (d % 2 === 0 ? j >= border[d] : j < border[d]) ? x + PERTURBATION : x;
  });
  const values = await subject.run({ value: roundTo(perturbed, request.dtype) });
  const found = changed(subject, values.output, "values", (row, d) => {
    return d % 2 === 0 ? expected.last[row] < border[d] : expected.first[row] >= border[d];
  });
  if (found) return found;
  const medians = Array.from({ length: B }, (_, b) => {
    const last = expected.last.slice(b * H * T, b * H * T + T).filter((j) => j >= 0);
    last.sort();
    return last.length ? (last[(last.length - 1) >> 1] + last[last.length >> 1]) / 2 : S;
  });
  const moved = inputs.key.map((x, at) => {
    const [d, j, b] = [at % D, Math.floor(at / D) % S, Math.floor(at / (D * S * Hkv))];
    return x + (j > medians[b] ? (d % 2 ? -1 : 1) * KEY_PERTURBATION[request.dtype] : 0);
  });
  const keys = await subject.run({ key: roundTo(moved, request.dtype) });
  return changed(subject, keys.output, "keys", (row) => expected.last[row] <= medians[Math.floor(row / (H * T))]);
}

/**
 * @param {Subject} subject
 * @param {Float32Array} got
 * @param {string} what
 * @param {(row: number, d: number) => boolean} unaffected
 */
function changed(subject, got, what, unaffected) {
  const { B, H, T, Dv } = subject.sizes;
  const was = subject.first.output;
  const at = got.findIndex((x, index) => {
    const row = Math.floor(index / Dv);
    return !Object.is(x + 0, was[index] + 0) && subject.sees(row) && unaffected(row, index % Dv);
  });
  if (at < 0) return "";
  const where = positionOf(at, [B, H, T, Dv]).join(", ");
  return `hidden ${what} must not change a bit of the output; perturbed, ${digits(was[at], 9)} became ${digits(got[at], 9)} at (${where})`;
}

/** @param {Subject} subject */
async function keyOrder(subject) {
  const { inputs, request, expected, prepared, sizes } = subject;
  const { B, H, T, S, D, Dv } = sizes;
  let best = { order: /** @type {number[]} */ ([]), same: /** @type {boolean[]} */ ([]), count: 0 };
  for (const order of permutations(S)) {
    const same = Array.from({ length: B * H * T }, (_, row) => {
      const start = maskRow(inputs.mask, request, row);
      return subject.sees(row) && (inputs.mask === null || order.every((j, at) => inputs.mask?.[start + j] === inputs.mask?.[start + at]));
    });
    const count = same.filter(Boolean).length;
    if (count > best.count) best = { order, same, count };
  }
  if (best.count === 0) return null;
  /** @template {Float32Array} A @param {A} array @param {number} width */
  const permuted = (array, width) => {
    const moved = array.slice();
    for (let at = 0; at < array.length; at += S * width) {
      best.order.forEach((j, to) => moved.set(array.subarray(at + j * width, at + (j + 1) * width), at + to * width));
    }
    return moved;
  };
  const { output: got } = await subject.run({
    key: permuted(inputs.key, D),
    value: permuted(inputs.value, Dv),
    bias: inputs.bias && permuted(inputs.bias, 1),
  });
  const largest = largestError(got, expected.output, prepared.unit, (at) => best.same[Math.floor(at / Dv)], request.dtype);
  return prefixed("keys in another order", describeExcess(largest, got, expected.output[largest.at], [B, H, T, Dv]));
}

/** @param {Subject} subject */
async function shift(subject) {
  const { inputs, request, sizes } = subject;
  const { B, H, T, D, Dv } = sizes;
  // Keys on a grid of 1/32 of their size, moved by whole steps: exact in both dtypes.
  const step = 2 ** (Math.ceil(Math.log2(inputs.key.reduce((most, x) => Math.max(most, Math.abs(x)), 0))) - 5);
  const draws = new SharedGenerator(0);
  const signs = Array.from({ length: D }, () => (draws.word() & 1 ? 1 : -1));
  const key = roundTo(Float64Array.from(inputs.key, (x, at) => halfEven(x / step) * step + 32 * step * signs[at % D]), request.dtype);
  const moved = { ...inputs, key };
  const expected = reference(request, moved);
  const { output: got } = await subject.run({ key });
  const largest = largestError(got, expected.output, outputUnit(request, expected), (at) => subject.sees(Math.floor(at / Dv)), request.dtype);
  return prefixed("every score of a row moved alike", describeExcess(largest, got, expected.output[largest.at], [B, H, T, Dv]));
}

/** @param {Subject} subject */
async function identityValue(subject) {
  const { inputs, request, expected, prepared, sizes } = subject;
  const { B, H, T, S, Dv } = sizes;
  const ones = await subject.run({ value: new Float32Array(inputs.value.length).fill(1) });
  const unit = ones.output.map((_, at) => prepared.relative[Math.floor(at / Dv)] + SMALLEST[request.dtype] * (1 + S));
  const summed = largestError(ones.output, () => 1, unit, (at) => subject.sees(Math.floor(at / Dv)), request.dtype);
  const wrong = describeExcess(summed, ones.output, 1, [B, H, T, Dv]);
  if (wrong) return `weights must sum to 1: ${wrong}`;
  if (expected.weights === null) return "";
  const units = weightUnit(request, expected);
  for (const first of columnStarts(subject)) {
    const count = Math.min(Dv, S - first);
    const value = inputs.value.map((_, at) => (at % Dv < count && Math.floor(at / Dv) % S === first + (at % Dv) ? 1 : 0));
    const { output: got } = await subject.run({ value });
    const cell = (/** @type {number} */ at) => Math.floor(at / Dv) * S + first + (at % Dv);
    const judged = (/** @type {number} */ at) => subject.sees(Math.floor(at / Dv)) && at % Dv < count;
    const seen = (/** @type {number} */ at) => inputs.mask === null || inputs.mask[maskRow(inputs.mask, request, Math.floor(at / Dv)) + first + (at % Dv)] === 1;
    const leak = got.findIndex((weight, at) => judged(at) && !seen(at) && weight !== 0);
    if (leak >= 0) {
      const where = positionOf(cell(leak), [B, H, T, S]).join(", ");
      return `a hidden key must weigh exactly 0; got ${digits(got[leak], 9)} at (${where})`;
    }
    const unit = got.map((_, at) => (judged(at) ? units[cell(at)] : 1));
    const weights = /** @type {Float64Array} */ (expected.weights);
    const largest = largestError(got, (at) => (judged(at) ? weights[cell(at)] : 0), unit, judged, request.dtype);
    const found = describeExcess(largest, got, judged(largest.at) ? weights[cell(largest.at)] : 0, [B, H, T, Dv]);
    if (found) return `weights of keys ${first} to ${first + count - 1}: ${found}`;
  }
  return "";
}

/** @param {Subject} subject */
async function emptyRows(subject) {
  const { first, expected, sizes } = subject;
  if (expected.last.every((last) => last >= 0)) return null;
  for (let row = 0; row < expected.last.length; row++) {
    if (subject.sees(row)) continue;
    const odd = first.output.subarray(row * sizes.Dv, (row + 1) * sizes.Dv).find((x) => x !== 0);
    if (odd !== undefined) return `output of a row that sees no key must be 0; got ${digits(odd, 9)}`;
    const sum = first.logsumexp[row];
    if (sum !== -Infinity) return `logsumexp of a row that sees no key must be -inf; got ${digits(sum, 9)}`;
  }
  return "";
}

/** @type {[string, "key" | "value", number, number][]} */
const CONTENTS = [
  ["key nan", "key", NaN, NaN],
  ["key inf", "key", Infinity, -Infinity],
  ["value nan", "value", NaN, NaN],
  ["value inf", "value", Infinity, -Infinity],
];

/** @param {Subject} subject */
async function hiddenContents(subject) {
  const { inputs, expected, sizes, implementation } = subject;
  const { B, H, Hkv, T, S, D, Dv } = sizes;
  const ends = Array.from({ length: B }, (_, b) => {
    const rows = Array.from({ length: H * T }, (_, at) => b * H * T + at).filter((row) => subject.sees(row));
    return [Math.min(S, ...rows.map((row) => expected.first[row])), Math.max(-1, ...rows.map((row) => expected.last[row]))];
  });
  if (ends.every(([first, last]) => first === 0 && last === S - 1)) return null;
  for (const [content, name, even, odd] of CONTENTS) {
    if (implementation.leaks.includes(content)) continue;
    const width = name === "key" ? D : Dv;
    const poisoned = inputs[name].map((x, at) => {
      const [first, last] = ends[Math.floor(at / (width * S * Hkv))];
      const j = Math.floor(at / width) % S;
      return j < first || j > last ? ((at % width) % 2 ? odd : even) : x;
    });
    const { output: got } = await subject.run({ [name]: poisoned });
    const found = changed(subject, got, `${name}s that hold ${content.split(" ")[1]}`, () => true);
    if (found) return found;
  }
  return "";
}

/** @param {Subject} subject */
async function changedInputs(subject) {
  const { inputs, request, implementation, masks, prepared } = subject;
  /** @type {BenchInputs} */
  const storage = { ...inputs, query: inputs.query.slice(), key: inputs.key.slice(), value: inputs.value.slice() };
  const before = implementation.prepare(request, storage);
  const kept = await subject.again(before);
  const copy = kept.output.slice();
  const other = makeInputs({ ...prepared.listed.case, seed: prepared.listed.case.seed + OTHER_SEED }, masks);
  storage.query.set(other.query);
  storage.key.set(other.key);
  storage.value.set(other.value);
  const after = implementation.prepare(request, storage);
  const second = await subject.again(after);
  const { failures } = judge(request, storage, second.output, reference(request, storage));
  const stayed = sameBits(kept.output, copy);
  before.release();
  after.release();
  if (failures.length > 0) return `prepared again: ${failures.join("; ")}`;
  return stayed ? "" : "a result must stay as it was returned; its output changed with the inputs, or by another call";
}

/** @param {Subject} subject */
async function repeatedCalls(subject) {
  const { B, H, T, S, D, Dv } = subject.sizes;
  const work = B * H * T * S * (D + Dv);
  const count = work <= SMALL ? 50 : work <= MEDIUM ? 7 : 3;
  for (let call = 2; call <= count; call++) {
    const { output: got } = await subject.again(subject.call);
    if ([2, 3, 7, 50].includes(call) && !sameBits(got, subject.first.output)) {
      return `call ${call} must return the bits of the first; got others`;
    }
  }
  return "";
}

/** @param {Subject} subject */
async function determinism(subject) {
  const { inputs, first, prepared, masks } = subject;
  const again = await subject.run({});
  if (!sameBits(again.output, first.output)) return "a second preparation must return the same output bit by bit; got another";
  if (!sameBits(again.logsumexp, first.logsumexp)) return "a second preparation must return the same logsumexp bit by bit; got another";
  const drawn = makeInputs(prepared.listed.case, masks);
  const written = /** @type {const} */ (["query", "key", "value"]).find((name) => !sameBits(inputs[name], drawn[name]));
  return written === undefined ? "" : `${written} must be left as it was; it was written to`;
}

/** @type {[string, (subject: Subject) => string | null | Promise<string | null>][]} */
export const CHECKS = [
  ["output", output],
  ["logsumexp", logsumexp],
  ["masked keys", maskedKeys],
  ["key order", keyOrder],
  ["shift", shift],
  ["identity value", identityValue],
  ["empty rows", emptyRows],
  ["hidden contents", hiddenContents],
  ["changed inputs", changedInputs],
  ["repeated calls", repeatedCalls],
  ["determinism", determinism],
];

/** @param {Subject} subject */
function columnStarts({ sizes: { B, H, T, S, Dv } }) {
  const count = Math.ceil(S / Dv);
  const few = Math.min(count, Math.max(2, Math.min(MOST_CALLS, Math.floor(IDENTITY_BUDGET / (B * H * T * S)))));
  const chosen = Array.from({ length: few }, (_, at) => (few > 1 ? Math.floor((at * (count - 1)) / (few - 1)) : 0));
  return [...new Set(chosen)].map((at) => at * Dv);
}

/** @param {number} S */
function permutations(S) {
  const identity = Array.from({ length: S }, (_, j) => j);
  const shuffled = identity.slice();
  const draws = new SharedGenerator(0);
  for (let at = S - 1; at > 0; at--) {
    const other = draws.word() % (at + 1);
    [shuffled[at], shuffled[other]] = [shuffled[other], shuffled[at]];
  }
  const half = (S + 1) >> 1;
  const reversed = identity.map((j) => (j < half ? half - 1 - j : j));
  const pairs = identity.map((j) => (S % 2 && j === S - 1 ? j : j ^ 1));
  return [shuffled, reversed, pairs].filter((order) => order.some((j, at) => j !== at));
}

/** @param {Float32Array} one @param {Float32Array} other */
function sameBits(one, other) {
  return one.length === other.length && one.every((x, at) => Object.is(x + 0, other[at] + 0));
}

/** @param {number} x */
function halfEven(x) {
  const floor = Math.floor(x);
  return x - floor > 0.5 || (x - floor === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** @param {string} words @param {string} found */
const prefixed = (words, found) => found && `${words}: ${found}`;

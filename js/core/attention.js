import { expectLength, expectPositive, rowStep } from "./checks.js";
import { kernelFor } from "./kernels.js";
import { typeOf } from "./matrices.js";

// Attention in the browser: attnpanel's attend, in JavaScript. So are the files beside this one: the numbers of make_mask
// (masks.js), AttentionCall.visible (visibility.js), the explorer's selection (matrices.js, overview.js) and of its analysis
// (head_numbers.js). Pure: no DOM, and no state but the kernel that computes; they run in the page, in a Worker and in Node.js.
//
// Matrices are row-major typed arrays of one head. T = queries, S = keys, D and Dv = channels per head of
// query/key and of value; i is a query index, j a key index, both from 0. Scores and temperature are
// dimensionless, logsumexp and entropy are in nats. Float32Array and Float64Array both work: the input's
// type is the result's. Sums run in float64, or where WebAssembly computes (kernels.js) in float32. `visible` and `bias` hold one row per query (T*S) or
// one row that all queries share (S); 1 in `visible` means *may attend*. Wrong lengths and options throw a
// RangeError that names the rule and the value; numbers are not checked, so a nan gives a nan row.

/**
 * `scale * query @ key.T + bias`, before mask and temperature.
 *
 * @param {Floats} query T*D
 * @param {Floats} key S*D
 * @param {{T: number, S: number, D: number, scale?: number, softCap?: ?number, bias?: ?Floats}} options
 *   scale is dimensionless, 1 / sqrt(D) if left out; softCap: positive, replaces
 *   `x = scale * query @ key.T` by `softCap * tanh(x / softCap)`; bias of length T*S or S, -inf hides a key
 * @param {FloatsType} [Out] type of the result, the query's if left out
 * @param {?Floats} [into] overwritten by the result instead of a new array; T*S, of type Out
 * @returns {Floats} T*S
 */
export function scores(
  query,
  key,
  { T, S, D, scale = D ** -0.5, softCap = null, bias = null },
  Out = typeOf(query),
  into = null,
) {
  expectLength("query", query, T * D, "T*D");
  expectLength("key", key, S * D, "S*D");
  if (into !== null) expectLength("into", into, T * S, "T*S");
  const result = into ?? new Out(T * S);
  const keys = { matrix: key, count: S, depth: D, countStep: D, depthStep: 1 };
  kernelFor(result, query, key).product(result, query, scale, keys, T);
  if (softCap !== null) capInto(result, softCap);
  if (bias !== null) addRows(result, bias, rowStep("bias", bias, T, S), S);
  return result;
}

/**
 * Softmax over the visible keys of `scores / temperature`; exactly 0 where hidden.
 *
 * @param {Floats} scores T*S, finite or -inf
 * @param {{T: number, S: number, visible?: ?Uint8Array, temperature?: number, emptyRows?: EmptyRows,
 *   sink?: ?number}} options visible of length T*S or S; temperature is positive; emptyRows: the weights of a
 *   query with nothing to weigh, "zero", "uniform" (1/S on all S keys) or "nan"; sink: the score of a key without
 *   a value that every query sees; it takes a part of each row, and the whole of an empty one
 * @param {?Floats} [into] overwritten by the weights instead of a new array; T*S, of the scores' type
 * @returns {{weights: Floats, logsumexp: Floats, empty: Uint8Array}} weights T*S; logsumexp T, -inf on an
 *   empty row without a sink; empty T, 1 = every score of the row is hidden or -inf
 */
export function softmaxRows(
  scores,
  { T, S, visible = null, temperature = 1, emptyRows = "zero", sink = null },
  into = null,
) {
  expectLength("scores", scores, T * S, "T*S");
  if (into !== null) expectLength("into", into, T * S, "T*S");
  expectPositive("temperature", temperature);
  const fill = sink === null ? emptyWeight(emptyRows, S) : 0;
  const Out = typeOf(scores);
  const result = { weights: into ?? new Out(T * S), logsumexp: new Out(T), empty: new Uint8Array(T) };
  const step = visible === null ? 0 : rowStep("visible", visible, T, S);
  kernelFor(scores).softmax(scores, result, { T, S, visible, step, temperature, fill, sink: sink ?? -Infinity });
  return result;
}

/**
 * The output: `weights @ value`.
 *
 * @param {Floats} weights T*S
 * @param {Floats} value S*Dv
 * @param {{T: number, S: number, Dv: number}} sizes T may be 1 for a single row
 * @returns {Floats} T*Dv, of the weights' type
 */
export function mix(weights, value, { T, S, Dv }) {
  expectLength("weights", weights, T * S, "T*S");
  expectLength("value", value, S * Dv, "S*Dv");
  const output = new (typeOf(weights))(T * Dv);
  const channels = { matrix: value, count: Dv, depth: S, countStep: 1, depthStep: Dv };
  kernelFor(weights, value).product(output, weights, 1, channels, T);
  return output;
}

/**
 * All intermediate results of one head, as attnpanel.attend.
 *
 * @param {Floats} query T*D
 * @param {Floats} key S*D
 * @param {?Floats} value S*Dv, or null for no output
 * @param {{T: number, S: number, D: number, Dv?: number, scale?: number, softCap?: ?number, bias?: ?Floats,
 *   visible?: ?Uint8Array, temperature?: number, emptyRows?: EmptyRows, sink?: ?number}} options as of
 *   scores, softmaxRows and mix
 * @returns {{scores: Floats, weights: Floats, logsumexp: Floats, empty: Uint8Array, output: ?Floats}}
 */
export function attend(query, key, value, options) {
  const scored = scores(query, key, options);
  const softened = softmaxRows(scored, options);
  const output = value === null ? null : mix(softened.weights, value, { Dv: 0, ...options });
  return { scores: scored, ...softened, output };
}

/** @param {Floats} matrix @param {Floats} rows @param {number} step @param {number} S */
function addRows(matrix, rows, step, S) {
  for (let start = 0, from = 0; start < matrix.length; start += S, from += step) {
    for (let j = 0; j < S; j++) matrix[start + j] += rows[from + j];
  }
}

/** @param {Floats} scores @param {number} cap */
function capInto(scores, cap) {
  expectPositive("softCap", cap);
  for (let at = 0; at < scores.length; at++) scores[at] = cap * Math.tanh(scores[at] / cap);
}

/** @param {string} emptyRows @param {number} S */
export function emptyWeight(emptyRows, S) {
  const weight = { zero: 0, uniform: 1 / S, nan: NaN }[emptyRows];
  if (weight !== undefined) return weight;
  throw new RangeError(`emptyRows must be zero, uniform or nan; got ${emptyRows}`);
}

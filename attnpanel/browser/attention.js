// Attention in the browser: the numbers of attnpanel's attend, make_mask, select and pool, in JavaScript.
//
// Pure: no DOM, no imports, no state. A report embeds this file once and runs it in the page or in a Worker.
//
// Matrices are row-major typed arrays of one head. T = queries, S = keys, D and Dv = channels per head of
// query/key and of value; i is a query index, j a key index, both from 0. Scores and temperature are
// dimensionless, logsumexp and entropy are in nats. Float32Array and Float64Array both work: the input's
// type is the result's, and every sum runs in float64. `visible` and `bias` hold one row per query (T*S) or
// one row that all queries share (S); 1 in `visible` means *may attend*. Wrong lengths and options throw a
// RangeError that names the rule and the value; numbers are not checked, so a nan gives a nan row.

/** @typedef {Float32Array | Float64Array} Floats */
/** @typedef {"zero" | "uniform" | "nan"} EmptyRows */
/** @typedef {"top_left" | "bottom_right"} Align */
/** @typedef {Float32ArrayConstructor | Float64ArrayConstructor} FloatsType */

// The overview reads at most this many queries a head and draws at most this many cells a side.
export const OVERVIEW_ROWS = 96;
const OVERVIEW_TILE = 24;

// Stored numbers.

/**
 * The numbers that IEEE 754 half precision stores: exact, subnormals, infinities and nan included.
 *
 * @param {Uint16Array} halves bit patterns
 * @returns {Float32Array} of the same length
 */
export function halfToFloat(halves) {
  const floats = new Float32Array(halves.length);
  const bits = new Uint32Array(floats.buffer);
  for (let index = 0; index < halves.length; index++) {
    const half = halves[index];
    const sign = (half & 0x8000) << 16;
    const magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) {
      bits[index] = sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
    } else if (magnitude >= 0x0400) {
      // The exponent's bias grows from 15 to 127.
      bits[index] = sign | ((magnitude << 13) + (112 << 23));
    } else {
      floats[index] = magnitude * 2 ** -24;
      bits[index] |= sign;
    }
  }
  return floats;
}

// Who may attend to whom.

/**
 * A mask of one kind, as attnpanel.make_mask.
 *
 * With p the key position that query i stands at (i, or i + S - T for "bottom_right"), the visible pairs are
 * "none": all; "padding": i < padLen and j < padLen; "key_padding": j < padLen; "causal": j <= p;
 * "window": |p - j| < window.
 *
 * @param {"none" | "padding" | "causal" | "key_padding" | "window"} kind
 * @param {number} T
 * @param {number} S
 * @param {{padLen?: number, window?: number, align?: Align}} [options] padLen in tokens, how many leading
 *   positions are real: 0 to S, or to max(T, S) for "padding"; window in tokens, at least 1
 * @returns {Uint8Array} T*S, 1 = may attend
 */
export function makeMask(kind, T, S, { padLen, window, align = "top_left" } = {}) {
  expectInteger("T", T, 1);
  expectInteger("S", S, 1);
  const past = diagonal(align, T, S, 0);
  if (kind === "none") return new Uint8Array(T * S).fill(1);
  if (kind === "causal") return band(T, S, (i) => [0, i + past + 1]);
  if (kind === "window") {
    expectInteger("window", window, 1);
    return band(T, S, (i) => [i + past - window + 1, i + past + window]);
  }
  if (kind === "key_padding") {
    expectInteger("padLen", padLen, 0, S);
    return band(T, S, () => [0, padLen]);
  }
  if (kind === "padding") {
    expectInteger("padLen", padLen, 0, Math.max(T, S));
    return band(T, S, (i) => [0, i < padLen ? padLen : 0]);
  }
  throw new RangeError(`kind must be none, padding, causal, key_padding or window; got ${kind}`);
}

/**
 * The causal rule of an AttentionCall: query i sees the keys j <= i + qOffset ("top_left"), or j <= i + S - T
 * ("bottom_right", where qOffset plays no part).
 *
 * @param {number} T
 * @param {number} S
 * @param {{align?: Align, qOffset?: number}} [options] qOffset in tokens
 * @returns {Uint8Array} T*S, 1 = may attend
 */
export function causalMask(T, S, { align = "top_left", qOffset = 0 } = {}) {
  const past = diagonal(align, T, S, qOffset);
  return band(T, S, (i) => [0, i + past + 1]);
}

/**
 * Which keys each query of one head may see: mask, causal rule and a bias of -inf together, as
 * AttentionCall.visible.
 *
 * @param {{T: number, S: number, causal?: "none" | Align, qOffset?: number, mask?: ?Uint8Array,
 *   bias?: ?Floats}} call qOffset in tokens; mask and bias of length T*S or S
 * @returns {Uint8Array} T*S, 1 = may attend
 */
export function visiblePairs({ T, S, causal = "none", qOffset = 0, mask = null, bias = null }) {
  const visible =
    causal === "none" ? new Uint8Array(T * S).fill(1) : causalMask(T, S, { align: causal, qOffset });
  const maskStep = rowStep("mask", mask, T, S);
  const biasStep = rowStep("bias", bias, T, S);
  for (let i = 0; i < T; i++) {
    for (let j = 0; j < S; j++) {
      if (mask !== null && mask[i * maskStep + j] === 0) visible[i * S + j] = 0;
      if (bias !== null && bias[i * biasStep + j] === -Infinity) visible[i * S + j] = 0;
    }
  }
  return visible;
}

/**
 * Which queries see no key, as Selection.empty.
 *
 * @param {Uint8Array} visible T*S
 * @param {{T: number, S: number}} sizes
 * @returns {Uint8Array} T, 1 = sees no key
 */
export function blindQueries(visible, { T, S }) {
  expectLength("visible", visible, T * S, "T*S");
  const blind = new Uint8Array(T);
  for (let i = 0; i < T; i++) {
    let j = i * S;
    while (j < (i + 1) * S && visible[j] === 0) j++;
    blind[i] = j === (i + 1) * S ? 1 : 0;
  }
  return blind;
}

/** Row i is 1 from `edges(i)[0]` up to, not including, `edges(i)[1]`; edges may lie outside 0..S. */
function band(T, S, edges) {
  const mask = new Uint8Array(T * S);
  for (let i = 0; i < T; i++) {
    const [first, stop] = edges(i).map((edge) => Math.min(Math.max(edge, 0), S));
    mask.fill(1, i * S + first, i * S + stop);
  }
  return mask;
}

function diagonal(align, T, S, topLeft) {
  if (align === "top_left") return topLeft;
  if (align === "bottom_right") return S - T;
  throw new RangeError(`align must be top_left or bottom_right; got ${align}`);
}

// Score, softmax, mix.

/**
 * `scale * query @ key.T + bias`, before mask and temperature.
 *
 * @param {Floats} query T*D
 * @param {Floats} key S*D
 * @param {{T: number, S: number, D: number, scale?: number, softCap?: ?number, bias?: ?Floats}} options
 *   scale is dimensionless, 1 / sqrt(D) if left out; softCap: positive, `softCap * tanh(x / softCap)` stands
 *   in place of `x = scale * query @ key.T`; bias of length T*S or S, -inf hides a key
 * @param {FloatsType} [Out] type of the result, the query's if left out
 * @returns {Floats} T*S
 */
export function scores(
  query,
  key,
  { T, S, D, scale = D ** -0.5, softCap = null, bias = null },
  Out = query.constructor,
) {
  expectLength("query", query, T * D, "T*D");
  expectLength("key", key, S * D, "S*D");
  const result = new Out(T * S);
  product(result, query, scale, panels(key, S, D, D, 1), { rows: T, columns: S, depth: D });
  if (softCap !== null) capInto(result, softCap);
  if (bias !== null) addRows(result, bias, rowStep("bias", bias, T, S), S);
  return result;
}

/**
 * One row of `scores`, with the very same numbers.
 *
 * @param {Floats} query T*D
 * @param {Floats} key S*D
 * @param {number} row query index
 * @param {{S: number, D: number, scale?: number, softCap?: ?number, bias?: ?Floats}} options bias of length
 *   T*S or S
 * @param {FloatsType} [Out] type of the result, the query's if left out
 * @returns {Floats} S
 */
export function scoresRow(
  query,
  key,
  row,
  { S, D, scale = D ** -0.5, softCap = null, bias = null },
  Out = query.constructor,
) {
  const T = query.length / D;
  expectInteger("query.length / D", T, 1);
  expectInteger("row", row, 0, T - 1);
  expectLength("key", key, S * D, "S*D");
  const scaled = Float64Array.from(query.subarray(row * D, (row + 1) * D), (x) => x * scale);
  const result = new Out(S);
  for (let j = 0; j < S; j++) {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += scaled[d] * key[j * D + d];
    result[j] = sum;
  }
  if (softCap !== null) capInto(result, softCap);
  if (bias !== null) {
    const start = row * rowStep("bias", bias, T, S);
    addRows(result, bias.subarray(start, start + S), 0, S);
  }
  return result;
}

/**
 * Softmax over the visible keys of `scores / temperature`; exactly 0 where hidden.
 *
 * @param {Floats} scores T*S, finite or -inf
 * @param {{T: number, S: number, visible?: ?Uint8Array, temperature?: number, emptyRows?: EmptyRows,
 *   sink?: ?number}} options visible of length T*S or S; temperature is positive; emptyRows: the weights of a
 *   query with nothing to weigh, "zero", "uniform" (1/S on all S keys) or "nan"; sink: the score of a key that
 *   every query sees and that has no value, which takes its part of each row, and the whole of an empty one
 * @returns {{weights: Floats, logsumexp: Floats, empty: Uint8Array}} weights T*S; logsumexp T, -inf on an
 *   empty row without a sink; empty T, 1 = every score of the row is hidden or -inf
 */
export function softmaxRows(
  scores,
  { T, S, visible = null, temperature = 1, emptyRows = "zero", sink = null },
) {
  expectLength("scores", scores, T * S, "T*S");
  expectPositive("temperature", temperature);
  const fill = sink === null ? emptyWeight(emptyRows, S) : 0;
  const weights = scores.slice();
  if (visible !== null) hide(weights, visible, rowStep("visible", visible, T, S), S);
  const logsumexp = new scores.constructor(T);
  const empty = new Uint8Array(T);
  for (let i = 0; i < T; i++) {
    // Most masks hide a row's ends: under a causal one, leaving them out halves the work.
    let first = i * S;
    let stop = first + S;
    while (first < stop && weights[first] === -Infinity) first++;
    while (first < stop && weights[stop - 1] === -Infinity) stop--;
    empty[i] = first === stop ? 1 : 0;
    weights.fill(empty[i] ? fill : 0, i * S, first);
    weights.fill(0, stop, (i + 1) * S);
    logsumexp[i] = normalise(weights, first, stop, temperature, sink ?? -Infinity);
  }
  return { weights, logsumexp, empty };
}

/**
 * `softmaxRows` of one row, with the very same numbers.
 *
 * @param {Floats} scores S, finite or -inf
 * @param {{visible?: ?Uint8Array, temperature?: number, emptyRows?: EmptyRows, sink?: ?number}} [options]
 *   visible of length S
 * @returns {{weights: Floats, logsumexp: number, empty: boolean}} weights S
 */
export function softmaxRow(scores, options = {}) {
  const { weights, logsumexp, empty } = softmaxRows(scores, { ...options, T: 1, S: scores.length });
  return { weights, logsumexp: logsumexp[0], empty: empty[0] === 1 };
}

/**
 * What each query becomes: `weights @ value`.
 *
 * @param {Floats} weights T*S
 * @param {Floats} value S*Dv
 * @param {{T: number, S: number, Dv: number}} sizes T may be 1 for a single row
 * @returns {Floats} T*Dv, of the weights' type
 */
export function mix(weights, value, { T, S, Dv }) {
  expectLength("weights", weights, T * S, "T*S");
  expectLength("value", value, S * Dv, "S*Dv");
  const output = new weights.constructor(T * Dv);
  product(output, weights, 1, panels(value, Dv, S, 1, Dv), { rows: T, columns: Dv, depth: S });
  return output;
}

/**
 * Every step of one head, as attnpanel.attend.
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
  const output = value === null ? null : mix(softened.weights, value, options);
  return { scores: scored, ...softened, output };
}

/**
 * `factor * left @ right.T` with `right` in panels, two rows by four columns at a time: the eight sums stay
 * in registers, and each number read serves two or four of them. Both sides are read in order and as float64,
 * which spares a conversion a number: twice as fast at T = 2048, D = 64 as the same loops over the matrices.
 */
function product(out, left, factor, right, { rows, columns, depth }) {
  const pair = new Float64Array(2 * depth);
  for (let i = 0; i < rows; i += 2) {
    const second = i + 1 < rows;
    for (let d = 0, at = i * depth; d < depth; d++, at++) {
      pair[2 * d] = left[at] * factor;
      pair[2 * d + 1] = second ? left[at + depth] * factor : 0;
    }
    for (let j = 0; j < columns; j += 4) {
      let a0 = 0;
      let a1 = 0;
      let a2 = 0;
      let a3 = 0;
      let b0 = 0;
      let b1 = 0;
      let b2 = 0;
      let b3 = 0;
      for (let p = 0, q = j * depth; p < 2 * depth; p += 2, q += 4) {
        const a = pair[p];
        const b = pair[p + 1];
        const k0 = right[q];
        const k1 = right[q + 1];
        const k2 = right[q + 2];
        const k3 = right[q + 3];
        a0 += a * k0;
        a1 += a * k1;
        a2 += a * k2;
        a3 += a * k3;
        b0 += b * k0;
        b1 += b * k1;
        b2 += b * k2;
        b3 += b * k3;
      }
      store(out, i * columns + j, columns - j, a0, a1, a2, a3);
      if (second) store(out, (i + 1) * columns + j, columns - j, b0, b1, b2, b3);
    }
  }
}

function store(out, at, room, x0, x1, x2, x3) {
  out[at] = x0;
  if (room > 1) out[at + 1] = x1;
  if (room > 2) out[at + 2] = x2;
  if (room > 3) out[at + 3] = x3;
}

/** The vectors of a matrix in groups of four that lie side by side; the last group is filled up with 0. */
function panels(matrix, count, depth, countStep, depthStep) {
  const packed = new Float64Array(Math.ceil(count / 4) * 4 * depth);
  for (let index = 0; index < count; index++) {
    let to = (index - (index % 4)) * depth + (index % 4);
    let from = index * countStep;
    for (let d = 0; d < depth; d++, to += 4, from += depthStep) packed[to] = matrix[from];
  }
  return packed;
}

/** Scores to weights in place, from `start` to `stop`; returns their logsumexp, -Infinity for none. */
function normalise(row, start, stop, temperature, sink) {
  let peak = sink;
  for (let j = start; j < stop; j++) peak = Math.max(peak, row[j]);
  let total = sink === -Infinity ? 0 : expOfNegative((sink - peak) / temperature);
  for (let j = start; j < stop; j++) {
    const weight = expOfNegative((row[j] - peak) / temperature);
    row[j] = weight;
    total += weight;
  }
  for (let j = start; j < stop; j++) row[j] /= total;
  return Math.log(total) + peak / temperature;
}

// exp(x) = 2^k * 2^(m/256) * exp(r) with k and m integers and |r| <= ln 2 / 512: two tables and four terms
// of the series are within 4e-16 of exp, and halve the time of a softmax, which Math.exp takes most of.
const EXP_STEPS = 256;
// ln 2 in two parts, as in Sun's fdlibm: the first ends in 0 bits, so that its multiples are exact.
const LN2_HIGH = 6.93147180369123816490e-1 / EXP_STEPS;
const LN2_LOW = 1.90821492927058770002e-10 / EXP_STEPS;
const LOWEST_POWER = -1076; // that of exp(-745.2), below the smallest subnormal
const ROOTS = Float64Array.from({ length: EXP_STEPS }, (_, m) => 2 ** (m / EXP_STEPS));
const POWERS = Float64Array.from({ length: 1 - LOWEST_POWER }, (_, index) => 2 ** (index + LOWEST_POWER));

/** exp(x) for x <= 0; nan for nan. */
function expOfNegative(x) {
  if (x < -745.2) return 0;
  const steps = (x * (EXP_STEPS / Math.LN2) - 0.5) | 0;
  const r = x - steps * LN2_HIGH - steps * LN2_LOW;
  const whole = ROOTS[steps & (EXP_STEPS - 1)] * POWERS[(steps >> 8) - LOWEST_POWER];
  return whole + whole * (r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24)))));
}

function hide(scores, visible, step, S) {
  for (let start = 0, seen = 0; start < scores.length; start += S, seen += step) {
    for (let j = 0; j < S; j++) if (visible[seen + j] === 0) scores[start + j] = -Infinity;
  }
}

function addRows(matrix, rows, step, S) {
  for (let start = 0, from = 0; start < matrix.length; start += S, from += step) {
    for (let j = 0; j < S; j++) matrix[start + j] += rows[from + j];
  }
}

function capInto(scores, cap) {
  expectPositive("softCap", cap);
  for (let at = 0; at < scores.length; at++) scores[at] = cap * Math.tanh(scores[at] / cap);
}

function emptyWeight(emptyRows, S) {
  const weight = { zero: 0, uniform: 1 / S, nan: NaN }[emptyRows];
  if (weight !== undefined) return weight;
  throw new RangeError(`emptyRows must be zero, uniform or nan; got ${emptyRows}`);
}

// The mean over heads.

/**
 * Adds `part` to `total` in place; for masks, 1 where either is 1.
 *
 * @template {Floats | Uint8Array} A
 * @param {A} total
 * @param {A} part of the same length
 * @returns {A} total
 */
export function addInto(total, part) {
  expectLength("part", part, total.length, "length of total");
  if (total instanceof Uint8Array) for (let at = 0; at < total.length; at++) total[at] |= part[at];
  else for (let at = 0; at < total.length; at++) total[at] += part[at];
  return total;
}

/**
 * Divides in place: the last step of a mean whose parts came one by one through `addInto`.
 *
 * @param {Floats} total
 * @param {number} count
 * @returns {Floats} total
 */
export function divideBy(total, count) {
  for (let at = 0; at < total.length; at++) total[at] /= count;
  return total;
}

/**
 * The mean of equally long arrays, one a head, as select makes it.
 *
 * @param {Floats[]} parts at least one
 * @returns {Floats} a new array
 */
export function meanOf(parts) {
  if (parts.length === 0) throw new RangeError("parts must hold at least one array; got none");
  return divideBy(parts.slice(1).reduce(addInto, parts[0].slice()), parts.length);
}

// Pictures.

/**
 * Shrinks a matrix, or a part of it, to at most mostRows by mostColumns: the largest value of each block.
 *
 * Blocks are equally wide but for the last of each axis; nan counts as the smallest value, so that a result
 * is nan only where its whole block is.
 *
 * @param {Floats} matrix rows*columns
 * @param {number} rows
 * @param {number} columns
 * @param {number} mostRows
 * @param {number} mostColumns
 * @param {{top?: number, left?: number, height?: number, width?: number, visible?: ?Uint8Array,
 *   wholeRows?: ?Uint8Array}} [part] the part to shrink, in cells, all if left out; visible (rows*columns
 *   or columns): cells with 0 count as nan, except in the rows where wholeRows (rows) holds 1
 * @returns {{values: Floats, rows: number, columns: number}} a new matrix and its sizes
 */
export function pool(matrix, rows, columns, mostRows, mostColumns, part = {}) {
  const { top = 0, left = 0, visible = null, wholeRows = null } = part;
  const { height = rows - top, width = columns - left } = part;
  expectLength("matrix", matrix, rows * columns, "rows*columns");
  expectInteger("mostRows", mostRows, 1);
  expectInteger("mostColumns", mostColumns, 1);
  expectInteger("top", top, 0, rows - 1);
  expectInteger("left", left, 0, columns - 1);
  expectInteger("height", height, 1, rows - top);
  expectInteger("width", width, 1, columns - left);
  if (wholeRows !== null) expectLength("wholeRows", wholeRows, rows, "rows");
  const step = rowStep("visible", visible, rows, columns);
  const tall = Math.ceil(height / mostRows);
  const wide = Math.ceil(width / mostColumns);
  const pooled = { rows: Math.ceil(height / tall), columns: Math.ceil(width / wide) };
  const values = new matrix.constructor(pooled.rows * pooled.columns).fill(NaN);
  for (let i = top; i < top + height; i++) {
    const masked = visible !== null && (wholeRows === null || wholeRows[i] === 0);
    let to = Math.floor((i - top) / tall) * pooled.columns;
    if (tall * wide === 1) {
      values.set(matrix.subarray(i * columns + left, i * columns + left + width), to);
      for (let j = left; masked && j < left + width; j++, to++) if (visible[i * step + j] === 0) values[to] = NaN;
      continue;
    }
    for (let first = left; first < left + width; first += wide, to++) {
      const stop = Math.min(first + wide, left + width);
      let best = values[to];
      for (let j = first; j < stop; j++) {
        if (masked && visible[i * step + j] === 0) continue;
        const value = matrix[i * columns + j];
        if (value > best || best !== best) best = value; // best is nan until a number comes
      }
      values[to] = best;
    }
  }
  return { values, ...pooled };
}

/**
 * The queries an overview tile reads: at most 96, evenly spread from the first to the last.
 *
 * @param {number} T
 * @returns {Int32Array} query indices, ascending
 */
export function overviewRows(T) {
  const count = Math.min(T, OVERVIEW_ROWS);
  const step = count > 1 ? (T - 1) / (count - 1) : 0;
  return Int32Array.from({ length: count }, (_, index) => Math.round(index * step));
}

/**
 * One head's weights as a small picture, at most 24 by 24, as attnpanel.selection.overview_tile: of a long
 * sequence at most 96 queries are computed, every key is read, and nan shows as 0.
 *
 * @param {Floats} query T*D
 * @param {Floats} key S*D
 * @param {{T: number, S: number, D: number, scale?: number, softCap?: ?number, bias?: ?Floats,
 *   visible?: ?Uint8Array, temperature?: number, emptyRows?: EmptyRows, sink?: ?number}} options as of scores
 *   and softmaxRows
 * @returns {{values: Floats, rows: number, columns: number}}
 */
export function overviewTile(
  query,
  key,
  { T, S, D, scale, softCap, bias = null, visible = null, ...softmax },
) {
  expectLength("query", query, T * D, "T*D");
  const rows = overviewRows(T);
  const some = { T: rows.length, S, D };
  const ofRows = (array, step) => (array === null || step === 0 ? array : takeRows(array, rows, step));
  const someBias = ofRows(bias, rowStep("bias", bias, T, S));
  const someVisible = ofRows(visible, rowStep("visible", visible, T, S));
  const scored = scores(takeRows(query, rows, D), key, { ...some, scale, softCap, bias: someBias });
  const { weights } = softmaxRows(scored, { ...some, ...softmax, visible: someVisible });
  return tile(weights, rows.length, S);
}

/**
 * `overviewTile` where only weights were recorded.
 *
 * @param {Floats} weights T*S
 * @param {{T: number, S: number}} sizes
 * @returns {{values: Floats, rows: number, columns: number}}
 */
export function overviewTileOfWeights(weights, { T, S }) {
  expectLength("weights", weights, T * S, "T*S");
  const rows = overviewRows(T);
  return tile(takeRows(weights, rows, S), rows.length, S);
}

/**
 * The paint that one query's weights mix: `weights @ colours`; nan where a weight or a colour is.
 *
 * @param {Floats} weights S
 * @param {Floats} colours S*3, red, green and blue from 0 to 1
 * @returns {Float64Array} 3
 */
export function mixColour(weights, colours) {
  expectLength("colours", colours, weights.length * 3, "S*3");
  const mixed = new Float64Array(3);
  for (let j = 0; j < weights.length; j++) {
    for (let channel = 0; channel < 3; channel++) mixed[channel] += weights[j] * colours[3 * j + channel];
  }
  return mixed;
}

/**
 * The largest magnitude among the finite visible cells, where a colour scale ends; 0 where there is none.
 *
 * @param {Floats} matrix
 * @param {?Uint8Array} [visible] of the matrix's length
 * @returns {number}
 */
export function largestMagnitude(matrix, visible = null) {
  if (visible !== null) expectLength("visible", visible, matrix.length, "length of matrix");
  let largest = 0;
  for (let at = 0; at < matrix.length; at++) {
    const magnitude = Math.abs(matrix[at]);
    const seen = visible === null || visible[at] !== 0;
    if (seen && magnitude > largest && magnitude < Infinity) largest = magnitude;
  }
  return largest;
}

// A colour scale ends no lower: what is left where a sink takes all is no pattern.
export const LEAST_PEAK = 1e-6;

/**
 * Each row divided by its largest weight; rows whose largest is below a millionth stay as they are.
 *
 * @param {Floats} weights T*S
 * @param {{T: number, S: number, first?: number}} sizes first: the keys before this one are not looked at for
 *   the largest, so that their own part of it may be above 1
 * @returns {Floats} T*S, a new array
 */
export function relativeToRowPeak(weights, { T, S, first = 0 }) {
  expectLength("weights", weights, T * S, "T*S");
  expectInteger("first", first, 0, S);
  const relative = weights.slice();
  for (let i = 0; i < T; i++) {
    let peak = 0;
    for (let j = i * S + first; j < (i + 1) * S; j++) if (weights[j] > peak) peak = weights[j];
    if (peak >= LEAST_PEAK) for (let j = i * S; j < (i + 1) * S; j++) relative[j] /= peak;
  }
  return relative;
}

function takeRows(matrix, rows, width) {
  const taken = new matrix.constructor(rows.length * width);
  rows.forEach((row, at) => taken.set(matrix.subarray(row * width, (row + 1) * width), at * width));
  return taken;
}

function tile(weights, rows, columns) {
  const known = weights.map((weight) => (weight !== weight ? 0 : weight));
  return pool(known, rows, columns, OVERVIEW_TILE, OVERVIEW_TILE);
}

// Numbers about a head.

/**
 * Mean over queries of the entropy `-sum w log w` of a row, in nats; rows of zeros are left out.
 *
 * @param {Floats} weights T*S
 * @param {number} T
 * @param {number} S
 * @returns {number} 0 where no row has a weight
 */
export function entropy(weights, T, S) {
  return meanOfRows(weights, T, S, (weight) => (weight > 0 ? -weight * Math.log(weight) : weight * 0));
}

/**
 * Mean over queries of `sum_j w_ij |i + offset - j|`: how far a head looks, in tokens; rows of zeros are left
 * out.
 *
 * @param {Floats} weights T*S
 * @param {number} T
 * @param {number} S
 * @param {number} [offset] position of the first query among the keys
 * @returns {number} 0 where no row has a weight
 */
export function meanDistance(weights, T, S, offset = 0) {
  return meanOfRows(weights, T, S, (weight, i, j) => weight * Math.abs(i + offset - j));
}

function meanOfRows(weights, T, S, term) {
  expectLength("weights", weights, T * S, "T*S");
  let total = 0;
  let rows = 0;
  for (let i = 0; i < T; i++) {
    let sum = 0;
    let any = false;
    for (let j = 0; j < S; j++) {
      const weight = weights[i * S + j];
      if (weight === 0) continue;
      any = true;
      sum += term(weight, i, j);
    }
    if (any) {
      total += sum;
      rows += 1;
    }
  }
  return rows === 0 ? 0 : total / rows;
}

// What arguments must be.

/** How far apart the rows of a mask or bias lie: S, or 0 where all queries share one row. */
function rowStep(name, array, T, S) {
  if (array === null || array.length === T * S) return S;
  if (array.length === S) return 0;
  const rule = `${T * S} entries, or ${S} that all rows share`;
  throw new RangeError(`${name} must have ${rule}; got ${array.length}`);
}

function expectLength(name, array, length, rule) {
  if (array.length !== length) {
    throw new RangeError(`${name} must have ${rule} = ${length} entries; got ${array.length}`);
  }
}

function expectInteger(name, value, low, high = Infinity) {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  const rule = high === Infinity ? `at least ${low}` : `from ${low} to ${high}`;
  throw new RangeError(`${name} must be an integer ${rule}; got ${value}`);
}

function expectPositive(name, value) {
  if (value > 0 && value < Infinity) return;
  throw new RangeError(`${name} must be positive and finite; got ${value}`);
}

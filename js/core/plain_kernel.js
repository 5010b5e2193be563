// The attention kernel in plain JavaScript: what runs everywhere, and what float64 is computed by. Sums run in float64.

/**
 * `factor * left @ right.T` with `right` in panels, two rows by four columns at a time: the eight sums stay
 * in registers, and each number read serves two or four of them. Both sides are read in order and as float64,
 * which spares a conversion a number: twice as fast at T = 2048, D = 64 as the same loops over the matrices.
 *
 * @param {Floats} out
 * @param {Floats} left
 * @param {number} factor
 * @param {Vectors} vectors
 * @param {number} rows
 */
function product(out, left, factor, vectors, rows) {
  const { count: columns, depth } = vectors;
  const right = panels(vectors);
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

/**
 * @param {Floats} out
 * @param {number} at
 * @param {number} room
 * @param {number} x0
 * @param {number} x1
 * @param {number} x2
 * @param {number} x3
 */
function store(out, at, room, x0, x1, x2, x3) {
  out[at] = x0;
  if (room > 1) out[at + 1] = x1;
  if (room > 2) out[at + 2] = x2;
  if (room > 3) out[at + 3] = x3;
}

/**
 * Vectors in groups of four that lie side by side; the last group is filled up with 0.
 *
 * @param {Vectors} vectors
 */
function panels({ matrix, count, depth, countStep, depthStep }) {
  const packed = new Float64Array(Math.ceil(count / 4) * 4 * depth);
  for (let index = 0; index < count; index++) {
    let to = (index - (index % 4)) * depth + (index % 4);
    let from = index * countStep;
    for (let d = 0; d < depth; d++, to += 4, from += depthStep) packed[to] = matrix[from];
  }
  return packed;
}

/**
 * @param {Floats} scores
 * @param {SoftmaxResult} result
 * @param {SoftmaxRule} rule
 */
function softmax(scores, { weights, logsumexp, empty }, { T, S, visible, step, temperature, fill, sink }) {
  weights.set(scores);
  if (visible !== null) hide(weights, visible, step, S);
  for (let i = 0; i < T; i++) {
    // Most masks hide a row's ends: under a causal one, leaving them out halves the work.
    let first = i * S;
    let stop = first + S;
    while (first < stop && weights[first] === -Infinity) first++;
    while (first < stop && weights[stop - 1] === -Infinity) stop--;
    empty[i] = first === stop ? 1 : 0;
    weights.fill(empty[i] ? fill : 0, i * S, first);
    weights.fill(0, stop, (i + 1) * S);
    logsumexp[i] = normalise(weights, first, stop, temperature, sink);
  }
}

/**
 * Scores to weights in place, from `start` to `stop`; returns their logsumexp, -Infinity for none.
 *
 * @param {Floats} row
 * @param {number} start
 * @param {number} stop
 * @param {number} temperature
 * @param {number} sink
 */
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

/**
 * exp(x) for x <= 0; nan for nan.
 *
 * @param {number} x
 */
function expOfNegative(x) {
  if (x < -745.2) return 0;
  const steps = (x * (EXP_STEPS / Math.LN2) - 0.5) | 0;
  const r = x - steps * LN2_HIGH - steps * LN2_LOW;
  const whole = ROOTS[steps & (EXP_STEPS - 1)] * POWERS[(steps >> 8) - LOWEST_POWER];
  return whole + whole * (r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24)))));
}

/** @param {Floats} scores @param {Uint8Array} visible @param {number} step @param {number} S */
function hide(scores, visible, step, S) {
  for (let start = 0, seen = 0; start < scores.length; start += S, seen += step) {
    for (let j = 0; j < S; j++) if (visible[seen + j] === 0) scores[start + j] = -Infinity;
  }
}

/** @type {AttentionKernel} */
export const PLAIN = { product, softmax };

// What the layers of every transformer are made of.

/**
 * @typedef {{weight: Float32Array, bias: ?Float32Array, centred: boolean, epsilon: number}} Norm without a mean taken off where it is not centred
 *
 * Who attends to whom: T queries, the last of S tokens, and what each sees, T*S; null where all see all.
 * @typedef {{T: number, S: number, headDim: number, visible: ?Uint8Array}} Rows
 */

/**
 * From T rows of all heads to heads of T rows.
 *
 * @param {Float32Array} rows
 * @param {number} heads
 * @param {number} T
 */
export function split(rows, heads, T) {
  const headDim = rows.length / (heads * T);
  const byHead = new Float32Array(rows.length);
  for (let head = 0, to = 0; head < heads; head++) {
    for (let i = 0; i < T; i++, to += headDim) {
      const from = (i * heads + head) * headDim;
      byHead.set(rows.subarray(from, from + headDim), to);
    }
  }
  return byHead;
}

/**
 * The reverse of split.
 *
 * @param {Float32Array} byHead
 * @param {number} heads
 * @param {number} T
 */
export function joined(byHead, heads, T) {
  const headDim = byHead.length / (heads * T);
  const rows = new Float32Array(byHead.length);
  for (let head = 0, from = 0; head < heads; head++) {
    for (let i = 0; i < T; i++, from += headDim) rows.set(byHead.subarray(from, from + headDim), (i * heads + head) * headDim);
  }
  return rows;
}

/**
 * Which of S keys the last T tokens see that see themselves and those before them.
 *
 * @param {number} T
 * @param {number} S
 */
export function causalPairs(T, S) {
  const pairs = new Uint8Array(T * S);
  for (let i = 0; i < T; i++) pairs.fill(1, i * S, i * S + S - T + i + 1);
  return pairs;
}

/**
 * The keys or values of the next tokens behind those of the tokens before, head by head.
 *
 * @param {Float32Array} before
 * @param {Float32Array} next
 * @param {number} heads
 */
export function appended(before, next, heads) {
  const [old, added] = [before.length / heads, next.length / heads];
  const whole = new Float32Array(before.length + next.length);
  for (let head = 0; head < heads; head++) {
    whole.set(before.subarray(head * old, (head + 1) * old), head * (old + added));
    whole.set(next.subarray(head * added, (head + 1) * added), head * (old + added) + old);
  }
  return whole;
}

/**
 * The attention weights of one head.
 *
 * @param {AttentionKernel} kernel
 * @param {Float32Array} query T*headDim
 * @param {Float32Array} key S*headDim
 * @param {Rows} rows
 * @returns {Float32Array} T*S
 */
export function weightsOf(kernel, query, key, { T, S, headDim, visible }) {
  const scores = new Float32Array(T * S);
  const keys = { matrix: key, count: S, depth: headDim, countStep: headDim, depthStep: 1 };
  kernel.product(scores, query, headDim ** -0.5, keys, T);
  const weights = new Float32Array(T * S);
  const rule = { T, S, visible, step: visible === null ? 0 : S, temperature: 1, fill: 0, sink: -Infinity };
  kernel.softmax(scores, { weights, logsumexp: new Float32Array(T), empty: new Uint8Array(T) }, rule);
  return weights;
}

/**
 * Writes the values that one head mixes.
 *
 * @param {Float32Array} mixed T*headDim
 * @param {AttentionKernel} kernel
 * @param {Float32Array} value S*headDim
 * @param {Float32Array} weights T*S
 * @param {Rows} rows
 */
export function mixInto(mixed, kernel, value, weights, { T, S, headDim }) {
  const vectors = { matrix: value, count: headDim, depth: S, countStep: 1, depthStep: headDim };
  kernel.product(mixed, weights, 1, vectors, T);
}

/** @param {Float32Array} numbers overwritten with the sum @param {Float32Array} others */
export function sum(numbers, others) {
  for (let i = 0; i < numbers.length; i++) numbers[i] += others[i];
  return numbers;
}

/** @param {Float32Array} numbers */
export function areFinite(numbers) {
  let zero = 0;
  for (let i = 0; i < numbers.length; i++) zero += numbers[i] * 0; // nan if any is not finite
  return zero === 0;
}

/**
 * Normalises each row.
 *
 * @param {Float32Array} numbers overwritten with the result
 * @param {Norm} norm
 */
export function normalise(numbers, { weight, bias, centred, epsilon }) {
  const width = weight.length;
  for (let start = 0; start < numbers.length; start += width) {
    let mean = 0;
    if (centred) {
      for (let c = 0; c < width; c++) mean += numbers[start + c];
      mean /= width;
    }
    let squares = 0;
    for (let c = 0; c < width; c++) squares += (numbers[start + c] - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / width + epsilon);
    for (let c = 0; c < width; c++) numbers[start + c] = (numbers[start + c] - mean) * factor * weight[c] + (bias?.[c] ?? 0);
  }
  return numbers;
}

// What the layers of every transformer are made of.

/** @typedef {{weight: Float32Array, bias: Float32Array}} Norm */

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
 * The attention weights of one head.
 *
 * @param {AttentionKernel} kernel
 * @param {LayerStates} states
 * @param {number} head
 * @param {number} T
 * @param {number} headDim
 * @param {?Uint8Array} visible T*T, 1 where a query sees a key; null where all see all
 * @returns {Float32Array} T*T
 */
export function weightsOf(kernel, { query, key }, head, T, headDim, visible) {
  const part = (/** @type {Float32Array} */ numbers) => numbers.subarray(head * T * headDim, (head + 1) * T * headDim);
  const scores = new Float32Array(T * T);
  const keys = { matrix: part(key), count: T, depth: headDim, countStep: headDim, depthStep: 1 };
  kernel.product(scores, part(query), headDim ** -0.5, keys, T);
  const weights = new Float32Array(T * T);
  const rule = { T, S: T, visible, step: visible === null ? 0 : T, temperature: 1, fill: 0, sink: -Infinity };
  kernel.softmax(scores, { weights, logsumexp: new Float32Array(T), empty: new Uint8Array(T) }, rule);
  return weights;
}

/**
 * Writes the values that one head mixes.
 *
 * @param {Float32Array} mixed heads*T*headDim
 * @param {AttentionKernel} kernel
 * @param {LayerStates} states
 * @param {number} head
 * @param {number} T
 * @param {number} headDim
 * @param {Float32Array} weights T*T
 */
export function mixInto(mixed, kernel, { value }, head, T, headDim, weights) {
  const at = head * T * headDim;
  const matrix = value.subarray(at, at + T * headDim);
  const vectors = { matrix, count: headDim, depth: T, countStep: 1, depthStep: headDim };
  kernel.product(mixed.subarray(at, at + T * headDim), weights, 1, vectors, T);
}

/** @param {Float32Array} numbers */
export function areFinite(numbers) {
  let zero = 0;
  for (let i = 0; i < numbers.length; i++) zero += numbers[i] * 0; // nan if any is not finite
  return zero === 0;
}

/**
 * Layer normalisation of a sum.
 *
 * @param {Float32Array} numbers overwritten with the result
 * @param {?Float32Array} others what is added first
 * @param {Norm} norm
 * @param {number} epsilon
 */
export function addNorm(numbers, others, { weight, bias }, epsilon) {
  const width = weight.length;
  for (let start = 0; start < numbers.length; start += width) {
    let sum = 0;
    for (let c = 0; c < width; c++) {
      if (others !== null) numbers[start + c] += others[start + c];
      sum += numbers[start + c];
    }
    const mean = sum / width;
    let squares = 0;
    for (let c = 0; c < width; c++) squares += (numbers[start + c] - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / width + epsilon);
    for (let c = 0; c < width; c++) numbers[start + c] = (numbers[start + c] - mean) * factor * weight[c] + bias[c];
  }
  return numbers;
}

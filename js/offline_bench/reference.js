import { sizesOf } from "./inputs.js";

// Attention in float64 by its formula, pair by pair: what the page's implementations are compared with. It shares no code
// with them. Python's reference gives the same numbers, which tests and the page itself check.

/**
 * @typedef {object} Reference
 * @property {Float64Array} output B*H*T*Dv; like the other arrays 0 on rows that see no key
 * @property {Float64Array} logsumexp B*H*T, -Infinity on such rows
 * @property {Float64Array} magnitude B*H*T*Dv, weights @ |value|
 * @property {Float64Array} valueSum B*H*T*Dv, |value| summed over the visible keys
 * @property {Float64Array} kappa B*H*T, the rounding error of a row's scores in units of roundoff; see
 *   attnpanel/bench/certify/error_units.py
 * @property {Int32Array} first B*H*T, the first key that a row sees; -1 for none
 * @property {Int32Array} last B*H*T
 * @property {Float64Array} firstWeight B*H*T
 * @property {Float64Array} lastWeight B*H*T
 * @property {?Float64Array} weights B*H*T*S, if asked for
 * @property {Uint8Array} judged B*H*T, 1 for rows that see a key and were computed
 */

/**
 * @param {BenchRequest} request
 * @param {BenchInputs} inputs rounded to the request's dtype
 * @param {{weights?: boolean, only?: ?((query: number) => boolean)}} [options] only: the queries of each head that are
 *   computed; of the others the first and the last key are found only
 * @returns {Reference}
 */
export function reference(request, inputs, { weights = false, only = null } = {}) {
  const { B, H, T, S, D, Dv, Hkv, group, scale, temperature } = sizesOf(request);
  const { query, key, value, bias } = inputs;
  const rows = B * H * T;
  /** @type {Reference} */
  const found = {
    output: new Float64Array(rows * Dv),
    logsumexp: new Float64Array(rows).fill(-Infinity),
    magnitude: new Float64Array(rows * Dv),
    valueSum: new Float64Array(rows * Dv),
    kappa: new Float64Array(rows),
    first: new Int32Array(rows).fill(-1),
    last: new Int32Array(rows).fill(-1),
    firstWeight: new Float64Array(rows),
    lastWeight: new Float64Array(rows),
    weights: weights ? new Float64Array(rows * S) : null,
    judged: new Uint8Array(rows),
  };
  const fluctuating = Math.sqrt(D) / 2;
  const trend = Math.sqrt(D / 3) / 2;
  const scores = new Float64Array(S);
  for (let row = 0; row < rows; row++) {
    const head = Math.floor(row / T);
    const kv = Math.floor(head / H) * Hkv + Math.floor((head % H) / group);
    const seen = maskRow(inputs.mask, request, row);
    const skipped = only !== null && !only(row % T);
    let peak = -Infinity;
    for (let j = 0; j < S; j++) {
      scores[j] = -Infinity;
      if (inputs.mask !== null && inputs.mask[seen + j] === 0) continue;
      if (found.first[row] < 0) found.first[row] = j;
      found.last[row] = j;
      if (skipped) continue;
      let dot = 0;
      let squares = 0;
      for (let d = 0, q = row * D, k = (kv * S + j) * D; d < D; d++, q++, k++) {
        const term = query[q] * key[k];
        dot += term;
        squares += term * term;
      }
      const added = bias === null ? 0 : bias[((head % H) * T + (row % T)) * S + j];
      scores[j] = (dot * scale + added) / temperature;
      const error = (fluctuating * Math.sqrt(squares) + trend * Math.abs(dot)) * Math.abs(scale) + Math.abs(added);
      found.kappa[row] = Math.max(found.kappa[row], error / temperature);
      peak = Math.max(peak, scores[j]);
    }
    if (found.last[row] < 0 || skipped) continue;
    found.judged[row] = 1;
    let total = 0;
    for (let j = found.first[row]; j <= found.last[row]; j++) total += Math.exp(scores[j] - peak);
    found.logsumexp[row] = peak + Math.log(total);
    for (let j = found.first[row]; j <= found.last[row]; j++) {
      if (scores[j] === -Infinity) continue;
      const weight = Math.exp(scores[j] - peak) / total;
      if (found.weights !== null) found.weights[row * S + j] = weight;
      if (j === found.first[row]) found.firstWeight[row] = weight;
      if (j === found.last[row]) found.lastWeight[row] = weight;
      for (let d = 0, o = row * Dv, v = (kv * S + j) * Dv; d < Dv; d++, o++, v++) {
        found.output[o] += weight * value[v];
        found.magnitude[o] += weight * Math.abs(value[v]);
        found.valueSum[o] += Math.abs(value[v]);
      }
    }
  }
  return found;
}

/**
 * Where a row of the mask begins, the rows numbered over batch entries and heads.
 *
 * @param {?Uint8Array} mask
 * @param {BenchRequest} request
 * @param {number} row
 */
export function maskRow(mask, request, row) {
  const { H, T, S } = sizesOf(request);
  const entry = mask !== null && mask.length > T * S ? Math.floor(row / (H * T)) : 0;
  return (entry * T + (row % T)) * S;
}

/**
 * Some queries of one head as a call of their own.
 *
 * @param {BenchRequest} request
 * @param {BenchInputs} inputs
 * @param {number} head counted over batch entries
 * @param {number[]} queries
 * @returns {[BenchRequest, BenchInputs]}
 */
export function rowsOf(request, inputs, head, queries) {
  const { H, Hkv, T, S, D, Dv, group, scale } = sizesOf(request);
  const kv = Math.floor(head / H) * Hkv + Math.floor((head % H) / group);
  /** @template {Float32Array | Uint8Array} A @param {A} array @param {(query: number) => number} start @param {number} width @returns {A} */
  const take = (array, start, width) => {
    const taken = new /** @type {any} */ (array.constructor)(queries.length * width);
    queries.forEach((query, at) => taken.set(array.subarray(start(query), start(query) + width), at * width));
    return taken;
  };
  const { mask, bias } = inputs;
  return [
    {
      ...request,
      ...{ batch: 1, heads: 1, kv_heads: 1, query_len: queries.length, scale },
      ...{ mask: "none", align: "top_left", pad_lens: null, window: null, mask_options: [] },
    },
    {
      query: take(inputs.query, (query) => (head * T + query) * D, D),
      key: inputs.key.subarray(kv * S * D, (kv + 1) * S * D),
      value: inputs.value.subarray(kv * S * Dv, (kv + 1) * S * Dv),
      mask: mask && take(mask, (query) => maskRow(mask, request, head * T + query), S),
      bias: bias && take(bias, (query) => ((head % H) * T + query) * S, S),
    },
  ];
}

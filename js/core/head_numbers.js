import { expectLength } from "./checks.js";

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
 * The entropy `-sum w log w` of each query's row, in nats; nan for a row without a weight. A NaN weight
 * counts as 0.
 *
 * @param {Floats} weights T*S
 * @param {number} T
 * @param {number} S
 * @returns {Float64Array} T
 */
export function entropies(weights, T, S) {
  expectLength("weights", weights, T * S, "T*S");
  const rows = new Float64Array(T);
  for (let i = 0; i < T; i++) {
    let any = false;
    for (let at = i * S; at < (i + 1) * S; at++) {
      const weight = weights[at];
      if (!(weight > 0)) continue;
      any = true;
      rows[i] -= weight * Math.log(weight);
    }
    if (!any) rows[i] = NaN;
  }
  return rows;
}

/**
 * Mean over queries of `sum_j w_ij |i + offset - j|`: the mean attention distance in tokens; rows of zeros are left
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

/**
 * @param {Floats} weights
 * @param {number} T
 * @param {number} S
 * @param {(weight: number, i: number, j: number) => number} term
 */
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

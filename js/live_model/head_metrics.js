// The numbers of a head without a mask, as attnpanel/analysis/row_metrics.py defines them, by name.

/**
 * Which keys follow an earlier occurrence of each query's token.
 *
 * @param {number[]} ids of the tokens
 * @returns {number[][]}
 */
export function inducedKeys(ids) {
  return ids.map((id, i) => ids.slice(0, i).flatMap((earlier, j) => (earlier === id && j + 1 < i ? [j + 1] : [])));
}

/**
 * @param {Float32Array} weights T*T
 * @param {number} T
 * @param {number[][]} induced from inducedKeys
 * @returns {Record<string, ?number>} null where a metric is not defined
 */
export function headMetrics(weights, T, induced) {
  const sums = { entropy: 0, effective_keys: 0, mean_distance: 0, previous_token: 0, diagonal: 0, first_key: 0, induction: 0 };
  let repeated = 0;
  for (let i = 0; i < T; i++) {
    const row = i * T;
    let entropy = 0;
    for (let j = 0; j < T; j++) {
      const weight = weights[row + j];
      if (weight > 0) entropy -= weight * Math.log(weight);
      sums.mean_distance += weight * Math.abs(i - j);
    }
    sums.entropy += entropy;
    sums.effective_keys += Math.exp(entropy);
    if (i > 0) sums.previous_token += weights[row + i - 1];
    sums.diagonal += weights[row + i];
    sums.first_key += weights[row];
    for (const key of induced[i]) sums.induction += weights[row + key];
    if (induced[i].length > 0) repeated += 1;
  }
  /** @type {Record<string, ?number>} */
  const means = Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, Math.abs(sum) / T]));
  means.previous_token = T > 1 ? sums.previous_token / (T - 1) : 0;
  means.induction = repeated > 0 ? sums.induction / repeated : null;
  return means;
}

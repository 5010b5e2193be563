// The numbers behind one weight, as attnpanel.analysis.explanation: products by channel, and what is written.

/**
 * Query times key, channel by channel.
 *
 * @param {Floats} query D
 * @param {Floats} key D
 * @returns {Float64Array}
 */
export function productsOf(query, key) {
  return Float64Array.from(query, (number, channel) => number * key[channel]);
}

/**
 * The channels that belong together: pairs that a rotary position embedding turns, and single ones.
 *
 * @param {?[string, number]} rotary layout, and how many of the first channels are rotated; null if none are known
 * @param {number} D
 * @returns {number[][]}
 */
export function channelGroups(rotary, D) {
  const rotated = rotary === null ? 0 : rotary[1];
  const half = rotated / 2;
  const pair = (/** @type {number} */ at) => (rotary?.[0] === "half_split" ? [at, at + half] : [2 * at, 2 * at + 1]);
  return [...Array.from({ length: half }, (_, at) => pair(at)), ...Array.from({ length: D - rotated }, (_, at) => [rotated + at])];
}

/**
 * What a row of weights takes from each value: the value's length, the length of weight times value, and the part of
 * the output, which sum to 1 and are NaN for an output of 0.
 *
 * @param {ArrayLike<number>} weights S
 * @param {Floats} value S*Dv
 * @param {{S: number, Dv: number}} lengths
 * @returns {{valueNorms: Float64Array, norms: Float64Array, shares: Float64Array, output: Float64Array}}
 */
export function writtenOf(weights, value, { S, Dv }) {
  const output = new Float64Array(Dv);
  const valueNorms = new Float64Array(S);
  for (let key = 0; key < S; key++) {
    let squares = 0;
    for (let channel = 0; channel < Dv; channel++) {
      const number = value[key * Dv + channel];
      squares += number * number;
      output[channel] += weights[key] * number;
    }
    valueNorms[key] = Math.sqrt(squares);
  }
  const length = output.reduce((sum, number) => sum + number * number, 0);
  const shares = new Float64Array(S).fill(NaN);
  for (let key = 0; key < S && length !== 0; key++) {
    let along = 0;
    for (let channel = 0; channel < Dv; channel++) along += value[key * Dv + channel] * output[channel];
    shares[key] = (weights[key] * along) / length;
  }
  return { valueNorms, norms: valueNorms.map((norm, key) => norm * weights[key]), shares, output };
}

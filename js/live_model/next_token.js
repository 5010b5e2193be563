import { t } from "../core/translate.js";

// What a model expects next: probabilities, losses, and a token drawn from them.

const FEW = 100; // fewer are found faster than all are sorted

/**
 * The natural logarithms of a softmax over each row.
 *
 * @param {Float32Array} logits rows*count
 * @param {number} count
 * @returns {Float64Array}
 */
export function logProbabilities(logits, count) {
  const logs = Float64Array.from(logits);
  for (let start = 0; start < logs.length; start += count) {
    const row = logs.subarray(start, start + count);
    let peak = -Infinity;
    for (const score of row) peak = Math.max(peak, score);
    let total = 0;
    for (const score of row) total += Math.exp(score - peak);
    const shift = peak + Math.log(total);
    for (let i = 0; i < count; i++) row[i] -= shift;
  }
  return logs;
}

/**
 * The loss of each token but the first: how unlikely it was after those before it, in nats.
 *
 * @param {Float64Array} logs of logProbabilities
 * @param {number[]} ids
 * @param {number} count tokens of the vocabulary
 * @returns {number[]} one fewer than tokens
 */
export function losses(logs, ids, count) {
  return ids.slice(1).map((id, i) => -logs[i * count + id]);
}

/**
 * The likeliest tokens of a row, likeliest first; of equal ones the first in the vocabulary.
 *
 * @param {ArrayLike<number>} row
 * @param {number} most
 * @returns {number[]}
 */
export function likeliest(row, most) {
  const comesFirst = (/** @type {number} */ one, /** @type {number} */ other) => row[other] - row[one] || one - other;
  if (most > FEW) {
    return Array.from(row, (_, id) => id)
      .sort(comesFirst)
      .slice(0, most);
  }
  /** @type {number[]} */
  const found = [];
  for (let id = 0; id < row.length; id++) {
    if (found.length === most && row[id] <= row[found[most - 1]]) continue;
    let at = found.length;
    while (at > 0 && row[found[at - 1]] < row[id]) at -= 1;
    found.splice(at, 0, id);
    if (found.length > most) found.pop();
  }
  return found;
}

/** @typedef {{temperature: number, topK: number, seed: number}} Sampling */

export const MOST_TEMPERATURE = 10;
export const MOST_SEED = 2 ** 32 - 1;

/** @param {number} number of a field, nan where it holds none */
export const numberOf = (number) => (Number.isNaN(number) ? t("no number") : String(number));

/**
 * What is wrong with the choices of a reader; "" for nothing.
 *
 * @param {Sampling} sampling
 * @param {number} count tokens of the vocabulary
 */
export function samplingProblem({ temperature, topK, seed }, count) {
  if (!(temperature >= 0 && temperature <= MOST_TEMPERATURE)) return t("the temperature must be from 0 to {most}; got {value}", { most: MOST_TEMPERATURE, value: numberOf(temperature) });
  if (!Number.isInteger(topK) || topK < 1 || topK > count) return t("top-k must be an integer from 1 to {most}; got {value}", { most: count, value: numberOf(topK) });
  if (!Number.isInteger(seed) || seed < 0 || seed > MOST_SEED) return t("the seed must be an integer from 0 to {most}; got {value}", { most: MOST_SEED, value: numberOf(seed) });
  return "";
}

/**
 * Draws a token from the likeliest ones; at temperature 0 the likeliest.
 *
 * @param {ArrayLike<number>} logs logarithms of the probabilities of all tokens
 * @param {Sampling} sampling
 * @param {number} number from 0 to 1, without 1
 * @returns {number} a token
 */
export function drawToken(logs, { temperature, topK }, number) {
  const candidates = likeliest(logs, topK);
  if (temperature === 0) return candidates[0];
  const shares = candidates.map((id) => Math.exp((logs[id] - logs[candidates[0]]) / temperature));
  let left = number * shares.reduce((sum, share) => sum + share, 0);
  for (let i = 0; i < candidates.length; i++) {
    left -= shares[i];
    if (left < 0) return candidates[i];
  }
  return candidates[candidates.length - 1];
}

/**
 * Mulberry32, by Tommy Ettinger: numbers from 0 to 1, without 1, the same ones for a seed.
 *
 * @param {number} seed an integer of 32 bits
 * @returns {() => number}
 */
export function randomNumbers(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

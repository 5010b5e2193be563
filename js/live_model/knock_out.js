import { likeliest, logProbabilities } from "./next_token.js";

// What a model does without some of its heads: how much of each head's attention, and of what the model gives, has moved. As
// attnpanel.models.intervene.output_change has it.

/**
 * @typedef {import("./transformer.js").Run} Run
 * @typedef {import("./transformer.js").Transformer} Transformer
 * @typedef {{id: number, before: number, after: number}} Expected a next token and its probabilities
 *
 * What changed from one run of a text to another: the share of the attention weight of each layer's heads that has moved,
 * the mean over tokens; and of each token the share of the next token's probability that has moved, with the likeliest
 * ones, or, where the model expects none, the cosine distance of its last states, and of their mean.
 * @typedef {{heads: number[][], tokens: number[], whole: ?number, expected: Expected[][]}} Change
 */

const MOST_EXPECTED = 6;
// Rows of logits at a time: a vocabulary has 100,000 tokens.
const ROWS = 16;
const HEAD = /^(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})$/;

/**
 * Parses heads, such as “3.5,4.0”; throws an Error with the rule for what a model lacks.
 *
 * @param {string} text
 * @param {{layers: number, heads: number}} model
 * @returns {Set<string>}
 */
export function readHeads(text, { layers, heads }) {
  const found = text === "" ? [] : text.split(",");
  for (const name of found) {
    const [, layer, head] = (HEAD.exec(name) ?? []).map(Number);
    if (!(layer < layers && head < heads)) {
      throw new Error(`heads must be LAYER.HEAD from 0.0 to ${layers - 1}.${heads - 1}, separated by commas; got “${name.slice(0, 20)}”`);
    }
  }
  return new Set(found);
}

/**
 * Compares two runs of the same tokens, each from its first token on, a part at a time.
 *
 * @param {Transformer} model
 * @param {Run} before
 * @param {Run} after
 * @param {boolean} predicts whether the model expects next tokens
 * @returns {Generator<void, Change>}
 */
export function* changeOf(model, before, after, predicts) {
  const T = before.ids.length;
  const { heads, width } = model.description;
  /** @type {Change} */
  const change = { heads: [], tokens: [], whole: null, expected: [] };
  for (const [layer, states] of before.layers.entries()) {
    const weights = (/** @type {LayerStates} */ one, /** @type {number} */ head) => model.weightsOf(one, head, T);
    change.heads.push(Array.from({ length: heads }, (_, head) => movedShare(weights(states, head), weights(after.layers[layer], head)) / T));
    yield;
  }
  if (predicts) {
    for (let start = 0; start < T; start += ROWS) {
      compareExpected(model, before, after, start, change);
      yield;
    }
  } else {
    const [ones, others] = [before, after].map(({ states }) => states);
    change.tokens = before.ids.map((_, i) => cosineDistance(rowOf(ones, i, width), rowOf(others, i, width)));
    change.whole = cosineDistance(sumOfRows(ones, width), sumOfRows(others, width));
  }
  return change;
}

/** @param {Transformer} model @param {Run} before @param {Run} after @param {number} start a token @param {Change} change gets some tokens */
function compareExpected(model, before, after, start, change) {
  const { width } = model.description;
  const rows = Math.min(ROWS, before.ids.length - start);
  const [ones, others] = [before, after].map((run) => {
    const logits = model.logits({ ...run, states: run.states.subarray(start * width, (start + rows) * width) }, rows);
    return logProbabilities(logits, logits.length / rows).map(Math.exp);
  });
  for (let i = 0; i < rows; i++) {
    const [one, other] = [ones, others].map((shares) => rowOf(shares, i, shares.length / rows));
    change.tokens.push(movedShare(one, other));
    const larger = one.map((share, id) => Math.max(share, other[id]));
    const shown = likeliest(larger, MOST_EXPECTED).sort((first, second) => one[second] - one[first] || first - second);
    change.expected.push(shown.map((id) => ({ id, before: one[id], after: other[id] })));
  }
}

/** @template {Float32Array | Float64Array} A @param {A} rows @param {number} i @param {number} width @returns {A} */
const rowOf = (rows, i, width) => /** @type {A} */ (rows.subarray(i * width, (i + 1) * width));

/**
 * Half of the sum of all differences: of two distributions, the share of one that has to move to give the other.
 *
 * @param {ArrayLike<number>} one
 * @param {ArrayLike<number>} other
 */
function movedShare(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += Math.abs(one[i] - other[i]);
  return sum / 2;
}

/** @param {ArrayLike<number>} one @param {ArrayLike<number>} other */
function cosineDistance(one, other) {
  let [product, ones, others] = [0, 0, 0];
  for (let i = 0; i < one.length; i++) {
    product += one[i] * other[i];
    ones += one[i] ** 2;
    others += other[i] ** 2;
  }
  const size = Math.sqrt(ones * others);
  // A state of length 0 has no direction; rounding may give slightly less than 0.
  return size > 0 ? Math.max(1 - product / size, 0) : 1;
}

/** @param {Float32Array} states @param {number} width */
function sumOfRows(states, width) {
  const sums = new Float64Array(width);
  for (let i = 0; i < states.length; i++) sums[i % width] += states[i];
  return sums;
}

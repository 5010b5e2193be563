import { activationOf } from "./activations.js";
import { appended, areFinite, causalPairs, joined, mixInto, normalise, split, sum, weightsOf } from "./layer_parts.js";
import { rotate } from "./rotary.js";
import { StoredWeights } from "./stored_weights.js";

// The forward pass of a transformer: encoders that normalise each sum, as BERT's, and causal decoders that normalise what
// each part of a layer reads, as GPT-2's and Llama's. Which of its parts a model has, its tensors say.

/**
 * @typedef {{matrix: StoredMatrix, bias: ?Float32Array}} Linear
 * @typedef {import("./layer_parts.js").Norm} Norm
 * @typedef {Record<"query" | "key" | "value" | "output", Linear> & {norm: Norm}} Attention
 * @typedef {{attention: ?Attention, gate: ?Linear, up: Linear, down: Linear, norm: Norm}} Layer
 *
 * What a run gives, and a later one goes on from: queries, keys and values of every layer, and the last layer's output for
 * the tokens that were run, T*width.
 * @typedef {{ids: number[], layers: LayerStates[], states: Float32Array}} Run
 * @typedef {{past?: ?Run, without?: Set<string>, onWeights?: (layer: number, weights: Float32Array) => void}} RunOptions
 */

const NONE = new Set();

export class Transformer {
  /**
   * @param {TransformerDescription} description
   * @param {ArrayBuffer} buffer the bytes of its weights
   * @param {LayerKernel} kernel
   */
  constructor(description, buffer, kernel) {
    this.description = description;
    this.kernel = kernel;
    this.weights = new StoredWeights(description, buffer);
    this.activation = activationOf(description.activation);
    this.positions = this.optional("positions");
    this.frequencies = this.optional("frequencies");
    this.type = this.optional("type");
    this.norm = this.readNorm("norm");
    /** @type {Layer[]} */
    this.layers = Array.from({ length: description.layers }, (_, layer) => this.readLayer(layer));
    /** the matrix that gives the scores of next tokens, once they are asked for @type {?Linear} */
    this.nextToken = null;
  }

  /** @param {string} name */
  optional(name) {
    return this.weights.has(name) ? this.weights.floats(name) : null;
  }

  /** @param {string} name @returns {Norm} */
  readNorm(name) {
    const { norm, epsilon } = this.description;
    return { weight: this.weights.floats(`${name}.weight`), bias: this.optional(`${name}.bias`), centred: norm === "layer", epsilon };
  }

  /** @param {string} name @param {string} [bias] @returns {Linear} */
  readLinear(name, bias = "") {
    const { halves, shape } = this.weights.halves(name);
    return { matrix: this.kernel.keep(halves, shape[0], shape[1]), bias: this.optional(bias) };
  }

  /** @param {number} layer @returns {Layer} */
  readLayer(layer) {
    const linear = (/** @type {string} */ name) => this.readLinear(`${layer}.${name}.weight`, `${layer}.${name}.bias`);
    const attention = () => ({
      query: linear("query"),
      key: linear("key"),
      value: linear("value"),
      output: linear("output"),
      norm: this.readNorm(`${layer}.attention_norm`),
    });
    return {
      attention: this.description.heads > 0 ? attention() : null,
      gate: this.weights.has(`${layer}.gate.weight`) ? linear("gate") : null,
      up: linear("up"),
      down: linear("down"),
      norm: this.readNorm(`${layer}.feed_forward_norm`),
    };
  }

  /**
   * Runs the model on tokens.
   *
   * @param {number[]} ids
   * @param {RunOptions} [options] the run whose tokens stand before these, in a causal model; heads whose output is 0, each as
   *   "layer.head"; what gets the weights of each head in order, T*S
   * @returns {Run} throws an Error for no tokens, for more than the model reads, and where a number is not finite
   */
  run(ids, { past = null, without = NONE, onWeights = () => {} } = {}) {
    const { limit, headDim, causal, normFirst } = this.description;
    const [T, S] = [ids.length, (past?.ids.length ?? 0) + ids.length];
    if (T < 1) throw new Error("a text must give at least one token; got none");
    if (S > limit) throw new Error(`the model reads at most ${limit} tokens; this text has ${S}`);
    const rows = { T, S, headDim, visible: causal ? causalPairs(T, S) : null };
    /** @type {LayerStates[]} */
    const kept = [];
    let states = this.embed(ids, S - T);
    this.layers.forEach((layer, number) => {
      if (layer.attention !== null) {
        const read = normFirst ? normalise(states.slice(), layer.attention.norm) : states;
        const next = this.project(read, layer.attention, rows);
        const whole = past ? this.extended(past.layers[number], next) : next;
        if (!Object.values(next).every(areFinite)) throw new Error("the model computed numbers that are not finite");
        kept.push(whole);
        const mixed = this.attend(next.query, whole, rows, (head, weights) => {
          onWeights(number, weights);
          return !without.has(`${number}.${head}`);
        });
        states = this.added(states, this.linear(mixed, layer.attention.output, T), layer.attention.norm);
      }
      const read = normFirst ? normalise(states.slice(), layer.norm) : states;
      states = this.added(states, this.feedForward(read, layer, T), layer.norm);
    });
    if (!areFinite(states)) throw new Error("the model computed numbers that are not finite");
    return { ids: past ? [...past.ids, ...ids] : ids, layers: kept, states };
  }

  /**
   * The scores of every next token after each of the last rows of a run.
   *
   * @param {Run} run
   * @param {number} [rows]
   * @returns {Float32Array} rows*vocabulary
   */
  logits({ states }, rows = 1) {
    this.nextToken ??= this.readLinear(this.weights.has("next_token.weight") ? "next_token.weight" : "words");
    const last = states.slice(states.length - rows * this.description.width);
    const logits = this.linear(normalise(last, this.norm), this.nextToken, rows);
    if (!areFinite(logits)) throw new Error("the model computed numbers that are not finite");
    return logits;
  }

  /** @param {Float32Array} states @param {Float32Array} made by a part of a layer @param {Norm} norm */
  added(states, made, norm) {
    const sums = sum(made, states);
    return this.description.normFirst ? sums : normalise(sums, norm);
  }

  /** @param {number[]} ids @param {number} before @returns {Float32Array} T*width */
  embed(ids, before) {
    const { width, padding, normFirst } = this.description;
    const { positions, type } = this;
    const sums = new Float32Array(ids.length * width);
    let count = before;
    ids.forEach((id, i) => {
      const word = this.weights.embedding(id);
      // Row 0 belongs to padding where the model has such a token, which is no position of its own.
      const row = padding === null ? count++ : id === padding ? 0 : ++count;
      for (let c = 0; c < width; c++) sums[i * width + c] = word[c] + (positions?.[row * width + c] ?? 0) + (type?.[c] ?? 0);
    });
    return normFirst ? sums : normalise(sums, this.norm);
  }

  /**
   * @param {Float32Array} left
   * @param {Linear} linear
   * @param {number} rows
   */
  linear(left, { matrix, bias }, rows) {
    const out = this.kernel.linear(left, matrix, rows);
    if (bias !== null) for (let at = 0; at < out.length; at += bias.length) for (let c = 0; c < bias.length; c++) out[at + c] += bias[c];
    return out;
  }

  /** @param {Float32Array} read @param {Layer} layer @param {number} T */
  feedForward(read, { gate, up, down }, T) {
    const inner = this.linear(read, gate ?? up, T);
    this.activation(inner, this.kernel);
    if (gate !== null) {
      const factors = this.linear(read, up, T);
      for (let i = 0; i < inner.length; i++) inner[i] *= factors[i];
    }
    return this.linear(inner, down, T);
  }

  /** @param {Float32Array} read @param {Attention} attention @param {import("./layer_parts.js").Rows} rows @returns {LayerStates} */
  project(read, attention, { T, S }) {
    const { heads, kvHeads } = this.description;
    const byHead = (/** @type {Linear} */ linear, /** @type {number} */ count) => split(this.linear(read, linear, T), count, T);
    const made = { query: byHead(attention.query, heads), key: byHead(attention.key, kvHeads), value: byHead(attention.value, kvHeads) };
    if (this.frequencies !== null) for (const numbers of [made.query, made.key]) rotate(numbers, T, S - T, this.frequencies);
    return made;
  }

  /** @param {LayerStates} past @param {LayerStates} next @returns {LayerStates} */
  extended(past, next) {
    const { heads, kvHeads } = this.description;
    return {
      query: appended(past.query, next.query, heads),
      key: appended(past.key, next.key, kvHeads),
      value: appended(past.value, next.value, kvHeads),
    };
  }

  /**
   * The attention weights of one head of a run.
   *
   * @param {LayerStates} states
   * @param {number} head
   * @param {number} T
   * @returns {Float32Array} T*T
   */
  weightsOf(states, head, T) {
    const { headDim, causal } = this.description;
    const rows = { T, S: T, headDim, visible: causal ? causalPairs(T, T) : null };
    return this.headWeights(states.query, states, head, rows);
  }

  /** @param {Float32Array} query @param {LayerStates} states @param {number} head @param {import("./layer_parts.js").Rows} rows */
  headWeights(query, { key }, head, rows) {
    return weightsOf(this.kernel, headOf(query, head, rows.T * rows.headDim), headOf(key, this.keyHead(head), rows.S * rows.headDim), rows);
  }

  /** @param {number} head of queries */
  keyHead(head) {
    const { heads, kvHeads } = this.description;
    return Math.floor(head / (heads / kvHeads));
  }

  /**
   * @param {Float32Array} query heads*T*headDim
   * @param {LayerStates} states of all S tokens
   * @param {import("./layer_parts.js").Rows} rows
   * @param {(head: number, weights: Float32Array) => boolean} mixes gets a head's weights and says whether it has an output
   * @returns {Float32Array} T rows of all heads
   */
  attend(query, states, rows, mixes) {
    const { T, S, headDim } = rows;
    const { heads } = this.description;
    const mixed = new Float32Array(query.length);
    for (let head = 0; head < heads; head++) {
      const weights = this.headWeights(query, states, head, rows);
      if (!mixes(head, weights)) continue;
      mixInto(headOf(mixed, head, T * headDim), this.kernel, headOf(states.value, this.keyHead(head), S * headDim), weights, rows);
    }
    return joined(mixed, heads, T);
  }
}

/** @param {Float32Array} numbers @param {number} head @param {number} size */
const headOf = (numbers, head, size) => numbers.subarray(head * size, (head + 1) * size);

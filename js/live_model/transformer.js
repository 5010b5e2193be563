import { addNorm, areFinite, joined, mixInto, split, weightsOf } from "./layer_parts.js";
import { StoredWeights } from "./stored_weights.js";

// The forward pass of an encoder whose normalisation follows each sum, as BERT's.

/** What stands between the two products of a layer's feed-forward part, in place. @type {Record<string, (numbers: Float32Array, kernel: LayerKernel) => void>} */
const ACTIVATIONS = {
  gelu: (numbers, kernel) => kernel.gelu(numbers),
  gelu_new(numbers) {
    for (let i = 0; i < numbers.length; i++) {
      const x = numbers[i];
      numbers[i] = (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    }
  },
  relu(numbers) {
    for (let i = 0; i < numbers.length; i++) numbers[i] = Math.max(numbers[i], 0);
  },
};

/**
 * @typedef {{matrix: StoredMatrix, bias: Float32Array}} Linear
 * @typedef {import("./layer_parts.js").Norm} Norm
 * @typedef {Record<"query" | "key" | "value" | "output" | "up" | "down", Linear> & Record<"afterAttention" | "afterFeedForward", Norm>} Layer
 */

export class Transformer {
  /**
   * @param {ModelDescription} description
   * @param {ArrayBuffer} buffer the bytes of its weights
   * @param {LayerKernel} kernel
   */
  constructor(description, buffer, kernel) {
    this.description = description;
    this.kernel = kernel;
    this.weights = new StoredWeights(description, buffer);
    this.activation = ACTIVATIONS[description.activation];
    if (!this.activation) throw new Error(`an activation must be one of ${Object.keys(ACTIVATIONS).join(", ")}; got ${description.activation}`);
    this.positions = this.weights.floats("positions");
    this.type = this.weights.has("type") ? this.weights.floats("type") : null;
    this.norm = this.readNorm("norm");
    /** @type {Layer[]} */
    this.layers = Array.from({ length: description.layers }, (_, layer) => this.readLayer(layer));
  }

  /** @param {string} name @returns {Norm} */
  readNorm(name) {
    return { weight: this.weights.floats(`${name}.weight`), bias: this.weights.floats(`${name}.bias`) };
  }

  /** @param {number} layer @returns {Layer} */
  readLayer(layer) {
    /** @param {string} name @returns {Linear} */
    const linear = (name) => {
      const { halves, shape } = this.weights.halves(`${layer}.${name}.weight`);
      return { matrix: this.kernel.keep(halves, shape[0], shape[1]), bias: this.weights.floats(`${layer}.${name}.bias`) };
    };
    return {
      query: linear("query"),
      key: linear("key"),
      value: linear("value"),
      output: linear("output"),
      up: linear("up"),
      down: linear("down"),
      afterAttention: this.readNorm(`${layer}.attention_norm`),
      afterFeedForward: this.readNorm(`${layer}.feed_forward_norm`),
    };
  }

  /**
   * Runs the model on tokens.
   *
   * @param {number[]} ids
   * @returns {LayerStates[]} throws an Error for more tokens than the model reads, or where a number is not finite
   */
  run(ids) {
    const { description } = this;
    const T = ids.length;
    if (T > description.limit) throw new Error(`the model reads at most ${description.limit} tokens; this text has ${T}`);
    let states = this.embed(ids);
    const kept = [];
    for (const layer of this.layers) {
      const { query, key, value } = this.project(states, layer, T);
      if (![query, key, value].every(areFinite)) throw new Error("the model computed numbers that are not finite");
      kept.push({ query, key, value });
      const mixed = joined(this.attend({ query, key, value }, T), description.heads, T);
      states = addNorm(this.linear(mixed, layer.output, T), states, layer.afterAttention, description.epsilon);
      const inner = this.linear(states, layer.up, T);
      this.activation(inner, this.kernel);
      states = addNorm(this.linear(inner, layer.down, T), states, layer.afterFeedForward, description.epsilon);
    }
    return kept;
  }

  /** @param {number[]} ids @returns {Float32Array} T*width */
  embed(ids) {
    const { width, firstPosition, epsilon } = this.description;
    const sums = new Float32Array(ids.length * width);
    ids.forEach((id, i) => {
      const word = this.weights.embedding(id);
      const position = (i + firstPosition) * width;
      for (let c = 0; c < width; c++) sums[i * width + c] = word[c] + this.positions[position + c] + (this.type?.[c] ?? 0);
    });
    return addNorm(sums, null, this.norm, epsilon);
  }

  /**
   * @param {Float32Array} left
   * @param {Linear} linear
   * @param {number} rows
   */
  linear(left, { matrix, bias }, rows) {
    const out = this.kernel.linear(left, matrix, rows);
    for (let at = 0; at < out.length; at += bias.length) for (let c = 0; c < bias.length; c++) out[at + c] += bias[c];
    return out;
  }

  /** @param {Float32Array} states @param {Layer} layer @param {number} T @returns {LayerStates} */
  project(states, layer, T) {
    /** @param {Linear} linear */
    const byHead = (linear) => split(this.linear(states, linear, T), this.description.heads, T);
    return { query: byHead(layer.query), key: byHead(layer.key), value: byHead(layer.value) };
  }

  /**
   * The attention weights of one head.
   *
   * @param {LayerStates} states
   * @param {number} head
   * @param {number} T
   * @returns {Float32Array} T*T
   */
  weightsOf(states, head, T) {
    return weightsOf(this.kernel, states, head, T, this.description.headDim, null);
  }

  /** @param {LayerStates} states @param {number} T @returns {Float32Array} heads*T*headDim */
  attend(states, T) {
    const { heads, headDim } = this.description;
    const mixed = new Float32Array(states.value.length);
    for (let head = 0; head < heads; head++) mixInto(mixed, this.kernel, states, head, T, headDim, this.weightsOf(states, head, T));
    return mixed;
  }
}

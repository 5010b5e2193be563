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
 * @typedef {{weight: Float32Array, bias: Float32Array}} Norm
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
      const mixed = this.joined(this.attend({ query, key, value }, T), T);
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
    const byHead = (linear) => this.split(this.linear(states, linear, T), T);
    return { query: byHead(layer.query), key: byHead(layer.key), value: byHead(layer.value) };
  }

  /**
   * From T rows of all heads to heads of T rows.
   *
   * @param {Float32Array} rows
   * @param {number} T
   */
  split(rows, T) {
    const { heads, headDim } = this.description;
    const split = new Float32Array(rows.length);
    for (let head = 0, to = 0; head < heads; head++) {
      for (let i = 0; i < T; i++, to += headDim) {
        const from = (i * heads + head) * headDim;
        split.set(rows.subarray(from, from + headDim), to);
      }
    }
    return split;
  }

  /**
   * The reverse of split.
   *
   * @param {Float32Array} split
   * @param {number} T
   */
  joined(split, T) {
    const { heads, headDim } = this.description;
    const rows = new Float32Array(split.length);
    for (let head = 0, from = 0; head < heads; head++) {
      for (let i = 0; i < T; i++, from += headDim) rows.set(split.subarray(from, from + headDim), (i * heads + head) * headDim);
    }
    return rows;
  }

  /**
   * The attention weights of one head.
   *
   * @param {LayerStates} states
   * @param {number} head
   * @param {number} T
   * @returns {Float32Array} T*T
   */
  weightsOf({ query, key }, head, T) {
    const { headDim: D } = this.description;
    const part = (/** @type {Float32Array} */ numbers) => numbers.subarray(head * T * D, (head + 1) * T * D);
    const scores = new Float32Array(T * T);
    this.kernel.product(scores, part(query), D ** -0.5, { matrix: part(key), count: T, depth: D, countStep: D, depthStep: 1 }, T);
    const weights = new Float32Array(T * T);
    const rule = { T, S: T, visible: null, step: 0, temperature: 1, fill: 0, sink: -Infinity };
    this.kernel.softmax(scores, { weights, logsumexp: new Float32Array(T), empty: new Uint8Array(T) }, rule);
    return weights;
  }

  /** @param {LayerStates} states @param {number} T @returns {Float32Array} heads*T*headDim */
  attend(states, T) {
    const { heads, headDim: D } = this.description;
    const mixed = new Float32Array(states.value.length);
    for (let head = 0; head < heads; head++) {
      const at = head * T * D;
      const matrix = states.value.subarray(at, at + T * D);
      const vectors = { matrix, count: D, depth: T, countStep: 1, depthStep: D };
      this.kernel.product(mixed.subarray(at, at + T * D), this.weightsOf(states, head, T), 1, vectors, T);
    }
    return mixed;
  }
}

/** @param {Float32Array} numbers */
function areFinite(numbers) {
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
function addNorm(numbers, others, { weight, bias }, epsilon) {
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

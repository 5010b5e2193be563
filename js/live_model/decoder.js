import { addNorm, areFinite, joined, mixInto, split, weightsOf } from "./layer_parts.js";
import { StoredWeights } from "./stored_weights.js";

// The forward pass of the lab's models, attnpanel/models/tiny_lm.py: causal, normalised before each part of a layer.

/**
 * @typedef {import("./layer_parts.js").Norm} Norm
 * @typedef {{matrix: StoredMatrix, bias: ?Float32Array}} Linear
 * @typedef {Record<"query" | "key" | "value" | "output", Linear> & {norm: Norm}} Attention
 * @typedef {{attention: ?Attention, up: Linear, down: Linear, norm: Norm}} Layer
 *
 * What a run gives: by layer and head the weights, T*T, and the scores of each next token, T*vocabulary.
 * @typedef {{ids: number[], weights: Float32Array[][], logits: Float32Array}} Reading
 */

export class Decoder {
  /**
   * @param {DecoderDescription} description
   * @param {ArrayBuffer} buffer the bytes of its weights
   * @param {LayerKernel} kernel
   */
  constructor(description, buffer, kernel) {
    this.description = description;
    this.kernel = kernel;
    this.weights = new StoredWeights(description, buffer);
    this.positions = this.weights.floats("positions");
    this.norm = this.readNorm("norm");
    this.nextToken = this.readLinear("next_token");
    /** @type {Layer[]} */
    this.layers = Array.from({ length: description.layers }, (_, layer) => this.readLayer(layer));
  }

  /** @param {string} name @returns {Norm} */
  readNorm(name) {
    return { weight: this.weights.floats(`${name}.weight`), bias: this.weights.floats(`${name}.bias`) };
  }

  /** @param {string} name @returns {Linear} */
  readLinear(name) {
    const { halves, shape } = this.weights.halves(`${name}.weight`);
    const bias = this.weights.has(`${name}.bias`) ? this.weights.floats(`${name}.bias`) : null;
    return { matrix: this.kernel.keep(halves, shape[0], shape[1]), bias };
  }

  /** @param {number} layer @returns {Layer} */
  readLayer(layer) {
    const linear = (/** @type {string} */ name) => this.readLinear(`${layer}.${name}`);
    const attends = this.description.heads > 0;
    return {
      attention: attends
        ? {
            query: linear("query"),
            key: linear("key"),
            value: linear("value"),
            output: linear("output"),
            norm: this.readNorm(`${layer}.attention_norm`),
          }
        : null,
      up: linear("up"),
      down: linear("down"),
      norm: this.readNorm(`${layer}.feed_forward_norm`),
    };
  }

  /**
   * Runs the model on tokens.
   *
   * @param {number[]} ids
   * @param {Set<string>} [without] heads whose output is 0, each as "layer.head"
   * @returns {Reading} throws an Error for no tokens, for more than the model reads, for one it does not have, and
   *   where a number is not finite
   */
  run(ids, without = new Set()) {
    const { limit, epsilon } = this.description;
    const T = ids.length;
    if (T < 1 || T > limit) throw new Error(`a sequence for this model must have 1 to ${limit} tokens; got ${T}`);
    let states = this.embed(ids);
    const visible = Uint8Array.from({ length: T * T }, (_, cell) => (cell % T <= Math.floor(cell / T) ? 1 : 0));
    const weights = this.layers.map((layer, number) => {
      const { attention } = layer;
      /** @type {Float32Array[]} */
      let ofHeads = [];
      if (attention !== null) {
        const normed = addNorm(states.slice(), null, attention.norm, epsilon);
        const attended = this.attend(normed, attention, T, visible, (head) => without.has(`${number}.${head}`));
        ofHeads = attended.weights;
        states = sum(states, this.linear(attended.mixed, attention.output, T));
      }
      const inner = this.linear(addNorm(states.slice(), null, layer.norm, epsilon), layer.up, T);
      this.kernel.gelu(inner);
      states = sum(states, this.linear(inner, layer.down, T));
      return ofHeads;
    });
    const logits = this.linear(addNorm(states, null, this.norm, epsilon), this.nextToken, T);
    if (![logits, ...weights.flat()].every(areFinite)) {
      throw new Error("the model computed numbers that are not finite");
    }
    return { ids, weights, logits };
  }

  /** @param {number[]} ids @returns {Float32Array} T*width */
  embed(ids) {
    const { width } = this.description;
    const states = new Float32Array(ids.length * width);
    ids.forEach((id, i) => {
      const word = this.weights.embedding(id);
      for (let c = 0; c < width; c++) states[i * width + c] = word[c] + this.positions[i * width + c];
    });
    return states;
  }

  /**
   * @param {Float32Array} normed T*width
   * @param {Attention} parts
   * @param {number} T
   * @param {Uint8Array} visible
   * @param {(head: number) => boolean} isOut
   */
  attend(normed, parts, T, visible, isOut) {
    const { heads, headDim } = this.description;
    const byHead = (/** @type {Linear} */ linear) => split(this.linear(normed, linear, T), heads, T);
    const states = { query: byHead(parts.query), key: byHead(parts.key), value: byHead(parts.value) };
    const mixed = new Float32Array(normed.length);
    const weights = Array.from({ length: heads }, (_, head) => {
      const ofHead = weightsOf(this.kernel, states, head, T, headDim, visible);
      if (!isOut(head)) mixInto(mixed, this.kernel, states, head, T, headDim, ofHead);
      return ofHead;
    });
    return { mixed: joined(mixed, heads, T), weights };
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
}

/** @param {Float32Array} numbers overwritten with the sum @param {Float32Array} others */
function sum(numbers, others) {
  for (let i = 0; i < numbers.length; i++) numbers[i] += others[i];
  return numbers;
}

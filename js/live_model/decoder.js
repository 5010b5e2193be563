import { areFinite } from "./layer_parts.js";
import { Transformer } from "./transformer.js";

// The lab's models, attnpanel/models/tiny_lm.py, whose heads' weights and next tokens are all wanted.

/**
 * What a run gives: by layer and head the weights, T*T, and the scores of each next token, T*vocabulary.
 *
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
    const kind = /** @type {const} */ ({ causal: true, normFirst: true, norm: "layer", activation: "gelu", padding: null });
    this.model = new Transformer({ ...description, ...kind, kvHeads: description.heads }, buffer, kernel);
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
    const { limit, layers } = this.description;
    if (ids.length < 1 || ids.length > limit) throw new Error(`a sequence for this model must have 1 to ${limit} tokens; got ${ids.length}`);
    /** @type {Float32Array[][]} */
    const weights = Array.from({ length: layers }, () => []);
    const run = this.model.run(ids, { without, onWeights: (layer, ofHead) => weights[layer].push(ofHead) });
    const logits = this.model.logits(run, ids.length);
    if (!weights.flat().every(areFinite)) throw new Error("the model computed numbers that are not finite");
    return { ids, weights, logits };
  }
}

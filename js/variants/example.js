import { attend } from "../core/attention.js";
import { makeMask } from "../core/masks.js";

// The example that all cards share, in each variant. Pure; float64.

/**
 * @typedef {{weights: Float64Array, scores: Float64Array, output: Float64Array, visible: Uint8Array}} HeadAttention T*T, T*T, T*D and T*T
 */

/**
 * Computes every head of a variant of the example.
 *
 * @param {Example} example
 * @param {VariantTable} table
 * @param {string} layout
 * @param {string} visibility
 * @returns {HeadAttention[]} by query head
 */
export function variantOf(example, table, layout, visibility) {
  const { T, D, heads } = example;
  const arrays = example.layouts[layout];
  const { rule, values, sink } = /** @type {VisibilityRow} */ (table.visibilities.find(({ name }) => name === visibility));
  const visible = makeMask(rule, T, T, { values });
  return Array.from({ length: heads }, (_, head) => {
    const { query, key, value } = headOf(example, arrays, head);
    const { weights, scores, output } = attend(query, key, value, { T, S: T, D, Dv: D, visible, sink });
    return /** @type {HeadAttention} */ ({ weights, scores, output, visible });
  });
}

/**
 * A query head's arrays, T*D each.
 *
 * @param {Example} example
 * @param {ExampleLayout} arrays
 * @param {number} head
 */
export function headOf({ T, D, heads }, arrays, head) {
  const shared = Math.floor((head * arrays.kvHeads) / heads);
  /** @param {number[]} array @param {number} at */
  const part = (array, at) => Float64Array.from(array.slice(at * T * D, (at + 1) * T * D));
  return { query: part(arrays.query, head), key: part(arrays.key, shared), value: part(arrays.value, shared) };
}

/**
 * How far a variant is from another: the largest difference of a weight, and of the outputs the root of the summed
 * squared differences over that of the other's numbers; all heads.
 *
 * @param {HeadAttention[]} variant
 * @param {HeadAttention[]} base
 */
export function differenceOf(variant, base) {
  let [weight, change, size] = [0, 0, 0];
  for (const [head, { weights, output }] of variant.entries()) {
    weights.forEach((one, at) => (weight = Math.max(weight, Math.abs(one - base[head].weights[at]))));
    output.forEach((one, at) => (change += (one - base[head].output[at]) ** 2));
    base[head].output.forEach((one) => (size += one ** 2));
  }
  return { weight, output: Math.sqrt(change / size) };
}

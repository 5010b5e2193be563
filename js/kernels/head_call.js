import { attend } from "../core/attention.js";

// Calls of several heads, a head at a time by attention.js.

/**
 * A call's sizes, arrays and options; the mask is one for all heads of all sequences, or for each.
 *
 * @typedef {{batch: number, heads: number, kvHeads: number, T: number, S: number, D: number, Dv: number,
 *   maskShape: ?[number, number], query: Floats, key: Floats, value: Floats, mask: ?Uint8Array, bias: ?Floats,
 *   options: object}} HeadCall
 */

/** @template {Floats | Uint8Array} A @param {A} array @param {number} index @param {number} size @returns {A} */
const part = (array, index, size) => /** @type {A} */ (array.subarray(index * size, (index + 1) * size));

/**
 * Every step of query head h of batch entry b.
 *
 * @param {HeadCall} call @param {number} b @param {number} h
 */
export function attendHead({ heads, kvHeads, T, S, D, Dv, maskShape, options, query, key, value, mask, bias }, b, h) {
  const kv = b * kvHeads + Math.floor(h / (heads / kvHeads));
  const [batches, ofHeads] = maskShape ?? [1, 1];
  const visible = mask && part(mask, (b % batches) * ofHeads + (h % ofHeads), T * S);
  return attend(part(query, b * heads + h, T * D), part(key, kv, S * D), part(value, kv, S * Dv), {
    ...options,
    ...{ T, S, D, Dv, visible, bias: bias && part(bias, h, T * S) },
  });
}

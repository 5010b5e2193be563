import { halfToFloat } from "../core/float16.js";
import { PLAIN } from "../core/plain_kernel.js";

// A model's layers in plain JavaScript: what runs everywhere, and gives the same numbers everywhere.

/** @typedef {StoredMatrix & {matrix: Float32Array}} PlainMatrix */

/** @type {LayerKernel} */
export const PLAIN_LAYERS = {
  ...PLAIN,
  name: "javascript",
  keep: (halves, count, depth) => /** @type {PlainMatrix} */ ({ matrix: halfToFloat(halves), count, depth }),
  linear(left, stored, rows) {
    const { matrix, count, depth } = /** @type {PlainMatrix} */ (stored);
    const out = new Float32Array(rows * count);
    PLAIN.product(out, left, 1, { matrix, count, depth, countStep: depth, depthStep: 1 }, rows);
    return out;
  },
  gelu(numbers) {
    for (let i = 0; i < numbers.length; i++) {
      const x = numbers[i];
      const tail = (x / 2) * erfc(Math.abs(x) * Math.SQRT1_2);
      numbers[i] = x >= 0 ? x - tail : tail;
    }
  },
};

/**
 * The complementary error function of a number >= 0, by Abramowitz and Stegun, 7.1.26: within 1.5e-7.
 *
 * @param {number} x
 */
function erfc(x) {
  const t = 1 / (1 + 0.3275911 * x);
  return t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-x * x);
}

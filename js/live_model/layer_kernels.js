import { PLAIN } from "../core/plain_kernel.js";
import { halfToFloat } from "../core/float16.js";
import { RELAXED_SIMD, SIMD } from "../wasm/encoder_modules.js";
import { WasmKernel } from "../wasm/kernel.js";

// Who computes a model's layers: WebAssembly, in whose memory the weights stay, or plain JavaScript.

/** @typedef {Record<"pack_halves" | "gelu", (...numbers: number[]) => void>} LayerExports */
/** @typedef {StoredMatrix & {panels: number}} PackedMatrix */

/** @implements {LayerKernel} */
class WasmLayers extends WasmKernel {
  /** @param {string} name @param {string} base64 */
  constructor(name, base64) {
    super(base64);
    this.name = name;
    this.layers = /** @type {LayerExports} */ (/** @type {unknown} */ (this.module));
  }

  /**
   * @param {Uint16Array} halves
   * @param {number} count
   * @param {number} depth
   * @returns {PackedMatrix}
   */
  keep(halves, count, depth) {
    const length = 8 * Math.ceil(count / 8) * depth;
    const [panels, raw] = this.regions([length, Math.ceil(halves.length / 2)]);
    new Uint16Array(this.module.memory.buffer, raw, halves.length).set(halves);
    this.layers.pack_halves(panels, raw, count, depth);
    this.floor = panels + 4 * length;
    return { panels, count, depth };
  }

  /**
   * @param {Float32Array} left
   * @param {StoredMatrix} matrix
   * @param {number} rows
   */
  linear(left, matrix, rows) {
    const { panels, count, depth } = /** @type {PackedMatrix} */ (matrix);
    const [lefts, outs] = this.regions([rows * depth, rows * count]);
    this.write(lefts, left);
    this.module.product(outs, lefts, panels, 1, rows, count, depth);
    return this.read(outs, rows * count).slice();
  }

  /** @param {Float32Array} numbers */
  gelu(numbers) {
    const length = 4 * Math.ceil(numbers.length / 4);
    const [address] = this.regions([length]);
    this.write(address, numbers);
    this.layers.gelu(address, length);
    numbers.set(this.read(address, numbers.length));
  }
}

/** @typedef {StoredMatrix & {matrix: Float32Array}} PlainMatrix */

/** @type {LayerKernel} */
const PLAIN_LAYERS = {
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

/**
 * The kernels, fastest first; one that can't run here throws as it starts.
 *
 * @type {Record<string, () => LayerKernel>}
 */
const LAYER_KERNELS = {
  "wasm-relaxed-simd": () => new WasmLayers("wasm-relaxed-simd", RELAXED_SIMD),
  "wasm-simd": () => new WasmLayers("wasm-simd", SIMD),
  javascript: () => PLAIN_LAYERS,
};
export const LAYER_KERNEL_NAMES = Object.keys(LAYER_KERNELS);

/**
 * Starts the first of these kernels that starts here.
 *
 * @param {string[]} [names]
 * @returns {LayerKernel}
 */
export function startLayerKernel(names = LAYER_KERNEL_NAMES) {
  const reasons = [];
  for (const name of names) {
    try {
      return LAYER_KERNELS[name]();
    } catch (error) {
      reasons.push(`${name}: ${/** @type {Error} */ (error).message}`);
    }
  }
  throw new Error(`no kernel starts here: ${reasons.join("; ")}`);
}

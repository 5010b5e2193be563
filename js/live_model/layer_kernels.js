import { RELAXED_SIMD, SIMD } from "../wasm/encoder_modules.js";
import { WasmKernel } from "../wasm/kernel.js";
import { PLAIN_LAYERS } from "./plain_layers.js";

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
    this.module.product(outs, lefts, panels, 1, rows, count, depth, 0);
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

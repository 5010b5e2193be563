import { RELAXED_SIMD, SIMD } from "../wasm/modules.js";
import { WasmKernel } from "../wasm/kernel.js";
import { MeanOfHeads } from "../wasm/mean_of_heads.js";
import { PLAIN } from "./plain_kernel.js";

// Who computes products and softmax. The first kernel that starts here does, for 32-bit floats: browsers before 2024
// and Node.js 20 lack relaxed SIMD, older ones SIMD, and a page's policy may forbid WebAssembly.

/**
 * The kernels, fastest first; one that can't run here throws as it starts.
 *
 * @type {Record<string, () => AttentionKernel>}
 */
const KERNELS = {
  "wasm-relaxed-simd": () => new WasmKernel(RELAXED_SIMD),
  "wasm-simd": () => new WasmKernel(SIMD),
  javascript: () => PLAIN,
};
export const KERNEL_NAMES = Object.keys(KERNELS);

/** @type {Map<string, AttentionKernel>} */
const started = new Map();
/** @type {?string} */
let chosen = null;

/**
 * Has the first of these kernels that starts here compute from now on.
 *
 * @param {string[]} [names]
 * @returns {string} its name; throws an Error with each kernel's reason where none starts
 */
export function chooseKernel(names = KERNEL_NAMES) {
  const reasons = [];
  for (const name of names) {
    if (!Object.hasOwn(KERNELS, name)) throw new RangeError(`a kernel must be one of ${KERNEL_NAMES.join(", ")}; got ${name}`);
    try {
      if (!started.has(name)) started.set(name, KERNELS[name]());
      if (name !== chosen) performance.mark(`attnpanel-kernel ${name}`); // for who looks at a page's timeline
      chosen = name;
      return name;
    } catch (error) {
      reasons.push(`${name}: ${/** @type {Error} */ (error).message}`);
    }
  }
  throw new Error(`no kernel starts here: ${reasons.join("; ")}`);
}

/**
 * The kernel for these arrays: the chosen one, or plain JavaScript, which alone has 64-bit floats.
 *
 * @param {...Floats} arrays
 * @returns {AttentionKernel}
 */
export function kernelFor(...arrays) {
  if (!arrays.every((array) => array instanceof Float32Array)) return PLAIN;
  return /** @type {AttentionKernel} */ (started.get(chosen ?? chooseKernel()));
}

/**
 * What computes the mean of heads some queries at a time; null where WebAssembly does not compute.
 *
 * @param {HeadVectors[]} heads
 * @param {HeadSizes} sizes
 */
export function meanOfHeads(heads, sizes) {
  const kernel = kernelFor(...heads.flatMap(({ key, value }) => (value === null ? [key] : [key, value])));
  return kernel instanceof WasmKernel ? new MeanOfHeads(kernel.compiled, heads, sizes) : null;
}

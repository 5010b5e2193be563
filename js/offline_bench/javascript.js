import { KERNEL_NAMES, chooseKernel } from "../core/kernels.js";
import { attendHead } from "../kernels/head_call.js";
import { sizesOf } from "./inputs.js";

// The page's own attention as implementations: plain JavaScript, and WebAssembly.

// One head's scores and weights are arrays of so many cells, at most.
const MAX_CELLS = 2 ** 26;

/**
 * @param {string} name
 * @param {string[]} kernels the first that starts computes
 * @param {string} missing why none may be here
 * @returns {BenchImplementation & {kernel: () => string}}
 */
function implementation(name, kernels, missing) {
  let why = "";
  try {
    chooseKernel(kernels);
  } catch (error) {
    why = `${missing}: ${/** @type {Error} */ (error).message}`;
  }
  return {
    name,
    device: "cpu",
    // A weight of 0 times nan is nan.
    leaks: ["value nan", "value inf"],
    finish: null,
    guard: (action) => action(),
    kernel: () => (why ? "none" : chooseKernel(kernels)),
    unsupported(request) {
      if (why) return [why];
      if (request.dtype !== "float32") return [`${name} computes float32; got ${request.dtype}`];
      const cells = request.query_len * request.key_len;
      return cells > MAX_CELLS ? [`${name} holds a head's weights in one array of at most ${MAX_CELLS} cells; got ${cells}`] : [];
    },
    prepare(request, inputs) {
      const { B, H, Hkv, T, S, D, Dv, scale, temperature } = sizesOf(request);
      /** @type {import("../kernels/head_call.js").HeadCall} */
      const call = {
        ...{ batch: B, heads: H, kvHeads: Hkv, T, S, D, Dv, ...inputs },
        maskShape: inputs.mask && [inputs.mask.length / (T * S), 1],
        options: { scale, temperature, emptyRows: "zero" },
      };
      /** @type {?BenchResult} */
      let result = null;
      return {
        start() {
          chooseKernel(kernels);
          const output = new Float32Array(B * H * T * Dv);
          const logsumexp = new Float32Array(B * H * T);
          for (let head = 0; head < B * H; head++) {
            const made = attendHead(call, Math.floor(head / H), head % H);
            output.set(/** @type {Float32Array} */ (made.output), head * T * Dv);
            logsumexp.set(made.logsumexp, head * T);
          }
          result = { output, logsumexp };
        },
        async read() {
          if (result === null) throw new Error("a call must be started before it is read");
          return result;
        },
        release() {
          result = null;
        },
      };
    },
  };
}

export const plainJavaScript = () => implementation("javascript", ["javascript"], "no plain JavaScript kernel");
export const webAssembly = () =>
  implementation("javascript-wasm", KERNEL_NAMES.filter((name) => name.startsWith("wasm")), "no WebAssembly with SIMD here");

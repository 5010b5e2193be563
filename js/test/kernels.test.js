import assert from "node:assert/strict";
import { test } from "node:test";

import { attend, mix } from "../core/attention.js";
import { KERNEL_NAMES } from "../core/kernels.js";
import { RELAXED_SIMD } from "../wasm/modules.js";

const { Module } = WebAssembly;
const relaxedLength = Buffer.from(RELAXED_SIMD, "base64").length;

/**
 * The choice of kernels anew, where WebAssembly.Module throws for some modules.
 *
 * @param {(length: number) => boolean} refuses
 */
async function kernelsWhere(refuses) {
  WebAssembly.Module = /** @type {any} */ (
    class {
      /** @param {Uint8Array<ArrayBuffer>} bytes */
      constructor(bytes) {
        if (refuses(bytes.length)) throw new WebAssembly.CompileError("refused by the policy");
        return new Module(bytes);
      }
    }
  );
  return /** @type {typeof import("../core/kernels.js")} */ (await import(`../core/kernels.js?${refuses}`));
}

test("the next kernel takes the place of one that does not start", async (t) => {
  t.after(() => {
    WebAssembly.Module = Module;
  });
  const simd = await kernelsWhere((length) => length === relaxedLength);
  assert.equal(simd.chooseKernel(), "wasm-simd");

  const plain = await kernelsWhere(() => true);
  assert.equal(plain.chooseKernel(), "javascript");
  const reasons = /no kernel starts here: wasm-relaxed-simd: refused by the policy; wasm-simd: refused by the policy$/;
  assert.throws(() => plain.chooseKernel(KERNEL_NAMES.slice(0, 2)), reasons);
});

test("the kernel that computes is marked on the page's timeline", () => {
  const ones = Float32Array.of(1);
  attend(ones, ones, ones, { T: 1, S: 1, D: 1, Dv: 1 });

  const marks = performance.getEntriesByType("mark").map(({ name }) => name);
  assert.ok(KERNEL_NAMES.some((name) => marks.includes(`attnpanel-kernel ${name}`)), `${marks}`);
});

test("64-bit floats are computed by plain JavaScript", async () => {
  const { chooseKernel, kernelFor } = await kernelsWhere(() => false);
  chooseKernel();

  assert.notEqual(kernelFor(new Float32Array(1)), kernelFor(new Float64Array(1)));
  assert.equal(kernelFor(new Float64Array(1)), kernelFor(new Float32Array(1), new Float64Array(1)));
  assert.equal(chooseKernel(["javascript"]), "javascript");
  assert.equal(kernelFor(new Float32Array(1)), kernelFor(new Float64Array(1)));
});

test("hidden keys are left out of a mix, but never a value that is no number", () => {
  // More keys than the kernel sums at a time: the second part of the first rows, and not of the last, is hidden.
  const [T, S, Dv] = [6, 600, 3];
  const weights = Float64Array.from({ length: T * S }, (_, at) => (at % S < (at < 5 * S ? 200 : 500) ? (1 + (at % 7)) / 1024 : 0));
  const value = Float64Array.from({ length: S * Dv }, (_, at) => ((at * 37) % 64) - 32);
  const narrow = () => mix(Float32Array.from(weights), Float32Array.from(value), { T, S, Dv });

  assert.deepEqual(Float64Array.from(narrow()), mix(weights, value, { T, S, Dv }));
  value[599 * Dv] = NaN;
  assert.deepEqual(Float64Array.from(narrow()), mix(weights, value, { T, S, Dv }));
});

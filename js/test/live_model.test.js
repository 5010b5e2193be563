import assert from "node:assert/strict";
import { test } from "node:test";
import { openTrace } from "../core/trace_data.js";
import { LAYER_KERNEL_NAMES, startLayerKernel } from "../live_model/layer_kernels.js";
import { packLayer } from "../live_model/packed_layer.js";
import { StoredWeights } from "../live_model/stored_weights.js";

test("without WebAssembly plain JavaScript computes the layers", () => {
  const { WebAssembly } = globalThis;
  // @ts-expect-error what a page's policy may do
  globalThis.WebAssembly = undefined;
  try {
    assert.equal(startLayerKernel().name, "javascript");
    assert.throws(() => startLayerKernel(LAYER_KERNEL_NAMES.slice(0, 2)), /no kernel starts here: wasm-relaxed-simd: .*; wasm-simd/);
  } finally {
    globalThis.WebAssembly = WebAssembly;
  }
});

test("a packed layer is what an opened trace reads", async () => {
  const query = Float32Array.of(1.5, -2, 3e-9, 7);
  const value = Float32Array.of(0.25, -1e30, 5, 0);
  const shape = [1, 1, 2, 2];
  const arrays = ["query", "key", "value"].map((name) => ({ name, dtype: "float32", shape }));
  const fields = { H: 1, Hkv: 1, T: 2, S: 2, D: 2, Dv: 2, hasValue: true, arrays };
  const meta = /** @type {any} */ ({ schema: "attnpanel.payload/1", calls: [fields] });
  // A view that begins within its buffer.
  const whole = Float32Array.of(9, ...query);
  const { calls } = openTrace(meta, [packLayer([whole.subarray(1), value, value])]);
  await calls[0].ready();
  assert.deepEqual([calls[0].query(0, 0), calls[0].value(0, 0)], [query, value]);
});

test("the row of an embedding is found behind those that are left out", () => {
  // Rows of ids 0, 3, 4 and 6: one number each, 1, 2, 3 and 4 in half precision.
  const { buffer } = Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400);
  const tensors = [{ name: "words", dtype: "float16", shape: [4, 1], at: 0 }];
  const description = /** @type {any} */ ({ tensors, withoutEmbedding: [[1, 2], [5, 5]] });
  const weights = new StoredWeights(description, buffer);
  assert.deepEqual([0, 3, 4, 6].map((id) => weights.embedding(id)[0]), [1, 2, 3, 4]);
  assert.throws(() => weights.embedding(2), /no embedding of token 2/);
  assert.throws(() => weights.embedding(7), /must be one of the model's; got 7/);
});
